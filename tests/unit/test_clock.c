/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "pyd_clock.h"

static void test_monotonic(void **state)
{
    int64_t last = pyd_clock_us(), first = last;

    (void)state;
    assert_true(first > 0);
    /* Until it has moved on, which takes about a microsecond. */
    while (last == first) {
        int64_t now = pyd_clock_us();

        assert_true(now >= last);
        last = now;
    }
}

/* Microseconds, of the clock that other processes see too. */
static void test_unit(void **state)
{
    struct timespec before, after;
    int64_t us;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &before);
    us = pyd_clock_us();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(us >= (int64_t)before.tv_sec * 1000000 + before.tv_nsec / 1000);
    assert_true(us <= (int64_t)after.tv_sec * 1000000 + after.tv_nsec / 1000);
}

static void test_wall(void **state)
{
    struct timespec before, after;
    int64_t us;

    (void)state;
    clock_gettime(CLOCK_REALTIME, &before);
    us = pyd_clock_wall_us();
    clock_gettime(CLOCK_REALTIME, &after);
    assert_true(us >= (int64_t)before.tv_sec * 1000000 + before.tv_nsec / 1000);
    assert_true(us <= (int64_t)after.tv_sec * 1000000 + after.tv_nsec / 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_unit),
        cmocka_unit_test(test_wall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
