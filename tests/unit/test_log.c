/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "pyd_log.h"

struct record {
    unsigned count;
    enum pyd_log_level level;
    int group;
    char message[8192];
};

static void record_message(void *baton, enum pyd_log_level level, int group, const char *message)
{
    struct record *record = baton;

    record->count++;
    record->level = level;
    record->group = group;
    snprintf(record->message, sizeof(record->message), "%s", message);
    errno = EXDEV;
}

static void test_no_sink(void **state)
{
    (void)state;
    pyd_log_set(NULL, NULL, PYD_LOG_TRACE);
    assert_false(pyd_log_wants(PYD_LOG_CRIT));
    pyd_log(PYD_LOG_CRIT, PYD_LOG_NO_GROUP, "nobody %s", "listens");
}

static void test_passes_on(void **state)
{
    struct record record = {0};

    (void)state;
    pyd_log_set(record_message, &record, PYD_LOG_TRACE);
    pyd_log(PYD_LOG_ERR, 7, PYD_LOGNO(0042) "worker %d: %s", 12, "gone");
    assert_int_equal(record.count, 1);
    assert_int_equal(record.level, PYD_LOG_ERR);
    assert_int_equal(record.group, 7);
    assert_string_equal(record.message, "PYD0042: worker 12: gone");
    pyd_log(PYD_LOG_NOTICE, PYD_LOG_NO_GROUP, "started");
    assert_int_equal(record.group, PYD_LOG_NO_GROUP);
}

static void test_levels(void **state)
{
    (void)state;
    for (int max = PYD_LOG_CRIT; max <= PYD_LOG_TRACE; max++) {
        struct record record = {0};

        pyd_log_set(record_message, &record, (enum pyd_log_level)max);
        for (int level = PYD_LOG_CRIT; level <= PYD_LOG_TRACE; level++) {
            unsigned before = record.count;

            pyd_log((enum pyd_log_level)level, 0, "x");
            assert_int_equal(record.count - before, level <= max);
            assert_int_equal(pyd_log_wants((enum pyd_log_level)level), level <= max);
        }
    }
}

static void test_keeps_errno(void **state)
{
    struct record record = {0};

    (void)state;
    pyd_log_set(record_message, &record, PYD_LOG_TRACE);
    errno = ENOENT;
    pyd_log(PYD_LOG_INFO, 0, "cannot open: %m");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(record.message, "cannot open: No such file or directory");
}

static void test_one_line(void **state)
{
    struct record record = {0};

    (void)state;
    pyd_log_set(record_message, &record, PYD_LOG_TRACE);
    pyd_log(PYD_LOG_INFO, 0, "first\nsecond\r\nthird\n\n");
    assert_string_equal(record.message, "first second  third");
    pyd_log(PYD_LOG_INFO, 0, "\n");
    assert_string_equal(record.message, "");
}

static void test_cut(void **state)
{
    struct record record = {0};
    char text[9001];

    (void)state;
    pyd_log_set(record_message, &record, PYD_LOG_TRACE);
    memset(text, 'a', sizeof(text));
    text[8000] = '\0';
    pyd_log(PYD_LOG_INFO, 0, "%s", text);
    assert_string_equal(record.message, text);
    text[8000] = 'a';
    text[8001] = '\0';
    pyd_log(PYD_LOG_INFO, 0, "%s", text);
    assert_int_equal(strlen(record.message), 8000);
    assert_memory_equal(record.message, text, 7997);
    assert_string_equal(record.message + 7997, "...");
}

/* Wherever the cut falls in a character of four bytes, none of it is left. */
static void test_cut_in_utf8(void **state)
{
    struct record record = {0};
    char text[9001];

    (void)state;
    pyd_log_set(record_message, &record, PYD_LOG_TRACE);
    for (size_t at = 7994; at <= 7997; at++) {
        memset(text, 'a', sizeof(text));
        text[9000] = '\0';
        memcpy(text + at, "\xf0\x9f\x90\x8d", 4);
        pyd_log(PYD_LOG_INFO, 0, "%s", text);
        assert_int_equal(strlen(record.message), at + 3);
        assert_string_equal(record.message + at, "...");
    }
    /* One that ends at the cut stays. */
    memset(text, 'a', sizeof(text));
    text[9000] = '\0';
    memcpy(text + 7993, "\xf0\x9f\x90\x8d", 4);
    pyd_log(PYD_LOG_INFO, 0, "%s", text);
    assert_string_equal(record.message + 7993, "\xf0\x9f\x90\x8d...");
}

static void test_what_cannot_be_formatted(void **state)
{
    struct record record = {0};

    (void)state;
    pyd_log_set(record_message, &record, PYD_LOG_TRACE);
    /* Half a surrogate pair is in no character set. */
    pyd_log(PYD_LOG_INFO, 0, "name %lc", (wint_t)0xd800);
    assert_int_equal(record.count, 1);
    assert_string_equal(record.message, "name %lc");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_sink),  cmocka_unit_test(test_passes_on),   cmocka_unit_test(test_levels),
        cmocka_unit_test(test_keeps_errno), cmocka_unit_test(test_one_line), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_cut_in_utf8), cmocka_unit_test(test_what_cannot_be_formatted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
