/* SPDX-License-Identifier: Apache-2.0 */

/* Why a worker ended that had reached a limit; test_proc.c has the other causes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_cause.h"

#define EXITED(status) ((status) << 8)

static const enum pyd_cause recycling[] = {PYD_CAUSE_MEMORY, PYD_CAUSE_CPU_TIME, PYD_CAUSE_REQUESTS, PYD_CAUSE_INTERVAL,
                                           PYD_CAUSE_INACTIVE};
static const enum pyd_cause wrong[] = {PYD_CAUSE_REQUEST_TIMEOUT, PYD_CAUSE_DEADLOCK, PYD_CAUSE_MEMORY_HARD};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void assert_cause(struct pyd_end end, enum pyd_cause cause, uint32_t detail)
{
    uint32_t found = 4711;

    end.was_ready = 1;
    assert_int_equal(pyd_cause_decide(&end, &found), cause);
    assert_int_equal(found, detail);
}

static void test_in_good_order(void **state)
{
    (void)state;
    for (int cause = PYD_CAUSE_REQUEST_TIMEOUT; cause <= PYD_CAUSE_INACTIVE; cause++) {
        struct pyd_end end = {.has_wait_status = 1, .told = 1, .retired = 1, .must_go = (enum pyd_cause)cause};

        assert_cause(end, end.must_go, 0);
        end.wait_status = SIGTERM; /* it had no handler for it yet */
        assert_cause(end, end.must_go, 0);
        end.has_wait_status = 0; /* adopted */
        assert_cause(end, end.must_go, 0);
    }
}

/* What it did on its own account is the cause, whatever was planned for it. */
static void test_quicker_than_its_fate(void **state)
{
    struct pyd_end end = {.has_wait_status = 1, .must_go = PYD_CAUSE_REQUESTS};

    (void)state;
    end.wait_status = SIGSEGV;
    assert_cause(end, PYD_CAUSE_SIGNAL, SIGSEGV);
    end.wait_status = SIGKILL;
    assert_cause(end, PYD_CAUSE_SIGNAL, SIGKILL);
    end.oom = 1;
    assert_cause(end, PYD_CAUSE_OOM, 0);
    end.wait_status = EXITED(3);
    assert_cause(end, PYD_CAUSE_EXIT, 3);
    end.wait_status = EXITED(0);
    assert_cause(end, PYD_CAUSE_EXIT, 0);
    end.has_wait_status = 0;
    assert_cause(end, PYD_CAUSE_UNKNOWN, 0);
    /* Its dump was being made when it ended by itself. */
    end = (struct pyd_end){.has_wait_status = 1, .killed = 1, .must_go = PYD_CAUSE_DEADLOCK};
    assert_cause(end, PYD_CAUSE_DEADLOCK, 0);
    end.wait_status = SIGKILL;
    assert_cause(end, PYD_CAUSE_SIGNAL, SIGKILL);
}

static void test_killed(void **state)
{
    struct pyd_end end = {.has_wait_status = 1, .wait_status = SIGKILL, .told = 1, .retired = 1, .killed = 1};

    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        end.must_go = wrong[i];
        end.killed_for = wrong[i];
        assert_cause(end, wrong[i], 0);
        end.killed_for = PYD_CAUSE_SHUTDOWN_TIMEOUT; /* what was wrong with it before is the reason */
        assert_cause(end, wrong[i], SIGKILL);
    }
    for (size_t i = 0; i < COUNT(recycling); i++) {
        end.must_go = recycling[i];
        assert_cause(end, PYD_CAUSE_SHUTDOWN_TIMEOUT, 0); /* nothing was wrong before */
    }
}

static void test_words_and_ranks(void **state)
{
    char words[PYD_CAUSE_UNKNOWN + 1][160];

    (void)state;
    for (int cause = 0; cause <= PYD_CAUSE_UNKNOWN; cause++) {
        pyd_cause_words((enum pyd_cause)cause, 1, words[cause], sizeof words[cause]);
        for (int other = 0; other < cause; other++)
            assert_string_not_equal(words[cause], words[other]);
    }
    pyd_cause_words(PYD_CAUSE_REQUEST_TIMEOUT, 0, words[0], sizeof words[0]);
    assert_string_equal(words[0], "replaced because a request exceeded request-timeout");
    pyd_cause_words(PYD_CAUSE_REQUEST_TIMEOUT, SIGKILL, words[0], sizeof words[0]);
    assert_string_equal(words[0], "replaced because a request exceeded request-timeout (it had to be killed)");
    for (size_t i = 0; i < COUNT(recycling); i++) {
        assert_true(pyd_cause_is_expected(recycling[i]));
        assert_false(pyd_cause_is_limit(recycling[i]));
    }
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(pyd_cause_is_expected(wrong[i]));
        assert_true(pyd_cause_is_limit(wrong[i]));
    }
    assert_false(pyd_cause_is_expected(PYD_CAUSE_SHUTDOWN_TIMEOUT));
    assert_false(pyd_cause_is_limit(PYD_CAUSE_SHUTDOWN_TIMEOUT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_good_order),
        cmocka_unit_test(test_quicker_than_its_fate),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_words_and_ranks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
