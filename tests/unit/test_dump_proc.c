/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_dump.h"
#include "pyd_dump_proc.h"

static const char *name_of_call(long number)
{
    static char room[100];
    char text[100];

    snprintf(text, sizeof text, "%ld 0x0 0x7ffcf39cc810 0x1 0x0 0x0 0x0 0x7ffcf39cc7f8 0x7fc36644f503\n", number);
    assert_ptr_equal(pyd_dump_proc_syscall(text, room, sizeof room), room);
    return room;
}

static void test_syscall(void **state)
{
    char room[100];

    (void)state;
    assert_string_equal(name_of_call(SYS_futex), "futex");
    assert_string_equal(name_of_call(SYS_epoll_pwait), "epoll_pwait");
    assert_string_equal(name_of_call(SYS_read), "read");
    assert_string_equal(name_of_call(SYS_recvfrom), "recvfrom");
    assert_string_equal(name_of_call(SYS_writev), "writev");
    snprintf(room, sizeof room, "system call %ld", (long)SYS_getpid);
    assert_string_equal(name_of_call(SYS_getpid), room);
    assert_string_equal(pyd_dump_proc_syscall("running\n", room, sizeof room), "running");
    assert_string_equal(pyd_dump_proc_syscall("-1 0x7ffcf39cc7f8 0x7fc36644f503\n", room, sizeof room),
                        "blocked, but not in a system call");
    assert_string_equal(pyd_dump_proc_syscall("", room, sizeof room), "");
    assert_string_equal(pyd_dump_proc_syscall("garbage", room, sizeof room), "");
}

static void test_stack(void **state)
{
    char room[100], little[16];

    (void)state;
    assert_string_equal(pyd_dump_proc_stack("[<0>] futex_wait_queue+0x62/0x90\n"
                                            "[<0>] futex_wait+0x177/0x270\n"
                                            "[<0>] do_futex+0x105/0x190\n"
                                            "[<0>] do_syscall_64+0x71/0x280\n"
                                            "[<0>] entry_SYSCALL_64_after_hwframe+0x76/0x7e\n",
                                            room, sizeof room),
                        "futex_wait_queue < futex_wait < do_futex");
    assert_string_equal(pyd_dump_proc_stack("[<0>] 0xffffffff81234567\nname", room, sizeof room),
                        "0xffffffff81234567 < name");
    assert_string_equal(pyd_dump_proc_stack("", room, sizeof room), "");
    assert_string_equal(pyd_dump_proc_stack("\n\n[<0>]\n", room, sizeof room), "[<0>]");
    /* What does not fit is left out as a whole. */
    assert_string_equal(pyd_dump_proc_stack("[<0>] abcdef\n[<0>] ghijklmno\n", little, sizeof little), "abcdef");
}

static void test_state(void **state)
{
    char room[100];

    (void)state;
    assert_string_equal(pyd_dump_proc_state("7 (a) S b) T 1 7", room, sizeof room), "stopped (T)");
    assert_string_equal(pyd_dump_proc_state("7 (a) t 1 7", room, sizeof room), "stopped by a debugger (t)");
    assert_string_equal(pyd_dump_proc_state("7 (a) D 1 7", room, sizeof room), "in uninterruptible sleep (D)");
    assert_string_equal(pyd_dump_proc_state("7 (a) Z 1 7", room, sizeof room), "ended (zombie) (Z)");
    assert_string_equal(pyd_dump_proc_state("7 (a) S 1 7", room, sizeof room), "");
    assert_string_equal(pyd_dump_proc_state("7 (a) R 1 7", room, sizeof room), "");
    assert_string_equal(pyd_dump_proc_state("7 (a)", room, sizeof room), "");
    assert_string_equal(pyd_dump_proc_state("", room, sizeof room), "");
}

static void test_caught(void **state)
{
    static const char text[] = "Name:\ta\nSigIgn:\tffffffffffffffff\nSigCgt:\t8000000000000801\nCapInh:\t0\n";

    (void)state;
    assert_true(pyd_dump_proc_parse_caught(text, 1));
    assert_true(pyd_dump_proc_parse_caught(text, 12));
    assert_true(pyd_dump_proc_parse_caught(text, 64));
    assert_false(pyd_dump_proc_parse_caught(text, 2));
    assert_false(pyd_dump_proc_parse_caught(text, 0));
    assert_false(pyd_dump_proc_parse_caught(text, 65));
    assert_false(pyd_dump_proc_parse_caught("SigIgn:\t1\n", 1));
}

static void on_signal(int number)
{
    (void)number;
}

/* A child that waits in pause(), with a handler for SIGUSR2, and ends with this process. */
static pid_t start_child(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "odd\tname");
        signal(SIGUSR2, on_signal);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void test_process(void **state)
{
    struct pyd_dump_writer writer;
    char expected[100];
    int status;
    pid_t pid = start_child();

    (void)state;
    assert_false(pyd_dump_proc_is_stopped(pid));
    assert_true(pyd_dump_proc_catches(pid, SIGUSR2));
    assert_false(pyd_dump_proc_catches(pid, SIGUSR1));
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    assert_true(pyd_dump_proc_is_stopped(pid));
    pyd_dump_writer_init(&writer, 10000);
    pyd_dump_proc(&writer, pid);
    pyd_dump_end(&writer);
    snprintf(expected, sizeof expected, "T\t%d\t0\todd?name\n", (int)pid);
    assert_memory_equal(writer.text.data, expected, strlen(expected));
    assert_non_null(strstr((char *)writer.text.data, "\nX\tstopped (T)\n"));
    pyd_dump_writer_done(&writer);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    /* Gone: nothing is known of it, and nothing is done to it. */
    assert_false(pyd_dump_proc_is_stopped(pid));
    assert_false(pyd_dump_proc_catches(pid, SIGUSR2));
    pyd_dump_writer_init(&writer, 10000);
    pyd_dump_proc(&writer, pid);
    pyd_dump_end(&writer);
    assert_string_equal((char *)writer.text.data, "");
    pyd_dump_writer_done(&writer);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *wait_at_gate(void *baton)
{
    (void)baton;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return NULL;
}

static void check_many(void)
{
    struct pyd_dump_writer writer;
    struct pyd_dump_item item;
    unsigned seen = 0;
    const char *at;

    pyd_dump_writer_init(&writer, 1 << 20);
    pyd_dump_proc(&writer, getpid());
    pyd_dump_end(&writer);
    at = (const char *)writer.text.data;
    assert_true(pyd_dump_next(&at, (const char *)writer.text.data + writer.text.size, &item));
    assert_int_equal(item.kind, PYD_DUMP_REMARK);
    assert_memory_equal(item.name.data, "The first 1000 of 1011 threads:", item.name.size);
    while (pyd_dump_next(&at, (const char *)writer.text.data + writer.text.size, &item))
        seen += item.kind == PYD_DUMP_THREAD;
    assert_int_equal(seen, PYD_DUMP_PROC_THREADS);
    pyd_dump_writer_done(&writer);
}

static void test_many_threads(void **state)
{
    enum { COUNT = PYD_DUMP_PROC_THREADS + 10 };
    static pthread_t threads[COUNT];
    unsigned count = 0;
    pthread_attr_t attr;

    (void)state;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    pthread_mutex_lock(&gate);
    while (count < COUNT && pthread_create(&threads[count], &attr, wait_at_gate, NULL) == 0)
        count++;
    if (count == COUNT)
        check_many();
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attr);
    if (count < COUNT)
        skip(); /* so many threads are not allowed here */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syscall), cmocka_unit_test(test_stack),   cmocka_unit_test(test_state),
        cmocka_unit_test(test_caught),  cmocka_unit_test(test_process), cmocka_unit_test(test_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
