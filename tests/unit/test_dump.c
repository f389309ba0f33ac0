/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_dump.h"

#define assert_str(str, expected)                                                                                      \
    do {                                                                                                               \
        assert_int_equal((str).size, strlen(expected));                                                                \
        assert_memory_equal((str).data, expected, strlen(expected));                                                   \
    } while (0)

static const char *text_of(struct pyd_dump_writer *writer)
{
    pyd_dump_end(writer);
    assert_non_null(writer->text.data);
    assert_int_equal(strlen((const char *)writer->text.data), writer->text.size);
    return (const char *)writer->text.data;
}

static void test_writes_what_it_reads(void **state)
{
    struct pyd_dump_writer writer;
    struct pyd_dump_item item;
    const char *at, *end;

    (void)state;
    pyd_dump_writer_init(&writer, 10000);
    pyd_dump_remark(&writer, "on all of them");
    pyd_dump_thread(&writer, 139847, PYD_DUMP_HOLDS_GIL, "pydaemon-3");
    pyd_dump_frame(&writer, "/srv/blog/views.py", 12, "report", "    rows = cursor.fetchall()\n");
    pyd_dump_frame(&writer, "<string>", -1, "<module>", NULL);
    pyd_dump_native(&writer, "", UINT64_MAX, "/usr/lib/libc.so.6");
    pyd_dump_task(&writer, "Task-1");
    at = text_of(&writer);
    assert_string_equal(at, "X\ton all of them\n"
                            "T\t139847\t1\tpydaemon-3\n"
                            "F\t/srv/blog/views.py\t12\treport\trows = cursor.fetchall()\n"
                            "F\t<string>\t-1\t<module>\t\n"
                            "N\t\tffffffffffffffff\t/usr/lib/libc.so.6\n"
                            "A\tTask-1\n");
    end = at + writer.text.size;
    assert_true(pyd_dump_next(&at, end, &item) && item.kind == PYD_DUMP_REMARK);
    assert_str(item.name, "on all of them");
    assert_true(pyd_dump_next(&at, end, &item) && item.kind == PYD_DUMP_THREAD);
    assert_int_equal(item.tid, 139847);
    assert_int_equal(item.flags, PYD_DUMP_HOLDS_GIL);
    assert_str(item.name, "pydaemon-3");
    assert_true(pyd_dump_next(&at, end, &item) && item.kind == PYD_DUMP_FRAME);
    assert_str(item.file, "/srv/blog/views.py");
    assert_int_equal(item.line, 12);
    assert_str(item.function, "report");
    assert_str(item.source, "rows = cursor.fetchall()");
    assert_true(pyd_dump_next(&at, end, &item) && item.kind == PYD_DUMP_FRAME);
    assert_int_equal(item.line, -1);
    assert_int_equal(item.source.size, 0);
    assert_true(pyd_dump_next(&at, end, &item) && item.kind == PYD_DUMP_NATIVE);
    assert_int_equal(item.symbol.size, 0);
    assert_true(item.offset == UINT64_MAX);
    assert_str(item.module, "/usr/lib/libc.so.6");
    assert_true(pyd_dump_next(&at, end, &item) && item.kind == PYD_DUMP_TASK);
    assert_str(item.name, "Task-1");
    assert_false(pyd_dump_next(&at, end, &item));
    pyd_dump_writer_done(&writer);
}

/* What an application chose as names can't begin a line or a field of its own. */
static void test_fields_stay_fields(void **state)
{
    struct pyd_dump_writer writer;

    (void)state;
    pyd_dump_writer_init(&writer, 10000);
    pyd_dump_thread(&writer, 1, 0, "a\tb\nT\t2\t1\tc");
    pyd_dump_frame(&writer, "a\n.py", 1, "f\t", "\t x\ty \r\n");
    assert_string_equal(text_of(&writer), "T\t1\t0\ta?b?T?2?1?c\nF\ta?.py\t1\tf?\tx?y\n");
    pyd_dump_writer_done(&writer);
}

static void test_long_fields_are_cut(void **state)
{
    char name[3000], expected[3100], snakes[3000];
    struct pyd_dump_writer writer;

    (void)state;
    pyd_dump_writer_init(&writer, 100000);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    name[PYD_DUMP_FIELD_MAX] = '\0';
    pyd_dump_task(&writer, name);
    snprintf(expected, sizeof expected, "A\t%s\n", name);
    assert_string_equal(text_of(&writer), expected);
    name[PYD_DUMP_FIELD_MAX] = 'n';
    pyd_buf_clear(&writer.text);
    pyd_dump_task(&writer, name);
    snprintf(expected, sizeof expected, "A\t%.*s...\n", (int)PYD_DUMP_FIELD_MAX - 3, name);
    assert_string_equal(text_of(&writer), expected);
    for (size_t i = 0; i < sizeof snakes - 1; i++)
        snakes[i] = "\xf0\x9f\x90\x8d"[i % 4];
    snakes[sizeof snakes - 1] = '\0';
    pyd_buf_clear(&writer.text);
    pyd_dump_task(&writer, snakes);
    /* Nothing but whole characters: 1021 / 4. */
    snprintf(expected, sizeof expected, "A\t%.1020s...\n", snakes);
    assert_string_equal(text_of(&writer), expected);
    pyd_dump_writer_done(&writer);
}

/* No line is torn, and from the first one that is missing on, none is there: a stack has no holes. */
static void test_limit(void **state)
{
    for (size_t limit = 0; limit < 400; limit++) {
        struct pyd_dump_writer writer;
        struct pyd_dump_item item;
        unsigned seen = 0, left_out = 0;
        const char *at, *end;

        pyd_dump_writer_init(&writer, limit);
        for (int i = 0; i < 10; i++)
            pyd_dump_frame(&writer, i == 5 ? "a-rather-long-name-of-a-file.py" : "a.py", i, "f", "pass");
        at = text_of(&writer);
        end = at + writer.text.size;
        assert_true(writer.text.size <= limit);
        while (pyd_dump_next(&at, end, &item)) {
            assert_int_equal(left_out, 0);
            if (item.kind == PYD_DUMP_FRAME) {
                assert_int_equal(item.line, seen++);
            } else {
                assert_int_equal(item.kind, PYD_DUMP_LEFT_OUT);
                left_out = (unsigned)item.offset;
            }
        }
        assert_int_equal(seen + writer.left_out, 10);
        if (limit >= 32)
            assert_int_equal(left_out, writer.left_out);
        pyd_dump_writer_done(&writer);
    }
    (void)state;
}

static void test_bad_lines(void **state)
{
    static const char *const bad[] = {
        "",
        "T",
        "T\t",
        "T\t1",
        "T\t1\t0",
        "T\t-1\t0\tx",
        "T\t+1\t0\tx",
        "T\t\t0\tx",
        "T\t2147483648\t0\tx",
        "T\t1\t4294967296\tx",
        "T\t1\t0\tx\ty",
        "T\t0x1\t0\tx",
        "t\t1\t0\tx",
        "TT\t1\t0\tx",
        " T\t1\t0\tx",
        "F\ta.py\t1\tf",
        "F\ta.py\tone\tf\tx",
        "F\ta.py\t-\tf\tx",
        "F\ta.py\t99999999999\tf\tx",
        "F\ta.py\t1\tf\tx\ty",
        "N\tf\t\tm",
        "N\tf\t0x5\tm",
        "N\tf\t5G\tm",
        "N\tf\t10000000000000000\tm",
        "N\tf\t5",
        "A\tx\ty",
        "A",
        "X\tx\ty",
        "E\t",
        "E\tmany",
        "Z\tx",
        "\t\t\t",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        /* On the heap, of exactly its size, for the sanitizer. */
        size_t size = strlen(bad[i]) + 1;
        char *text = malloc(size);
        const char *at = text;
        struct pyd_dump_item item = {.kind = PYD_DUMP_TASK, .tid = 7};

        assert_non_null(text);
        memcpy(text, bad[i], size - 1);
        text[size - 1] = '\n';
        assert_true(pyd_dump_next(&at, text + size, &item));
        if (item.kind != PYD_DUMP_LINE_BAD || item.tid || item.name.data || item.file.data)
            fail_msg("taken: %s", bad[i]);
        assert_ptr_equal(at, text + size);
        assert_false(pyd_dump_next(&at, text + size, &item));
        free(text);
    }
}

static void test_last_line_without_newline(void **state)
{
    static const char text[] = "bad\nA\tTask-1";
    const char *at = text, *end = text + strlen(text);
    struct pyd_dump_item item;

    (void)state;
    assert_true(pyd_dump_next(&at, end, &item));
    assert_int_equal(item.kind, PYD_DUMP_LINE_BAD);
    assert_true(pyd_dump_next(&at, end, &item));
    assert_int_equal(item.kind, PYD_DUMP_TASK);
    assert_str(item.name, "Task-1");
    assert_ptr_equal(at, end);
}

static struct pyd_dump_item parse(const char *line)
{
    size_t size = strlen(line);
    static char *text; /* what the item points into stays until the next one */
    struct pyd_dump_item item = {.kind = PYD_DUMP_TASK};

    free(text);
    text = malloc(size ? size : 1);
    assert_non_null(text);
    memcpy(text, line, size);
    pyd_dump_parse_faulthandler(text, size, &item);
    return item;
}

static void test_faulthandler_frames(void **state)
{
    struct pyd_dump_item item = parse("  File \"/srv/blog/views.py\", line 12 in report\n");

    (void)state;
    assert_int_equal(item.kind, PYD_DUMP_FRAME);
    assert_str(item.file, "/srv/blog/views.py");
    assert_int_equal(item.line, 12);
    assert_str(item.function, "report");
    assert_int_equal(item.source.size, 0);
    /* As Python 3.9 to 3.13 write them: what is not ASCII is escaped, quotes are not. */
    item = parse("  File \"a\\x09b\"c\\u20ac.py\", line 3 in <module>");
    assert_str(item.file, "a\\x09b\"c\\u20ac.py");
    assert_int_equal(item.line, 3);
    assert_str(item.function, "<module>");
    item = parse("  File \"odd\", line 7 in x.py\", line 1 in f in g\n");
    assert_str(item.file, "odd\", line 7 in x.py");
    assert_int_equal(item.line, 1);
    assert_str(item.function, "f in g");
    item = parse("  File ???, line ??? in ???\n");
    assert_int_equal(item.kind, PYD_DUMP_FRAME);
    assert_str(item.file, "???");
    assert_int_equal(item.line, 0);
    assert_str(item.function, "???");
}

static void test_faulthandler_threads(void **state)
{
    struct pyd_dump_item item = parse("Thread 0x00007efe8d7b26c0 (most recent call first):\n");

    (void)state;
    assert_int_equal(item.kind, PYD_DUMP_THREAD);
    assert_int_equal(item.tid, 0);
    assert_int_equal(item.flags, 0);
    assert_true(item.offset == 0x7efe8d7b26c0);
    assert_int_equal(item.name.size, 0);
    item = parse("Current thread 0x00007fc3f2a1cb80 (most recent call first):");
    assert_int_equal(item.kind, PYD_DUMP_THREAD);
    assert_int_equal(item.flags, PYD_DUMP_HOLDS_GIL);
    assert_true(item.offset == 0x7fc3f2a1cb80);
    item = parse("Thread 0x00007fc3f2a1cb80 [pydaemon-3] (most recent call first):\n"); /* 3.14 */
    assert_int_equal(item.kind, PYD_DUMP_THREAD);
    assert_true(item.offset == 0x7fc3f2a1cb80);
    assert_str(item.name, "pydaemon-3");
    item = parse("Thread 0x1f [a] (most recent call first):] (most recent call first):\n");
    assert_true(item.offset == 0x1f);
    assert_str(item.name, "a] (most recent call first):");
}

static void test_faulthandler_others(void **state)
{
    struct pyd_dump_item item = parse("Fatal Python error: Segmentation fault\n");

    (void)state;
    assert_int_equal(item.kind, PYD_DUMP_REMARK);
    assert_str(item.name, "Fatal Python error: Segmentation fault");
    item = parse("Extension modules: _cffi_backend, lxml.etree (total: 2)\n");
    assert_int_equal(item.kind, PYD_DUMP_REMARK);
    item = parse("...\n");
    assert_int_equal(item.kind, PYD_DUMP_REMARK);
    assert_str(item.name, "...");
    item = parse("  Binary file \"/usr/lib/libc.so.6\", at gsignal+0x12 [0x7f9fdd0b1e52]\n"); /* 3.14 */
    assert_int_equal(item.kind, PYD_DUMP_NATIVE);
    assert_str(item.module, "/usr/lib/libc.so.6");
    assert_str(item.symbol, "gsignal");
    assert_int_equal(item.offset, 0x12);
    item = parse("  Binary file \"/opt/python\", at +0x281aab [0x5b27f7cd9aab]\n");
    assert_int_equal(item.kind, PYD_DUMP_NATIVE);
    assert_int_equal(item.symbol.size, 0);
    assert_int_equal(item.offset, 0x281aab);
}

static void test_faulthandler_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "....",
        "  ...",
        "Python runtime state: initialized",
        "  <no Python frame>",
        "  Garbage-collecting",
        "Stack (most recent call first):",
        "Current thread's C stack trace (most recent call first):",
        "Current thread 0x (most recent call first):",
        "Thread 0x7f",
        "Thread 0x7fg (most recent call first):",
        "Thread 0x10000000000000000 (most recent call first):",
        "Thread 7f (most recent call first):",
        "  File ",
        "  File \"a.py\"",
        "  File \"a.py\", line 12",
        "  File \"a.py\", line twelve in f",
        "File \"a.py\", line 12 in f",
        "  Binary file \"x\" [0x1]",
        "  Binary file \"x\", at f [0x1]",
        "  Binary file '<unknown>' [0x1]",
        "Fatal Python error:",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pyd_dump_item item = parse(bad[i]);

        if (item.kind != PYD_DUMP_LINE_BAD || item.file.data || item.offset)
            fail_msg("taken: %s", bad[i]);
    }
    parse("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_what_it_reads),  cmocka_unit_test(test_fields_stay_fields),
        cmocka_unit_test(test_long_fields_are_cut),   cmocka_unit_test(test_limit),
        cmocka_unit_test(test_bad_lines),             cmocka_unit_test(test_last_line_without_newline),
        cmocka_unit_test(test_faulthandler_frames),   cmocka_unit_test(test_faulthandler_threads),
        cmocka_unit_test(test_faulthandler_others),   cmocka_unit_test(test_faulthandler_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
