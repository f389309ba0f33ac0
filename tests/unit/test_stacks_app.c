/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of threads in an application that has taken away what they are made with. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_clock.h"
#include "pyd_stacks.h"
#include "pyd_stacks_core.h"

#define WHOLE "all of it"

static pthread_barrier_t begun;
static pid_t other_tid;

static void *wait_for_ever(void *unused)
{
    (void)unused;
    other_tid = (pid_t)syscall(SYS_gettid);
    pthread_barrier_wait(&begun);
    for (;;)
        pause();
    return NULL;
}

static void write_frames(int number)
{
    static const char FRAME[] = "  File \"a.py\", line 1 in f\n";

    (void)number;
    if (write(pyd_stacks_fd(), FRAME, sizeof(FRAME) - 1) < 0)
        _exit(9);
}

/* @return what the test expects of the process: 0 */
static int take(struct pyd_stacks_answer *ret_answer)
{
    pthread_t thread;

    pthread_barrier_init(&begun, NULL, 2);
    if (pthread_create(&thread, NULL, wait_for_ever, NULL))
        return 2;
    pthread_barrier_wait(&begun);
    return pyd_stacks_ask(other_tid, 0, pyd_clock_us() + 10000000, ret_answer) ? 3 : 0;
}

static int reset_signal(void)
{
    struct pyd_stacks_answer answer = {0};

    signal(PYD_STACKS_SIGNAL, SIG_DFL);
    return take(&answer) || answer.count == 0;
}

static int use_descriptor(void)
{
    struct pyd_stacks_answer answer = {0};
    int fd = pyd_stacks_fd(), rv;
    char room[100] = "";

    signal(PYD_STACKS_SIGNAL, write_frames);
    if (pyd_stacks_set_language(NULL) || close(fd) || memfd_create("app", 0) != fd ||
        write(fd, WHOLE, strlen(WHOLE)) != (ssize_t)strlen(WHOLE))
        return 4;
    rv = take(&answer);
    if (rv || answer.text)
        return rv ? rv : 5;
    if (pread(fd, room, sizeof(room) - 1, 0) < 0 || strcmp(room, WHOLE) != 0)
        return 6;
    return lseek(fd, 0, SEEK_CUR) != (off_t)strlen(WHOLE);
}

static void expect_well(int (*act)(void))
{
    pid_t pid = fork();
    int status = -1;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(pyd_stacks_init() ? 1 : act());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* As one does that makes all signals default. */
static void test_signal_was_reset(void **state)
{
    (void)state;
    expect_well(reset_signal);
}

/* As one does that closes all descriptors, and then opens its database. */
static void test_descriptor_is_anothers(void **state)
{
    (void)state;
    expect_well(use_descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signal_was_reset),
        cmocka_unit_test(test_descriptor_is_anothers),
    };

    return cmocka_run_group_tests_name("stacks_app", tests, NULL, NULL);
}
