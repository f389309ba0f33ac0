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
#include "pyd_dump_lines.h"
#include "pyd_logline.h"

#define FIRST "Dumping stack trace for active Python threads."
#define GONE "The worker has ended without having told where its threads were."
#define SECOND INT64_C(1000000)

static struct pyd_claim_view claims[8];
static size_t claim_count;
static struct pyd_dump_writer writer;

static int begin(void **state)
{
    (void)state;
    claim_count = 0;
    pyd_dump_writer_init(&writer, 1 << 20);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    pyd_dump_writer_done(&writer);
    return 0;
}

static struct pyd_claim_view *claim(const char *what, int64_t elapsed_us, int32_t tid)
{
    struct pyd_claim_view *view = &claims[claim_count++];

    *view = (struct pyd_claim_view){.begun = tid != 0, .elapsed_us = elapsed_us, .tid = tid};
    snprintf(view->what, sizeof view->what, "%s", what);
    return view;
}

static struct pyd_dump_lines make(enum pyd_dump_tier tier, const char *text, pid_t only_tid)
{
    struct pyd_dump_input input = {.tier = tier,
                                   .text = text,
                                   .bytes = text ? strlen(text) : 0,
                                   .claims = claims,
                                   .claim_count = claim_count,
                                   .only_tid = only_tid};
    struct pyd_dump_lines lines;

    assert_int_equal(pyd_dump_lines_create(&input, &lines), 0);
    return lines;
}

static struct pyd_dump_lines make_from_writer(enum pyd_dump_tier tier)
{
    pyd_dump_end(&writer);
    return make(tier, (const char *)writer.text.data, 0);
}

/* What is expected ends with NULL; it frees the lines. */
static void check(struct pyd_dump_lines lines, const char *const *expected)
{
    size_t count = 0;

    for (; expected[count]; count++) {
        if (count == lines.count)
            fail_msg("missing: %s", expected[count]);
        assert_string_equal(lines.lines[count], expected[count]);
    }
    if (count < lines.count)
        fail_msg("too much: %s", lines.lines[count]);
    pyd_dump_lines_destroy(&lines);
    assert_null(lines.lines);
}

#define CHECK(lines, ...) check(lines, (const char *const[]){__VA_ARGS__, NULL})

/* The example of the contract with users. */
static void test_example(void **state)
{
    (void)state;
    claim("GET /", 200000, 139902);
    claim("GET /report?y=2", 60 * SECOND, 139847)->late = 1;
    pyd_dump_thread(&writer, 139902, 0, "pydaemon-7");
    pyd_dump_frame(&writer, "/srv/blog/views.py", 30, "index", "return render(request)");
    pyd_dump_thread(&writer, 140001, 0, "");
    pyd_dump_native(&writer, "epoll_wait", 0, "");
    pyd_dump_thread(&writer, 139847, 0, "pydaemon-3");
    pyd_dump_frame(&writer, "/srv/blog/views.py", 12, "report", "rows = cursor.fetchall()");
    pyd_dump_frame(&writer, "/srv/blog/wsgi.py", 3, "application", "return handler(environ)");
    CHECK(make_from_writer(PYD_DUMP_GIL), FIRST,
          "Thread 139847 (pydaemon-3) GET /report?y=2 60.0 s, executing file \"/srv/blog/views.py\", line 12, in "
          "report: rows = cursor.fetchall()",
          "called from file \"/srv/blog/wsgi.py\", line 3, in application: return handler(environ)",
          "Thread 139902 (pydaemon-7) GET / 0.2 s, executing file \"/srv/blog/views.py\", line 30, in index: return "
          "render(request)",
          "Thread 140001 native: epoll_wait");
}

static void write_thread(pid_t tid, const char *name, const char *function)
{
    pyd_dump_thread(&writer, tid, 0, name);
    pyd_dump_frame(&writer, "a.py", 1, function, NULL);
}

/* Late requests, then others, longest first; who holds the lock; other Python; tasks; native; not begun. */
static void test_order(void **state)
{
    (void)state;
    claim("GET /waits", 70 * SECOND, 0);
    claim("GET /short", SECOND, 11);
    claim("GET /long", 90 * SECOND, 12);
    claim("GET /late", 5 * SECOND, 13)->late = 1;
    claim("GET /later", 6 * SECOND, 14)->late = 1;
    pyd_dump_thread(&writer, 1, 0, "native");
    pyd_dump_native(&writer, "poll", 0x10, "/lib/libc.so.6");
    pyd_dump_task(&writer, "Task-1");
    pyd_dump_frame(&writer, "t.py", 5, "t", "await x");
    write_thread(2, "other", "f2");
    pyd_dump_thread(&writer, 3, PYD_DUMP_HOLDS_GIL, "holder");
    pyd_dump_frame(&writer, "a.py", 1, "f3", NULL);
    for (pid_t tid = 11; tid <= 14; tid++) {
        char name[8];

        snprintf(name, sizeof name, "f%d", (int)tid);
        write_thread(tid, "", name);
    }
    CHECK(make_from_writer(PYD_DUMP_GIL), FIRST,
          "Thread 14 GET /later 6.0 s, executing file \"a.py\", line 1, in f14",
          "Thread 13 GET /late 5.0 s, executing file \"a.py\", line 1, in f13",
          "Thread 12 GET /long 90.0 s, executing file \"a.py\", line 1, in f12",
          "Thread 11 GET /short 1.0 s, executing file \"a.py\", line 1, in f11",
          "Thread 3 (holder), holds the GIL, executing file \"a.py\", line 1, in f3",
          "Thread 2 (other), executing file \"a.py\", line 1, in f2",
          "Task 'Task-1' awaiting file \"t.py\", line 5, in t: await x",
          "Thread 1 native: poll+0x10 (libc.so.6) [native]",
          "Request GET /waits 70.0 s: not begun");
}

static void test_holder_with_request(void **state)
{
    (void)state;
    claim("GET /spin", 3 * SECOND, 1302);
    pyd_dump_thread(&writer, 1302, PYD_DUMP_HOLDS_GIL, "pydaemon-4");
    pyd_dump_frame(&writer, "a.py", 0, "spin", "re.match(p, s)");
    pyd_dump_native(&writer, "sre_match", 0x5d, "/usr/lib/_sre.so");
    pyd_dump_native(&writer, "", 0x1f00, "/usr/bin/python3.11");
    pyd_dump_native(&writer, "_PyEval_EvalFrameDefault", 0, "/usr/bin/python3.11");
    CHECK(make_from_writer(PYD_DUMP_NO_GIL), FIRST, "The GIL was not to be had: these stacks were taken without it.",
          "Thread 1302 (pydaemon-4) GET /spin 3.0 s, holds the GIL, executing file \"a.py\", line ?, in spin: "
          "re.match(p, s)",
          "native: sre_match+0x5d (_sre.so) < python3.11+0x1f00 < _PyEval_EvalFrameDefault (python3.11)");
}

static void test_waits_for_gil(void **state)
{
    (void)state;
    claim("GET /x", 3 * SECOND, 2);
    for (pid_t tid = 1; tid <= 2; tid++) {
        pyd_dump_thread(&writer, tid, 0, "");
        pyd_dump_native(&writer, "pthread_cond_timedwait", 0, "/lib/libc.so.6");
        pyd_dump_native(&writer, "PyEval_RestoreThread", 0, "/usr/bin/python3");
    }
    pyd_dump_frame(&writer, "a.py", 1, "f", NULL);
    CHECK(make_from_writer(PYD_DUMP_NO_GIL), FIRST, "The GIL was not to be had: these stacks were taken without it.",
          "Thread 2 GET /x 3.0 s, waits for the GIL, executing file \"a.py\", line 1, in f",
          "native: pthread_cond_timedwait (libc.so.6) < PyEval_RestoreThread (python3)",
          "Thread 1, waits for the GIL, native: pthread_cond_timedwait (libc.so.6) < PyEval_RestoreThread (python3)");
}

static void test_same_stacks(void **state)
{
    (void)state;
    claim("GET /a", 9 * SECOND, 1301);
    claim("GET /b", 3 * SECOND, 1302);
    for (pid_t tid = 1301; tid <= 1306; tid++) {
        write_thread(tid, "pydaemon-4", "f");
        pyd_dump_native(&writer, tid < 1306 ? "futex" : "read", 0, "");
    }
    CHECK(make_from_writer(PYD_DUMP_GIL), FIRST,
          "Thread 1301 (pydaemon-4) GET /a 9.0 s, executing file \"a.py\", line 1, in f", "native: futex",
          "Thread 1302 (pydaemon-4) GET /b 3.0 s, same stack as thread 1301",
          "3 threads (1303, 1304, 1305), same stack as thread 1301",
          "Thread 1306 (pydaemon-4), same stack as thread 1301", "native: read");
}

/* A line more or less makes another stack, and a task's is not a thread's. */
static void test_other_stacks(void **state)
{
    (void)state;
    write_thread(1, "", "f");
    write_thread(2, "", "f");
    pyd_dump_frame(&writer, "a.py", 1, "g", NULL);
    write_thread(3, "", "f");
    pyd_dump_frame(&writer, "a.py", 2, "g", NULL);
    pyd_dump_task(&writer, "x");
    pyd_dump_frame(&writer, "a.py", 1, "f", NULL);
    CHECK(make_from_writer(PYD_DUMP_GIL), FIRST, "Thread 1, executing file \"a.py\", line 1, in f",
          "Thread 2, executing file \"a.py\", line 1, in f", "called from file \"a.py\", line 1, in g",
          "Thread 3, executing file \"a.py\", line 1, in f", "called from file \"a.py\", line 2, in g",
          "Task 'x' awaiting file \"a.py\", line 1, in f");
}

static void test_idle_threads_are_folded(void **state)
{
    (void)state;
    claim("GET /x", SECOND, 105);
    for (pid_t tid = 101; tid <= 112; tid++) {
        pyd_dump_thread(&writer, tid, 0, "pydaemon-1");
        pyd_dump_native(&writer, "epoll_wait", 0x4e, "/lib/libc.so.6");
        pyd_dump_native(&writer, "run_lane", 0, "/opt/pydaemon-worker");
    }
    pyd_dump_thread(&writer, 113, 0, "pydaemon-watch");
    pyd_dump_native(&writer, "futex", 0, "");
    pyd_dump_remark(&writer, "does not answer");
    pyd_dump_thread(&writer, 114, 0, "nothing");
    pyd_dump_thread(&writer, 115, 0, "");
    pyd_dump_remark(&writer, "running");
    pyd_dump_remark(&writer, "in the kernel");
    CHECK(make_from_writer(PYD_DUMP_GIL), FIRST,
          "Thread 105 (pydaemon-1) GET /x 1.0 s, native: epoll_wait+0x4e (libc.so.6) < run_lane (pydaemon-worker)",
          "11 threads (101, 102, 103, 104, 106, 107, 108, 109, ...) native: epoll_wait+0x4e (libc.so.6) < run_lane "
          "(pydaemon-worker)",
          "Thread 113 native: futex; does not answer [pydaemon-watch]", "Thread 114: no stack [nothing]",
          "Thread 115: running; in the kernel");
}

static void test_tasks(void **state)
{
    static const char *const names[] = {"main", "Task-2", "Task-3", "Task-4"};

    (void)state;
    pyd_dump_task(&writer, "new");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        pyd_dump_task(&writer, names[i]);
        pyd_dump_frame(&writer, "t.py", 5, "fetch", "await get()");
        pyd_dump_frame(&writer, "t.py", 9, "main", "await fetch()");
    }
    CHECK(make_from_writer(PYD_DUMP_GIL), FIRST, "Task 'new': no stack",
          "Task 'main' awaiting file \"t.py\", line 5, in fetch: await get()",
          "called from file \"t.py\", line 9, in main: await fetch()",
          "3 tasks ('Task-2', 'Task-3', 'Task-4'), same stack as task 'main'");
}

static void test_requests_without_stack(void **state)
{
    struct pyd_claim_view *view = claim("GET /gone", 5 * SECOND, 1399);

    (void)state;
    snprintf(view->client, sizeof view->client, "203.0.113.9");
    view = claim("GET /x", 3200000, 0);
    snprintf(view->client, sizeof view->client, "1.2.3.4");
    snprintf(view->request_id, sizeof view->request_id, "WxYz");
    claim("", SECOND, 0);
    CHECK(make(PYD_DUMP_GIL, "", 0), FIRST,
          "Request GET /gone 5.0 s (client 203.0.113.9, thread 1399): no stack of its thread",
          "Request GET /x 3.2 s (request WxYz, client 1.2.3.4): not begun", "Request ? 1.0 s: not begun");
}

static void test_proc(void **state)
{
    struct pyd_claim_view *view = claim("GET /x", 60 * SECOND, 1302);

    (void)state;
    view->late = 1;
    snprintf(view->client, sizeof view->client, "1.2.3.4");
    snprintf(view->request_id, sizeof view->request_id, "WxYz");
    claim("GET /y", SECOND, 0);
    pyd_dump_remark(&writer, "The first 1 of 7 threads:");
    pyd_dump_thread(&writer, 1302, 0, "pydaemon-3");
    pyd_dump_native(&writer, "futex", 0, "");
    pyd_dump_remark(&writer, "stopped (T)");
    pyd_dump_remark(&writer, "kernel: do_signal_stop < get_signal");
    CHECK(make_from_writer(PYD_DUMP_PROC), FIRST,
          "Request GET /x 60.0 s (request WxYz, client 1.2.3.4, thread 3): the worker does not answer",
          "Request GET /y 1.0 s: not begun, the worker does not answer",
          "The worker did not answer: this is what the kernel tells of its threads.", "The first 1 of 7 threads:",
          "Thread 1302 (pydaemon-3) GET /x 60.0 s, native: futex; stopped (T); kernel: do_signal_stop < get_signal");
    CHECK(make(PYD_DUMP_NONE, NULL, 0), FIRST,
          "Request GET /x 60.0 s (request WxYz, client 1.2.3.4, thread 1302): the worker has ended",
          "Request GET /y 1.0 s: not begun", GONE);
}

static void test_crash(void **state)
{
    static const char text[] = "Fatal Python error: Segmentation fault\n"
                               "\n"
                               "Thread 0x00007f0000000001 (most recent call first):\n"
                               "  File \"/srv/blog/views.py\", line 12 in report\n"
                               "  File \"/srv/blog/wsgi.py\", line 3 in application\n"
                               "\n"
                               "Current thread 0x00007f0000000002 (most recent call first):\n"
                               "  Garbage-collecting\n"
                               "  File \"caf\\xe9.py\", line 9 in crash\n"
                               "\n"
                               "Thread 0x00007f0000000003 (most recent call first):\n"
                               "  <no Python frame>\n"
                               "\n"
                               "Thread 0x00007f0000000004 (most recent call first):\n"
                               "  <no Python frame>\n"
                               "\n"
                               "...\n"
                               "\n"
                               "Current thread's C stack trace (most recent call first):\n"
                               "  Binary file \"/usr/lib/libc.so.6\", at gsignal+0x12 [0x7f9fdd0b1e52]\n"
                               "  Binary file \"/opt/python\", at +0x81a [0x5b27f7cd9aab]\n"
                               "  <truncated rest of calls>\n"
                               "\n"
                               "Extension modules: lxml.etree (total: 1)\n";

    (void)state;
    claim("GET /report", 9 * SECOND, 1301)->thread = 0x7f0000000001;
    claim("GET /crash", SECOND, 1302)->thread = 0x7f0000000002;
    claim("GET /new", SECOND, 0);
    CHECK(make(PYD_DUMP_CRASH, text, 0), FIRST, "Fatal Python error: Segmentation fault",
          "Thread 1302 GET /crash 1.0 s, crashed, executing file \"caf\\xe9.py\", line 9, in crash",
          "native: gsignal+0x12 (libc.so.6) < python+0x81a",
          "Thread 1301 GET /report 9.0 s, executing file \"/srv/blog/views.py\", line 12, in report",
          "called from file \"/srv/blog/wsgi.py\", line 3, in application", "2 threads: no stack",
          "Request GET /new 1.0 s: not begun",
          "There are more threads: only the first 100 are shown after a crash",
          "Extension modules: lxml.etree (total: 1)");
}

/* Free-threaded builds show one thread only, without its number; and the one that crashed may be missing. */
static void test_crash_without_thread(void **state)
{
    (void)state;
    CHECK(make(PYD_DUMP_CRASH,
               "Fatal Python error: Aborted\n\n<Cannot show all threads while the GIL is disabled>\n"
               "Stack (most recent call first):\n  File \"a.py\", line 9 in f\n"
               "  Binary file \"/usr/lib/libc.so.6\", at abort+0x1 [0x7f9fdd0b1e52]\n",
               0),
          FIRST, "Fatal Python error: Aborted", "Thread ?, crashed, native: abort+0x1 (libc.so.6)",
          "Thread ?, executing file \"a.py\", line 9, in f");
}

static void test_one_thread(void **state)
{
    const char *text;

    (void)state;
    claim("GET /slow", 3 * SECOND, 2);
    claim("GET /other", 4 * SECOND, 1);
    claim("GET /new", SECOND, 0);
    write_thread(1, "", "f1");
    pyd_dump_remark(&writer, "of the first");
    write_thread(2, "", "f2");
    write_thread(3, "", "f3");
    pyd_dump_task(&writer, "x");
    pyd_dump_frame(&writer, "a.py", 1, "t", NULL);
    pyd_dump_end(&writer);
    text = (const char *)writer.text.data;
    CHECK(make(PYD_DUMP_GIL, text, 2), FIRST, "Thread 2 GET /slow 3.0 s, executing file \"a.py\", line 1, in f2",
          "Task 'x' awaiting file \"a.py\", line 1, in t");
    CHECK(make(PYD_DUMP_GIL, "", 2), FIRST, "Request GET /slow 3.0 s (thread 2): no stack of its thread");
    CHECK(make(PYD_DUMP_GIL, "", 5), FIRST, "Thread 5: no stack, and no request any more");
}

/* Their child still sends to the client: no thread has anything to do with them. */
static void test_ended_requests(void **state)
{
    (void)state;
    claim("GET /done", 0, 1)->ended = 1;
    claims[0].begun = 0;
    write_thread(1, "", "f1");
    CHECK(make_from_writer(PYD_DUMP_GIL), FIRST, "Thread 1, executing file \"a.py\", line 1, in f1");
    CHECK(make(PYD_DUMP_NONE, NULL, 0), FIRST, GONE);
    CHECK(make(PYD_DUMP_GIL, "", 1), FIRST, "Thread 1: no stack, and no request any more");
}

/* A worker that names a thread twice, or one that executes no request, gets none for it. */
static void test_lies(void **state)
{
    (void)state;
    claim("GET /x", SECOND, 7);
    claim("GET /new", SECOND, 0)->tid = 8;
    CHECK(make(PYD_DUMP_GIL,
               "F\ta.py\t1\tnobody\t\n"
               "nonsense\n"
               "T\t7\t0\t\n"
               "F\ta.py\t1\tf\t\n"
               "T\t7\t0\t\n"
               "F\ta.py\t1\tg\t\n"
               "T\t8\t0\t\n"
               "F\ta.py\t1\th\t\n"
               "E\t12\n",
               0),
          FIRST, "Thread 7 GET /x 1.0 s, executing file \"a.py\", line 1, in f",
          "Thread ?, executing file \"a.py\", line 1, in nobody", "Thread 7, executing file \"a.py\", line 1, in g",
          "Thread 8, executing file \"a.py\", line 1, in h", "Request GET /new 1.0 s: not begun",
          "... 12 lines left out by the worker");
}

static void test_deep_stack(void **state)
{
    struct pyd_dump_lines lines;
    char expected[100];

    (void)state;
    pyd_dump_thread(&writer, 1, 0, "");
    for (int i = 1; i <= 110; i++) {
        pyd_dump_frame(&writer, "a.py", i, "f", NULL);
        pyd_dump_native(&writer, "n", (unsigned)i, "");
    }
    lines = make_from_writer(PYD_DUMP_GIL);
    assert_int_equal(lines.count, 1 + 40 + 1 + 20 + 1);
    assert_string_equal(lines.lines[1], "Thread 1, executing file \"a.py\", line 1, in f");
    assert_string_equal(lines.lines[40], "called from file \"a.py\", line 40, in f");
    assert_string_equal(lines.lines[41], "... 50 frames left out");
    assert_string_equal(lines.lines[42], "called from file \"a.py\", line 91, in f");
    assert_string_equal(lines.lines[61], "called from file \"a.py\", line 110, in f");
    snprintf(expected, sizeof expected, " < n+0x28 < ... 50 frames left out < n+0x5b < ");
    assert_non_null(strstr(lines.lines[62], expected));
    assert_string_equal(lines.lines[62] + strlen(lines.lines[62]) - 6, "n+0x6e");
    pyd_dump_lines_destroy(&lines);
}

static void test_60_frames_are_all_shown(void **state)
{
    struct pyd_dump_lines lines;

    (void)state;
    pyd_dump_thread(&writer, 1, 0, "");
    for (int i = 1; i <= 60; i++)
        pyd_dump_frame(&writer, "a.py", i, "f", NULL);
    lines = make_from_writer(PYD_DUMP_GIL);
    assert_int_equal(lines.count, 61);
    assert_string_equal(lines.lines[41], "called from file \"a.py\", line 41, in f");
    pyd_dump_lines_destroy(&lines);
}

static void test_many_lines(void **state)
{
    struct pyd_dump_lines lines;
    char name[16];

    (void)state;
    for (int i = 1; i <= 500; i++) {
        snprintf(name, sizeof name, "f%d", i);
        write_thread(i, "", name);
    }
    lines = make_from_writer(PYD_DUMP_GIL);
    assert_int_equal(lines.count, PYD_DUMP_LINES_MAX);
    assert_string_equal(lines.lines[398], "Thread 398, executing file \"a.py\", line 1, in f398");
    assert_string_equal(lines.lines[399], "... 102 lines left out");
    pyd_dump_lines_destroy(&lines);
}

/* More threads than anybody has are not kept: neither memory nor time is the worker's to choose. */
static void test_many_threads(void **state)
{
    struct pyd_dump_lines lines;

    (void)state;
    for (int i = 1; i <= 10000; i++) {
        pyd_dump_thread(&writer, i, 0, "");
        pyd_dump_native(&writer, "futex", 0, "");
    }
    lines = make_from_writer(PYD_DUMP_GIL);
    CHECK(lines, FIRST, "2000 threads (1, 2, 3, 4, 5, 6, 7, 8, ...) native: futex",
          "... 8000 threads and tasks left out");
}

/* With what is put around it, and after httpd has escaped it, each line is whole. */
static void test_long_lines(void **state)
{
    char text[4 * 4096], path[4096];
    struct pyd_dump_lines lines;

    (void)state;
    memset(path, '\x01', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    snprintf(text, sizeof text, "T\t1\t0\t%s\nF\t%s\t1\tf\t\nF\ta.py\t2\tg\tx\n", path, path);
    lines = make(PYD_DUMP_GIL, text, 0);
    assert_int_equal(lines.count, 3);
    assert_in_range(strlen(lines.lines[1]), 1880, 1950);
    assert_true(pyd_logline_fit(lines.lines[1], strlen(lines.lines[1])) == strlen(lines.lines[1]));
    assert_string_equal(lines.lines[2], "called from file \"a.py\", line 2, in g: x");
    pyd_dump_lines_destroy(&lines);
    memset(path, 'x', sizeof path - 1);
    snprintf(text, sizeof text, "T\t1\t0\t%s\nF\t%s\t1\tf\t%s\n", path, path, path);
    lines = make(PYD_DUMP_GIL, text, 0);
    assert_int_equal(strlen(lines.lines[1]), PYD_LOGLINE_MAX - 100);
    pyd_dump_lines_destroy(&lines);
}

static void test_nul(void **state)
{
    static const char text[] = "T\t1\t0\ta\0b\nF\ta\0.py\t2\tg\tx\n";
    struct pyd_dump_input input = {.tier = PYD_DUMP_GIL, .text = text, .bytes = sizeof text - 1};
    struct pyd_dump_lines lines;

    (void)state;
    assert_int_equal(pyd_dump_lines_create(&input, &lines), 0);
    CHECK(lines, FIRST, "Thread 1 (a?b), executing file \"a?.py\", line 2, in g: x");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_example),
        TEST(test_order),
        TEST(test_holder_with_request),
        TEST(test_waits_for_gil),
        TEST(test_same_stacks),
        TEST(test_other_stacks),
        TEST(test_idle_threads_are_folded),
        TEST(test_tasks),
        TEST(test_requests_without_stack),
        TEST(test_proc),
        TEST(test_crash),
        TEST(test_crash_without_thread),
        TEST(test_one_thread),
        TEST(test_ended_requests),
        TEST(test_lies),
        TEST(test_deep_stack),
        TEST(test_60_frames_are_all_shown),
        TEST(test_many_lines),
        TEST(test_many_threads),
        TEST(test_long_lines),
        TEST(test_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
