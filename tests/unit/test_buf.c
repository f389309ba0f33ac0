/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_buf.h"

/* ASan ends the program when malloc is asked for too much, unless told that it may fail like any other malloc. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void test_zero_is_empty(void **state)
{
    struct pyd_buf buf = {0};

    (void)state;
    pyd_buf_append(&buf, NULL, 0);
    pyd_buf_consume(&buf, 0);
    pyd_buf_consume(&buf, 10);
    assert_int_equal(buf.size, 0);
    assert_false(buf.failed);
    pyd_buf_done(&buf);
    pyd_buf_done(&buf);
    pyd_buf_done(NULL);
}

static void test_append(void **state)
{
    struct pyd_buf buf = {0};

    (void)state;
    pyd_buf_append_str(&buf, "head");
    pyd_buf_append(&buf, "\0x", 2);
    pyd_buf_append_str(&buf, "");
    assert_int_equal(buf.size, 6);
    assert_memory_equal(buf.data, "head\0x", 6);
    assert_true(buf.capacity >= buf.size);
    pyd_buf_done(&buf);
    assert_null(buf.data);
    pyd_buf_append_str(&buf, "again");
    assert_int_equal(buf.size, 5);
    pyd_buf_done(&buf);
}

static void test_grows_and_keeps_content(void **state)
{
    struct pyd_buf buf = {0};
    size_t growths = 0, capacity = 0;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        unsigned char byte = (unsigned char)(i % 251);

        pyd_buf_append(&buf, &byte, 1);
        growths += buf.capacity != capacity;
        capacity = buf.capacity;
    }
    assert_int_equal(buf.size, 200000);
    for (unsigned i = 0; i < 200000; i++)
        assert_int_equal(buf.data[i], i % 251);
    /* By doubling, or appending bytes would be quadratic. */
    assert_true(growths <= 18);
    pyd_buf_done(&buf);
}

static void test_consume(void **state)
{
    struct pyd_buf buf = {0};
    unsigned char *memory;

    (void)state;
    pyd_buf_append_str(&buf, "abcdef");
    memory = buf.data;
    pyd_buf_consume(&buf, 0);
    assert_int_equal(buf.size, 6);
    pyd_buf_consume(&buf, 2);
    assert_int_equal(buf.size, 4);
    assert_memory_equal(buf.data, "cdef", 4);
    pyd_buf_consume(&buf, 4);
    assert_int_equal(buf.size, 0);
    pyd_buf_append_str(&buf, "xyz");
    pyd_buf_consume(&buf, SIZE_MAX);
    assert_int_equal(buf.size, 0);
    assert_ptr_equal(buf.data, memory);
    pyd_buf_done(&buf);
}

static void test_reserve(void **state)
{
    struct pyd_buf buf = {0};
    unsigned char *room;

    (void)state;
    assert_non_null(pyd_buf_reserve(&buf, 0));
    pyd_buf_append_str(&buf, "ab");
    room = pyd_buf_reserve(&buf, 5000);
    assert_non_null(room);
    assert_ptr_equal(room, buf.data + 2);
    assert_int_equal(buf.size, 2);
    assert_true(buf.capacity >= 5002);
    memset(room, 'c', 5000);
    buf.size += 5000;
    assert_memory_equal(buf.data, "abccc", 5);
    /* Room that is there already moves nothing. */
    room = buf.data;
    pyd_buf_reserve(&buf, buf.capacity - buf.size);
    assert_ptr_equal(buf.data, room);
    pyd_buf_done(&buf);
}

static void test_clear_keeps_memory(void **state)
{
    struct pyd_buf buf = {0};
    unsigned char *memory;

    (void)state;
    pyd_buf_append_str(&buf, "abc");
    memory = buf.data;
    buf.failed = 1;
    pyd_buf_clear(&buf);
    assert_int_equal(buf.size, 0);
    assert_false(buf.failed);
    assert_ptr_equal(buf.data, memory);
    pyd_buf_done(&buf);
}

static void assert_fails_with(size_t size)
{
    struct pyd_buf buf = {0};

    pyd_buf_append_str(&buf, "kept");
    assert_null(pyd_buf_reserve(&buf, size));
    assert_true(buf.failed);
    /* It sticks, and what was there stays. */
    pyd_buf_append_str(&buf, "more");
    assert_null(pyd_buf_reserve(&buf, 1));
    assert_int_equal(buf.size, 4);
    assert_memory_equal(buf.data, "kept", 4);
    pyd_buf_clear(&buf);
    pyd_buf_append_str(&buf, "new");
    assert_int_equal(buf.size, 3);
    assert_false(buf.failed);
    pyd_buf_done(&buf);
    assert_false(buf.failed);
}

static void test_failure_sticks(void **state)
{
    (void)state;
    assert_fails_with(SIZE_MAX);
    assert_fails_with(SIZE_MAX - 4);
    /* Past the overflow check: malloc itself refuses. */
    assert_fails_with(SIZE_MAX / 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_is_empty),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_grows_and_keeps_content),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_clear_keeps_memory),
        cmocka_unit_test(test_failure_sticks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
