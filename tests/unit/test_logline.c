/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_logline.h"

static char text[1 << 20];

static void test_fit(void **state)
{
    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(pyd_logline_fit(text, 0), 0);
    assert_int_equal(pyd_logline_fit(text, 1), 1);
    assert_int_equal(pyd_logline_fit(text, PYD_LOGLINE_MAX), PYD_LOGLINE_MAX);
    assert_int_equal(pyd_logline_fit(text, PYD_LOGLINE_MAX + 1), PYD_LOGLINE_MAX);
    memset(text, '\\', sizeof(text));
    assert_int_equal(pyd_logline_fit(text, sizeof(text)), PYD_LOGLINE_MAX / 2);
    memset(text, 0x80, sizeof(text)); /* no UTF-8 */
    assert_int_equal(pyd_logline_fit(text, sizeof(text)), PYD_LOGLINE_MAX / 4);
}

static void test_fit_keeps_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        size_t fits;

        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = i < shift ? 'x' : "\xf0\x9f\x90\x8d"[(i - shift) % 4];
        fits = pyd_logline_fit(text, sizeof(text));
        assert_int_equal((fits - shift) % 4, 0);
        assert_in_range(fits, PYD_LOGLINE_MAX / 4 - 4, PYD_LOGLINE_MAX / 4 + 3);
    }
}

static void test_copy(void **state)
{
    char room[PYD_LOGLINE_MAX + 1];

    (void)state;
    pyd_logline_copy(room, "a\0b\x01", 4);
    assert_string_equal(room, "a?b\x01");
    pyd_logline_copy(room, "x", 0);
    assert_string_equal(room, "");
}

/* What a write put into a pipe, which must have room for it. */
static size_t written(int level, const char *lines, size_t size)
{
    int fds[2];
    ssize_t n;

    assert_int_equal(pyd_fd_pipe(fds), 0);
    pyd_logline_write(fds[1], level, lines, size);
    close(fds[1]);
    n = read(fds[0], text, sizeof(text) - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    close(fds[0]);
    return (size_t)n;
}

static void test_write(void **state)
{
    char line[PYD_LOGLINE_MAX + 100];

    (void)state;
    assert_int_equal(written(5, "", 0), 0);
    written(5, "one\n\ntwo", 8);
    assert_string_equal(text, "\x01" "5one\n\x01" "5\n\x01" "5two\n");
    written(3, "one\n", 4);
    assert_string_equal(text, "\x01" "3one\n");
    memset(line, 'y', sizeof(line));
    assert_int_equal(written(4, line, sizeof(line)), sizeof(line) + 6);
    assert_memory_equal(text + PYD_LOGLINE_MAX, "yy\n\x01" "4yy", 7);
}

#define THREADS 8
#define LINES 100

static size_t length_of(int thread, int number)
{
    return (size_t)(thread * 919 + number * 377) % PYD_LOGLINE_MAX + 1;
}

struct writer {
    int fd, thread;
};

static void *write_many(void *data)
{
    const struct writer *writer = data;
    char line[PYD_LOGLINE_MAX];

    memset(line, 'a' + writer->thread, sizeof(line));
    for (int i = 0; i < LINES; i++)
        pyd_logline_write(writer->fd, 5, line, length_of(writer->thread, i));
    return NULL;
}

static void *close_after(void *data)
{
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    int fd = *(int *)data;

    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.fd = fd, .thread = i};
        if (pthread_create(&threads[i], NULL, write_many, &writers[i]))
            abort();
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close(fd);
    return NULL;
}

/* Longer than what a pipe takes at once, and the pipe is full most of the time. */
static void test_threads_do_not_mix(void **state)
{
    int fds[2], next[THREADS] = {0}, at = -2, thread = 0;
    size_t length = 0;
    pthread_t closer;
    char piece[3000];
    ssize_t n;

    (void)state;
    assert_int_equal(pyd_fd_pipe(fds), 0);
    assert_int_equal(pthread_create(&closer, NULL, close_after, &fds[1]), 0);
    while ((n = read(fds[0], piece, sizeof(piece))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (at < 0) {
                assert_int_equal(piece[i], at == -2 ? PYD_LOG_TAG : '5');
                at++;
            } else if (piece[i] != '\n') {
                thread = length ? thread : piece[i] - 'a';
                assert_int_equal(piece[i], 'a' + thread);
                length++;
            } else {
                assert_int_equal(length, length_of(thread, next[thread]));
                next[thread]++;
                length = 0;
                at = -2;
            }
        }
    }
    pthread_join(closer, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES);
    close(fds[0]);
}

/* A process forked while another thread writes has that thread's lock, and not the thread. */
static void test_forked_process_writes(void **state)
{
    int fds[2], full[2], status;
    size_t total = 0;
    pthread_t thread;
    struct writer writer;
    pid_t pid;

    (void)state;
    for (int i = 0; i < LINES; i++)
        total += length_of(0, i) + 3;
    assert_int_equal(pyd_fd_pipe(full), 0);
    assert_int_equal(pyd_fd_pipe(fds), 0);
    writer = (struct writer){.fd = full[1], .thread = 0};
    assert_int_equal(pthread_create(&thread, NULL, write_many, &writer), 0);
    while (poll(&(struct pollfd){.fd = full[1], .events = POLLOUT}, 1, 0) != 0) /* until it waits for room */
        sched_yield();
    pid = fork();
    if (pid == 0) {
        alarm(10);
        pyd_logline_write(fds[1], 5, "child", 5);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(fds[0], text, sizeof(text)), 8);
    for (size_t left = total; left > 0;) {
        ssize_t n = read(full[0], text, sizeof(text));

        assert_true(n > 0);
        left -= (size_t)n;
    }
    pthread_join(thread, NULL);
    close(full[1]);
    close(full[0]);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Nobody reads ---- */

struct stuck {
    int fd, hurry;
    size_t size;         /* of the line */
    int64_t waited_us[2]; /* a line each */
};

static void *write_two(void *data)
{
    struct stuck *stuck = data;
    char line[PYD_LOGLINE_MAX];

    memset(line, 'z', sizeof(line));
    if (stuck->hurry)
        pyd_logline_hurry();
    for (int i = 0; i < 2; i++) {
        int64_t since_us = pyd_clock_us();

        pyd_logline_write(stuck->fd, 5, line, stuck->size);
        stuck->waited_us[i] = pyd_clock_us() - since_us;
    }
    return NULL;
}

static void describe(char *room, size_t size, unsigned long lines)
{
    snprintf(room, size, "%lu lost", lines);
}

static void fill(int fd)
{
    static const char filler[4096];

    assert_int_equal(pyd_fd_set_nonblocking(fd, 1), 0);
    while (write(fd, filler, sizeof(filler)) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(pyd_fd_set_nonblocking(fd, 0), 0);
}

static size_t drain(int fd)
{
    size_t size = 0;
    ssize_t n;

    assert_int_equal(pyd_fd_set_nonblocking(fd, 1), 0);
    while ((n = read(fd, text + size, sizeof(text) - size - 1)) > 0)
        size += (size_t)n;
    text[size] = '\0';
    return size;
}

/* One waits in the middle of a line, one for its turn, and one does not wait for either. */
static void test_gives_up(void **state)
{
    static const char after[] = "zzz\n\x01" "46 lost\n\x01" "5next\n";
    struct stuck stuck[] = {{.size = 7000}, {.size = 10}, {.size = 10, .hurry = 1}};
    pthread_t threads[3];
    int fds[2];
    size_t size;

    (void)state;
    pyd_logline_on_loss(describe);
    assert_int_equal(pyd_fd_pipe(fds), 0);
    fill(fds[1]);
    assert_int_equal(read(fds[0], text, 4096), 4096);
    for (int i = 0; i < 3; i++) {
        stuck[i].fd = fds[1];
        assert_int_equal(pthread_create(&threads[i], NULL, write_two, &stuck[i]), 0);
        while (i == 0 && poll(&(struct pollfd){.fd = fds[1], .events = POLLOUT}, 1, 0) != 0)
            sched_yield();
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(stuck[0].waited_us[0], 4900000, 9000000);
    assert_in_range(stuck[1].waited_us[0], 1000000, 9000000);
    assert_in_range(stuck[2].waited_us[0], 100000, 3000000);
    for (int i = 0; i < 3; i++)
        assert_in_range(stuck[i].waited_us[1], 0, 3000000);
    drain(fds[0]);
    pyd_logline_write(fds[1], 5, "next", 4);
    size = drain(fds[0]);
    assert_int_equal(size, sizeof(after) - 1 - 3);
    assert_string_equal(text, after + 3);
    /* One that got through: the next one may wait again, and nothing is told twice. */
    pyd_logline_write(fds[1], 5, "next", 4);
    drain(fds[0]);
    assert_string_equal(text, "\x01" "5next\n");
    pyd_logline_on_loss(NULL);
    close(fds[0]);
    close(fds[1]);
}

/* A short wait of a thread in a hurry is no reason for others to drop lines. */
static void test_hurry_is_its_own(void **state)
{
    struct stuck stuck = {.size = 10, .hurry = 1};
    struct writer writer;
    struct timespec until;
    pthread_t hurried, patient;
    char piece[4096];
    int64_t total = 0;
    int fds[2];

    (void)state;
    pyd_logline_on_loss(NULL);
    for (int i = 0; i < LINES; i++)
        total += (int64_t)length_of(1, i) + 3;
    assert_int_equal(pyd_fd_pipe(fds), 0);
    fill(fds[1]);
    stuck.fd = writer.fd = fds[1];
    writer.thread = 1;
    assert_int_equal(pthread_create(&hurried, NULL, write_two, &stuck), 0);
    pthread_join(hurried, NULL);
    assert_int_equal(pthread_create(&patient, NULL, write_many, &writer), 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    assert_int_equal(pthread_timedjoin_np(patient, NULL, &until), ETIMEDOUT); /* it waits */
    for (ssize_t n; total > 0;) {
        n = read(fds[0], piece, sizeof(piece));
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            total -= piece[i] != '\0';
    }
    assert_int_equal(total, 0);
    pthread_join(patient, NULL);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),   cmocka_unit_test(test_fit_keeps_characters), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_write), cmocka_unit_test(test_threads_do_not_mix),
        cmocka_unit_test(test_forked_process_writes), cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_hurry_is_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
