/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_ending.h"

static void expect(enum pyd_cause cause, uint32_t detail, const char *expected)
{
    char text[160];

    pyd_ending_text(cause, detail, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_words(void **state)
{
    (void)state;
    expect(PYD_CAUSE_SIGNAL, 11, "was killed by signal 11 (Segmentation fault)");
    expect(PYD_CAUSE_SIGNAL, 9, "was killed by signal 9 (Killed)");
    expect(PYD_CAUSE_EXIT, 3, "exited with status 3");
    expect(PYD_CAUSE_OOM, 9, "was killed by the kernel for lack of memory (OOM)");
    expect(PYD_CAUSE_UNKNOWN, 0, "ended; the cause is not known");
}

/* What exceeded a limit is named as the option is: that is what an administrator looks for. */
static void test_limits(void **state)
{
    (void)state;
    expect(PYD_CAUSE_REQUEST_TIMEOUT, 0, "was killed because a request exceeded request-timeout");
    expect(PYD_CAUSE_DEADLOCK, 0, "was killed because it hung for deadlock-timeout");
    expect(PYD_CAUSE_MEMORY, 0, "was ended because its memory exceeded memory-limit");
    expect(PYD_CAUSE_MEMORY_HARD, 0, "was killed because its memory exceeded memory-hard-limit");
    expect(PYD_CAUSE_CPU_TIME, 0, "was ended because it had used its cpu-time-limit");
    expect(PYD_CAUSE_REQUESTS, 0, "was ended because it had served maximum-requests");
    expect(PYD_CAUSE_INTERVAL, 0, "was ended because restart-interval was over");
    expect(PYD_CAUSE_INACTIVE, 0, "was ended because it was idle for inactivity-timeout");
}

/* A new cause needs words: only these may be without. */
static void test_each_cause_has_words(void **state)
{
    uint32_t cause;

    (void)state;
    for (cause = PYD_CAUSE_NONE + 1; cause < PYD_CAUSE_UNKNOWN; ++cause) {
        char text[160];

        pyd_ending_text((enum pyd_cause)cause, 0, text, sizeof(text));
        assert_string_not_equal(text, "ended; the cause is not known");
    }
}

/* Whatever a manager of another version may write. */
static void test_any_number_gives_words(void **state)
{
    uint32_t cause;

    (void)state;
    for (cause = 0; cause < 64; ++cause) {
        char text[8];

        pyd_ending_text((enum pyd_cause)cause, UINT32_MAX, text, sizeof(text));
        assert_true(memchr(text, '\0', sizeof(text)) != NULL);
        assert_int_not_equal(text[0], '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_each_cause_has_words),
        cmocka_unit_test(test_any_number_gives_words),
    };

    return cmocka_run_group_tests_name("ending", tests, NULL, NULL);
}
