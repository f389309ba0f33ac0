/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_fd.h"
#include "pyd_usage.h"

#define MIB INT64_C(1048576)
#define NOBODY 65534

static void test_statm(void **state)
{
    (void)state;
    assert_int_equal(pyd_usage_parse_statm("765 422 394 5 0 123 0\n", 4096), 28 * 4096);
    assert_int_equal(pyd_usage_parse_statm("765 422 394 5 0 123 0\n", 65536), 28 * 65536);
    assert_int_equal(pyd_usage_parse_statm("765 394 422 5 0 123 0\n", 4096), 0);
    assert_int_equal(pyd_usage_parse_statm("0 0 0 0 0 0 0\n", 4096), 0); /* a zombie */
}

static void test_statm_garbage(void **state)
{
    static const char *const texts[] = {"",     "\n",        " 1 2 3",       "765",         "765 ",       "765 x 3",
                                        "x 1 2", "1 -2 3",   "1\t2\t3",      "1  2 3",      "1 2",        "1 2 ",
                                        "1 2 -3", "1 99999999999999999999 3", "1 9223372036854775808 3"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(pyd_usage_parse_statm(texts[i], 4096), -1);
    /* A number that is one, but not of pages. */
    assert_int_equal(pyd_usage_parse_statm("1 9223372036854775807 3", 4096), -1);
    assert_int_equal(pyd_usage_parse_statm("1 2 3", 0), -1);
    assert_int_equal(pyd_usage_parse_statm("1 2 3", -1), -1); /* as sysconf(3) fails */
}

#define AFTER_NAME " S 22835 22835 32467 0 -1 4194304 105 0 0 0 %s 7 8 20 0 1 0 1607332 3133440 394\n"

static int64_t cpu_of(const char *name, const char *used, int64_t ticks)
{
    char text[400], format[400];

    snprintf(format, sizeof format, "22838 (%s)%s", name, AFTER_NAME);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, used);
#pragma GCC diagnostic pop
    return pyd_usage_parse_stat(text, ticks);
}

static void test_stat(void **state)
{
    (void)state;
    assert_int_equal(cpu_of("cat", "150 75", 100), 2250000);
    assert_int_equal(cpu_of("cat", "0 0", 100), 0);
    assert_int_equal(cpu_of("cat", "1 0", 300), 3333);
    assert_int_equal(cpu_of("a b) R 1 (c", "150 75", 100), 2250000);
    assert_int_equal(cpu_of(")", "150 75", 100), 2250000);
    assert_int_equal(cpu_of(") ", "150 75", 100), 2250000);
    assert_int_equal(cpu_of("", "150 75", 100), 2250000);
    assert_int_equal(cpu_of("((( 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "150 75", 100), 2250000);
}

static void test_stat_garbage(void **state)
{
    static const char *const texts[] = {"",     ")",        "1 (cat",       "1 (cat)",
                                        "1 (cat) ", "1 (cat) S 1 2 3", "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11",
                                        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 ", "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 x",
                                        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 -1 12", "1 cat S 1 2 3 4 5 6 7 8 9 10 11 12"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (pyd_usage_parse_stat(texts[i], 100) != -1)
            fail_msg("%s", texts[i]);
    assert_int_equal(pyd_usage_parse_stat("1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12", 100), 230000);
    assert_int_equal(cpu_of("cat", "9223372036854775807 1", 100), -1);
    assert_int_equal(cpu_of("cat", "9223372036854775807 0", 1), -1);
    assert_int_equal(cpu_of("cat", "99999999999999999999 1", 100), -1);
    assert_int_equal(cpu_of("cat", "1 1", 0), -1);
    assert_int_equal(cpu_of("cat", "1 1", -1), -1);
}

/* A process that has touched so much memory, and waits to be killed. Not dumpable: as a worker is. */
static pid_t start_large(size_t bytes)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pyd_fd_pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            _exit(1);
        memset(memory, 'x', bytes);
        prctl(PR_SET_DUMPABLE, 0);
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_memory_of_a_process(void **state)
{
    pid_t pid = start_large(64 * MIB);
    int64_t private_bytes = pyd_usage_private(pid);

    (void)state;
    /* The kernel counts resident pages a little late. */
    assert_true(private_bytes >= 60 * MIB && private_bytes < 72 * MIB);
    end(pid);
    assert_int_equal(pyd_usage_private(pid), -1);
    assert_int_equal(pyd_usage_cpu_us(pid), -1);
}

/* As root without CAP_SYS_PTRACE in most containers. */
static void test_memory_of_a_process_one_may_not_look_into(void **state)
{
    pid_t pid = start_large(64 * MIB), reader;
    int status = -1;

    (void)state;
    reader = fork();
    assert_true(reader >= 0);
    if (reader == 0) {
        int64_t bytes;

        if (geteuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
            _exit(1);
        bytes = pyd_usage_private(pid);
        _exit(bytes >= 60 * MIB && bytes < 72 * MIB ? 0 : 3);
    }
    waitpid(reader, &status, 0);
    assert_int_equal(status, 0);
    end(pid);
}

static void test_cpu_of_a_process(void **state)
{
    int64_t before = pyd_usage_cpu_us(getpid());
    volatile unsigned turns = 0;

    (void)state;
    assert_true(before >= 0);
    while (pyd_usage_cpu_us(getpid()) < before + 30000)
        turns = turns + 1;
    assert_true(pyd_usage_cpu_us(getpid()) < before + 60 * INT64_C(1000000));
}

static void test_no_process(void **state)
{
    (void)state;
    assert_int_equal(pyd_usage_private(0), -1);
    assert_int_equal(pyd_usage_private(-1), -1);
    assert_int_equal(pyd_usage_cpu_us(0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statm),
        cmocka_unit_test(test_statm_garbage),
        cmocka_unit_test(test_stat),
        cmocka_unit_test(test_stat_garbage),
        cmocka_unit_test(test_memory_of_a_process),
        cmocka_unit_test(test_memory_of_a_process_one_may_not_look_into),
        cmocka_unit_test(test_cpu_of_a_process),
        cmocka_unit_test(test_no_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
