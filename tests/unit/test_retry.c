/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pyd_retry.h"

static void test_known_rate(void **state)
{
    (void)state;
    /* 0.5 a second: three before it, and itself. */
    assert_int_equal(pyd_retry_seconds(3, 500, 15), 8);
    assert_int_equal(pyd_retry_seconds(0, 500, 15), 2);
    /* Rounded up: not to come too early. */
    assert_int_equal(pyd_retry_seconds(10, 3000, 15), 4);
    assert_int_equal(pyd_retry_seconds(11, 3000, 15), 4);
    assert_int_equal(pyd_retry_seconds(12, 3000, 15), 5);
    /* How many threads there are is in the rate. */
    assert_int_equal(pyd_retry_seconds(10, 3000, 1), 4);
}

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(pyd_retry_seconds(0, 1000000, 15), 1);
    assert_int_equal(pyd_retry_seconds(100, UINT64_MAX, 15), 1);
    assert_int_equal(pyd_retry_seconds(100, 1, 15), 60);
    assert_int_equal(pyd_retry_seconds(UINT32_MAX, 1, 15), 60);
    assert_int_equal(pyd_retry_seconds(59, 1000, 15), 60);
    assert_int_equal(pyd_retry_seconds(60, 1000, 15), 60);
}

static void test_unknown_rate(void **state)
{
    (void)state;
    assert_int_equal(pyd_retry_seconds(0, 0, 15), 1);
    assert_int_equal(pyd_retry_seconds(14, 0, 15), 1);
    assert_int_equal(pyd_retry_seconds(15, 0, 15), 2);
    assert_int_equal(pyd_retry_seconds(3, 0, 1), 4);
    assert_int_equal(pyd_retry_seconds(1000, 0, 1), 60);
    assert_int_equal(pyd_retry_seconds(UINT32_MAX, 0, UINT64_MAX), 1);
    assert_int_equal(pyd_retry_seconds(3, 0, 0), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_rate),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_unknown_rate),
    };

    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
