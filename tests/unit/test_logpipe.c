/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_logpipe.h"

/* What the sink received, each as "LEVEL:text\n". */
static char logged[1 << 20];
static size_t logged_bytes, logged_count, longest;

static void record(void *baton, enum pyd_log_level level, int group, const char *message)
{
    int n = snprintf(logged + logged_bytes, sizeof logged - logged_bytes, "%d:%s\n", (int)level, message);

    (void)baton;
    assert_int_equal(group, 3);
    logged_bytes += (size_t)n;
    assert_true(logged_bytes < sizeof logged);
    logged_count++;
    if (strlen(message) > longest)
        longest = strlen(message);
}

static int reset(void **state)
{
    (void)state;
    pyd_log_set(record, NULL, PYD_LOG_TRACE);
    logged[0] = '\0';
    logged_bytes = logged_count = longest = 0;
    return 0;
}

static void feed(struct pyd_logpipe *logpipe, const char *text)
{
    pyd_logpipe_feed(logpipe, text, strlen(text));
}

static void test_lines_and_levels(void **state)
{
    struct pyd_logpipe logpipe;

    (void)state;
    pyd_logpipe_init(&logpipe, -1, 3);
    feed(&logpipe, "raw\n\x01" "3error\n\x01" "0low\n\x01" "9high\n\x01" "xno level\n\n\x01" "5\nend\r\n");
    assert_string_equal(logged, "4:raw\n3:error\n2:low\n8:high\n4:\x01" "xno level\n4:\n5:\n4:end\n");
}

static void test_writer_is_named(void **state)
{
    struct pyd_logpipe logpipe;

    (void)state;
    pyd_logpipe_init(&logpipe, -1, 3);
    pyd_logpipe_name_writer(&logpipe, "blog", 12);
    feed(&logpipe, "raw\n\x01" "3error\n");
    pyd_logpipe_name_writer(&logpipe, "blog", 34);
    feed(&logpipe, "next\n");
    assert_string_equal(logged, "4:'blog' (pid=12): raw\n3:'blog' (pid=12): error\n4:'blog' (pid=34): next\n");
}

static void test_any_split(void **state)
{
    static const char text[] = "one\n\x01" "3two\nthree\x01" "6four\nfive\n";
    struct pyd_logpipe logpipe;

    for (size_t first = 0; first < sizeof text; first++) {
        for (size_t second = first; second < sizeof text; second++) {
            reset(state);
            pyd_logpipe_init(&logpipe, -1, 3);
            pyd_logpipe_feed(&logpipe, text, first);
            pyd_logpipe_feed(&logpipe, text + first, second - first);
            pyd_logpipe_feed(&logpipe, text + second, sizeof text - 1 - second);
            assert_string_equal(logged, "4:one\n3:two\n4:three\n6:four\n4:five\n");
        }
    }
}

static void test_unfinished_line(void **state)
{
    struct pyd_logpipe logpipe;

    (void)state;
    pyd_logpipe_init(&logpipe, -1, 3);
    feed(&logpipe, "half");
    assert_int_equal(logged_count, 0);
    pyd_logpipe_flush(&logpipe);
    assert_string_equal(logged, "4:half\n");
    pyd_logpipe_flush(&logpipe);
    feed(&logpipe, "\x01");
    pyd_logpipe_flush(&logpipe);
    feed(&logpipe, "\x01" "3");
    pyd_logpipe_flush(&logpipe);
    feed(&logpipe, "\x01" "3tagged");
    pyd_logpipe_flush(&logpipe);
    feed(&logpipe, "next\n");
    assert_string_equal(logged, "4:half\n4:\x01\n3:tagged\n4:next\n");
}

static void test_nul_does_not_hide_the_rest(void **state)
{
    struct pyd_logpipe logpipe;

    (void)state;
    pyd_logpipe_init(&logpipe, -1, 3);
    pyd_logpipe_feed(&logpipe, "a\0b\n", 4);
    assert_string_equal(logged, "4:a?b\n");
}

/* All of the text arrives, in messages that no sink has to cut, at the level of the line. */
static void check_long(const char *unit, size_t count, size_t most)
{
    struct pyd_logpipe logpipe;
    size_t unit_bytes = strlen(unit), found = 0;
    const char *at = logged;

    pyd_logpipe_init(&logpipe, -1, 3);
    feed(&logpipe, "\x01" "3");
    for (size_t i = 0; i < count; i++)
        feed(&logpipe, unit);
    feed(&logpipe, "\nnext\n");
    assert_true(longest <= most);
    for (size_t i = 0; i + 1 < logged_count; i++) {
        assert_memory_equal(at, "3:", 2);
        at += 2;
        while (*at != '\n') {
            assert_memory_equal(at, unit, unit_bytes); /* whole characters */
            at += unit_bytes;
            found++;
        }
        at++;
    }
    assert_int_equal(found, count);
    assert_string_equal(at, "4:next\n");
}

static void test_long_lines(void **state)
{
    static const size_t counts[] = {7699, 7700, 7701, 15400, 20000};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        reset(state);
        check_long("x", counts[i], 7700);
        assert_int_equal(logged_count, (counts[i] + 7699) / 7700 + 1);
    }
    reset(state);
    check_long("\xe2\x82\xac", 5000, 1925);
    reset(state);
    check_long("\xc3\xa4", 5000, 1925);
}

static void test_garbage_without_end(void **state)
{
    struct pyd_logpipe logpipe;
    char bytes[5000];
    uint32_t random = 1;

    (void)state;
    pyd_logpipe_init(&logpipe, -1, 3);
    for (int i = 0; i < 40; i++) {
        for (size_t k = 0; k < sizeof bytes; k++) {
            random = random * 1664525u + 1013904223u;
            bytes[k] = (char)(random >> 24);
            if ((random >> 16 & 15) == 0)
                bytes[k] = (random >> 8 & 1) ? '\x01' : '\n';
        }
        pyd_logpipe_feed(&logpipe, bytes, random % sizeof bytes);
    }
    memset(bytes, 0x80, sizeof bytes); /* continuation bytes only */
    pyd_logpipe_feed(&logpipe, bytes, sizeof bytes);
    pyd_logpipe_flush(&logpipe);
    assert_int_equal(logpipe.size, 0);
    assert_true(logged_count > 100);
}

/* One turn takes a bounded amount, so that who prints without end does not hold up the loop. */
static void test_reading_is_bounded(void **state)
{
    struct pyd_logpipe logpipe;
    char line[1024];
    int fds[2];
    size_t written = 0;

    (void)state;
    assert_int_equal(pyd_fd_pipe(fds), 0);
    assert_int_equal(pyd_fd_set_nonblocking(fds[0], 1), 0);
    assert_int_equal(pyd_fd_set_nonblocking(fds[1], 1), 0);
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    while (write(fds[1], line, sizeof line) == (ssize_t)sizeof line)
        written++;
    assert_true(written >= 60);
    assert_int_equal(write(fds[1], "end", 3), -1);
    pyd_logpipe_init(&logpipe, fds[0], 3);
    pyd_logpipe_read(&logpipe);
    assert_true(logged_count >= 20 && logged_count < written);
    assert_int_equal(write(fds[1], "end", 3), 3);
    pyd_logpipe_finish(&logpipe);
    assert_int_equal(logged_count, written + 1);
    assert_string_equal(logged + logged_bytes - 6, "4:end\n");
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lines_and_levels, reset),
        cmocka_unit_test_setup(test_writer_is_named, reset),
        cmocka_unit_test_setup(test_any_split, reset),
        cmocka_unit_test_setup(test_unfinished_line, reset),
        cmocka_unit_test_setup(test_nul_does_not_hide_the_rest, reset),
        cmocka_unit_test_setup(test_long_lines, reset),
        cmocka_unit_test_setup(test_garbage_without_end, reset),
        cmocka_unit_test_setup(test_reading_is_bounded, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
