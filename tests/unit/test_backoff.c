/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pyd_backoff.h"

#define SECOND INT64_C(1000000)

static void test_delays(void **state)
{
    static const int expected[] = {0, 1, 2, 4, 8, 16, 32, 60, 60, 60};

    (void)state;
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(pyd_backoff_delay_us(i), expected[i] * SECOND);
    assert_int_equal(pyd_backoff_delay_us(UINT32_MAX), 60 * SECOND);
}

static void test_nothing_failed(void **state)
{
    struct pyd_backoff backoff = {0};

    (void)state;
    assert_true(pyd_backoff_may_start(&backoff, 0));
    assert_int_equal(pyd_backoff_succeed(&backoff, 5), 0);
}

static void test_failures_in_a_row(void **state)
{
    struct pyd_backoff backoff = {0};
    int64_t now = 100 * SECOND;

    (void)state;
    for (unsigned i = 1; i < 20; i++) {
        assert_int_equal(pyd_backoff_fail(&backoff, now, now + 10), 1);
        assert_int_equal(backoff.failures, i);
        now += 10;
        assert_false(pyd_backoff_may_start(&backoff, now));
        assert_false(pyd_backoff_may_start(&backoff, now + pyd_backoff_delay_us(i) - 1));
        now += pyd_backoff_delay_us(i);
        assert_true(pyd_backoff_may_start(&backoff, now));
    }
}

static void test_companions_count_once(void **state)
{
    struct pyd_backoff backoff = {0};
    int64_t retry_at_us;

    (void)state;
    assert_int_equal(pyd_backoff_fail(&backoff, 10, 100), 1);
    retry_at_us = backoff.retry_at_us;
    assert_int_equal(pyd_backoff_fail(&backoff, 10, 110), 0);
    assert_int_equal(pyd_backoff_fail(&backoff, 100, 120), 0);
    assert_int_equal(backoff.failures, 1);
    assert_int_equal(backoff.retry_at_us, retry_at_us);
    assert_int_equal(pyd_backoff_fail(&backoff, 101, 130), 1);
    assert_int_equal(backoff.failures, 2);
}

static void test_success(void **state)
{
    struct pyd_backoff backoff = {0};

    (void)state;
    pyd_backoff_fail(&backoff, 10, 100);
    /* A worker that had been there before says nothing about new ones. */
    assert_int_equal(pyd_backoff_succeed(&backoff, 99), 0);
    assert_int_equal(backoff.failures, 1);
    assert_int_equal(pyd_backoff_succeed(&backoff, 101), 1);
    assert_int_equal(backoff.failures, 0);
    assert_int_equal(pyd_backoff_succeed(&backoff, 101), 0);
    assert_true(pyd_backoff_may_start(&backoff, 101));
}

static void test_one_early_end_is_forgiven(void **state)
{
    struct pyd_backoff backoff = {0};

    (void)state;
    assert_int_equal(pyd_backoff_forgive(&backoff, 50), 1);
    assert_true(pyd_backoff_may_start(&backoff, 50));
    assert_int_equal(pyd_backoff_forgive(&backoff, 60), 0);
    assert_int_equal(pyd_backoff_fail(&backoff, 55, 60), 1);
    assert_int_equal(pyd_backoff_forgive(&backoff, 70), 0);
    assert_int_equal(pyd_backoff_succeed(&backoff, 61), 1);
    assert_int_equal(pyd_backoff_forgive(&backoff, 80), 1);
    /* A forgiven end was no failure: nothing to recover from. */
    assert_int_equal(pyd_backoff_succeed(&backoff, 81), 0);
    assert_int_equal(pyd_backoff_forgive(&backoff, 90), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_nothing_failed),
        cmocka_unit_test(test_failures_in_a_row),
        cmocka_unit_test(test_companions_count_once),
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_one_early_end_is_forgiven),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
