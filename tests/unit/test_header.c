/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_header.h"

/* A heap copy without a NUL, so that a sanitizer sees a read past its end. */
static char *exact(const char *text, size_t size)
{
    char *copy = malloc(size ? size : 1);

    assert_non_null(copy);
    if (size)
        memcpy(copy, text, size);
    return copy;
}

static enum pyd_header_kind classify(const char *name, size_t size)
{
    char *copy = exact(name, size);
    enum pyd_header_kind kind = pyd_header_classify(copy, size);

    free(copy);
    return kind;
}

static void test_classify(void **state)
{
    (void)state;
    assert_int_equal(classify("Content-Type", 12), PYD_HEADER_CONTENT_TYPE);
    assert_int_equal(classify("CONTENT-length", 14), PYD_HEADER_CONTENT_LENGTH);
    assert_int_equal(classify("date", 4), PYD_HEADER_HTTPD);
    assert_int_equal(classify("Server", 6), PYD_HEADER_HTTPD);
    assert_int_equal(classify("connection", 10), PYD_HEADER_HOP);
    assert_int_equal(classify("Transfer-Encoding", 17), PYD_HEADER_HOP);
    assert_int_equal(classify("TE", 2), PYD_HEADER_HOP);
    assert_int_equal(classify("Status", 6), PYD_HEADER_STATUS);
    assert_int_equal(classify("Set-Cookie", 10), PYD_HEADER_ERROR);
    assert_int_equal(classify("X-Date", 6), PYD_HEADER_PLAIN);
    assert_int_equal(classify("Dat", 3), PYD_HEADER_PLAIN);
    assert_int_equal(classify("Dates", 5), PYD_HEADER_PLAIN);
    assert_int_equal(classify("Date\0Connection", 15), PYD_HEADER_PLAIN);
    assert_int_equal(classify("", 0), PYD_HEADER_PLAIN);
}

static void test_early(void **state)
{
    (void)state;
    assert_true(pyd_header_early_ok("Link", 4));
    assert_true(pyd_header_early_ok("Content-Type", 12));
    assert_true(pyd_header_early_ok("Set-Cookie", 10));
    assert_false(pyd_header_early_ok("content-length", 14));
    assert_false(pyd_header_early_ok("Transfer-Encoding", 17));
    assert_false(pyd_header_early_ok("Server", 6));
    assert_false(pyd_header_early_ok("Date", 4));
    assert_false(pyd_header_early_ok("Status", 6));
}

static int name_ok(const char *name, size_t size)
{
    char *copy = exact(name, size);
    int ok = pyd_header_name_ok(copy, size);

    free(copy);
    return ok;
}

static void test_names(void **state)
{
    static const char separators[] = "()<>@,;:\\\"/[]?={} \t\r\n\x7f\x80\xff";
    size_t i;

    (void)state;
    assert_true(name_ok("X-Custom_1", 10));
    assert_true(name_ok("!#$%&'*+-.^_`|~", 15));
    assert_false(name_ok("", 0));
    assert_false(name_ok("X\0Y", 3));
    for (i = 0; i < sizeof(separators) - 1; ++i) {
        char name[] = {'X', separators[i], 'Y'};

        if (name_ok(name, 3))
            fail_msg("0x%02x is taken for part of a token", (unsigned char)separators[i]);
    }
}

static void test_values(void **state)
{
    int c;

    (void)state;
    assert_true(pyd_header_value_ok("", 0));
    assert_true(pyd_header_value_ok("a b\tc; \"d\" \xe4\xff", 13));
    assert_false(pyd_header_value_ok("a\r\nSet-Cookie: x", 16));
    for (c = 0; c < 256; ++c) {
        char value = (char)c;
        int expected = c == '\t' || (c >= 0x20 && c != 0x7f);

        assert_int_equal(pyd_header_value_ok(&value, 1), expected);
    }
}

static void test_length(void **state)
{
    static const char *const bad[] = {"", " ", "-1", "+1", "1x", "x", "1 2", "0x10", "1.0", "9223372036854775808",
                                      "99999999999999999999", "1,1", "1\n"};
    int64_t bytes = -7;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        if (pyd_header_parse_length(bad[i], strlen(bad[i]), &bytes) != EINVAL)
            fail_msg("'%s' was taken for a length", bad[i]);
        assert_int_equal(bytes, -7);
    }
    assert_int_equal(pyd_header_parse_length("0", 1, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(pyd_header_parse_length(" 0012\t", 6, &bytes), 0);
    assert_int_equal(bytes, 12);
    assert_int_equal(pyd_header_parse_length("9223372036854775000", 19, &bytes), 0);
    assert_int_equal(bytes, INT64_C(9223372036854775000));
    assert_int_equal(pyd_header_parse_length("123", 2, &bytes), 0);
    assert_int_equal(bytes, 12);
}

static void test_environ_names(void **state)
{
    static const struct {
        const char *name, *expected; /* NULL: not passed on */
    } cases[] = {
        {"Host", "HTTP_HOST"},      {"X-Request-Start", "HTTP_X_REQUEST_START"},
        {"x-1", "HTTP_X_1"},        {"X_Request", NULL},
        {"X.Y", NULL},              {"X Y", NULL},
        {"X-\xc3\xa4", NULL},       {"Proxy", NULL},
        {"pROXY", NULL},            {"Proxy-Connection", "HTTP_PROXY_CONNECTION"},
        {"ProxyX", "HTTP_PROXYX"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char *room = malloc(pyd_header_environ_bytes(cases[i].name));

        assert_non_null(room);
        if (cases[i].expected) {
            assert_true(pyd_header_environ_name(cases[i].name, room));
            assert_string_equal(room, cases[i].expected);
        } else if (pyd_header_environ_name(cases[i].name, room)) {
            fail_msg("%s was passed on", cases[i].name);
        }
        free(room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classify), cmocka_unit_test(test_names),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_values),   cmocka_unit_test(test_length),
        cmocka_unit_test(test_environ_names),
    };

    return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
