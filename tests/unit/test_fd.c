/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "pyd_clock.h"
#include "pyd_fd.h"

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void assert_cloexec(int fd)
{
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static int exit_status_of(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- one or two descriptors ---- */

static void test_close(void **state)
{
    int fds[2];
    int closed;

    (void)state;
    assert_int_equal(pyd_fd_pipe(fds), 0);
    closed = fds[0];
    errno = EXDEV;
    pyd_fd_close(&fds[0]);
    assert_int_equal(fds[0], -1);
    assert_false(is_open(closed));
    errno = EXDEV;
    pyd_fd_close(&fds[0]);
    assert_int_equal(errno, EXDEV);
    /* A number that is not open: close(2) fails, errno stays. */
    pyd_fd_close(&closed);
    assert_int_equal(closed, -1);
    assert_int_equal(errno, EXDEV);
    pyd_fd_close(&fds[1]);
}

static void test_pipe_and_socketpair(void **state)
{
    int fds[2] = {-7, -8};
    char byte = 0;

    (void)state;
    assert_int_equal(pyd_fd_pipe(fds), 0);
    assert_cloexec(fds[0]);
    assert_cloexec(fds[1]);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    pyd_fd_close(&fds[0]);
    pyd_fd_close(&fds[1]);

    assert_int_equal(pyd_fd_socketpair(SOCK_SEQPACKET, fds), 0);
    assert_cloexec(fds[0]);
    assert_cloexec(fds[1]);
    assert_int_equal(write(fds[1], "y", 1), 1);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    pyd_fd_close(&fds[0]);
    pyd_fd_close(&fds[1]);

    fds[0] = -7;
    fds[1] = -8;
    assert_int_equal(pyd_fd_socketpair(12345, fds), EINVAL);
    assert_int_equal(fds[0], -7);
    assert_int_equal(fds[1], -8);
}

static void test_failures_leave_results(void **state)
{
    struct rlimit before, none;
    int fds[2] = {-7, -8}, fd = -9, errors[3];

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    errors[0] = pyd_fd_pipe(fds);
    errors[1] = pyd_fd_socketpair(SOCK_STREAM, fds);
    errors[2] = pyd_fd_memory("none", 1, &fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(errors[i], EMFILE);
    assert_int_equal(fds[0], -7);
    assert_int_equal(fds[1], -8);
    assert_int_equal(fd, -9);
}

static void test_nonblocking(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pyd_fd_pipe(fds), 0);
    assert_int_equal(pyd_fd_set_nonblocking(fds[0], 1), 0);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(pyd_fd_set_nonblocking(fds[0], 1), 0);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(pyd_fd_set_nonblocking(fds[0], 0), 0);
    assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(pyd_fd_set_nonblocking(-1, 1), EBADF);
    pyd_fd_close(&fds[0]);
    pyd_fd_close(&fds[1]);
}

/* ---- pyd_fd_memory ---- */

static void test_memory(void **state)
{
    char link[64], name[128] = "";
    struct stat info;
    char *mapped;
    int fd = -1;

    (void)state;
    assert_int_equal(pyd_fd_memory("pydaemon-test", 10000, &fd), 0);
    assert_cloexec(fd);
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(info.st_size, 10000);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    assert_true(readlink(link, name, sizeof(name) - 1) > 0);
    assert_non_null(strstr(name, "pydaemon-test"));

    /* Writable for all who have it, and never of another size. */
    mapped = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(mapped != MAP_FAILED);
    assert_int_equal(mapped[9999], 0);
    mapped[9999] = 'x';
    assert_int_equal(pwrite(fd, "y", 1, 0), 1);
    assert_int_equal(mapped[0], 'y');
    assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_int_equal(ftruncate(fd, 9999), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 10001), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(pwrite(fd, "z", 1, 10000), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(errno, EPERM);
    munmap(mapped, 10000);
    pyd_fd_close(&fd);
}

static void test_memory_sizes(void **state)
{
    struct stat info;
    int fd = -1;

    (void)state;
    assert_int_equal(pyd_fd_memory("empty", 0, &fd), 0);
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(info.st_size, 0);
    pyd_fd_close(&fd);
    assert_int_equal(pyd_fd_memory("large", SIZE_MAX, &fd), EFBIG);
    assert_int_equal(fd, -1);
}

/* ---- pyd_fd_write_all ---- */

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8));
}

static unsigned char *make_pattern(size_t size)
{
    unsigned char *data = malloc(size);

    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = pattern(i);
    return data;
}

/*
 * A child that, once a byte has come through `go` (or at once, if -1), reads fd to its end. It exits with 0 if that was
 * the pattern.
 */
static pid_t start_reader(int fd, int other_end, int go, size_t expected)
{
    pid_t pid = fork();
    unsigned char room[5000];
    size_t total = 0;
    ssize_t size;

    if (pid != 0)
        return pid;
    close(other_end);
    if (go >= 0 && read(go, room, 1) != 1)
        _exit(2);
    while ((size = read(fd, room, sizeof(room))) > 0) {
        for (ssize_t i = 0; i < size; i++, total++) {
            if (room[i] != pattern(total))
                _exit(3);
        }
    }
    _exit(size == 0 && total == expected ? 0 : 4);
}

static void assert_writes_all(int fds[2], int nonblocking, int timeout_ms)
{
    enum { BYTES = 1 << 20 };
    unsigned char *data = make_pattern(BYTES);
    pid_t reader = start_reader(fds[0], fds[1], -1, BYTES);

    assert_true(reader > 0);
    assert_int_equal(pyd_fd_set_nonblocking(fds[1], nonblocking), 0);
    assert_int_equal(pyd_fd_write_all(fds[1], data, BYTES, timeout_ms), 0);
    assert_int_equal((fcntl(fds[1], F_GETFL) & O_NONBLOCK) != 0, nonblocking);
    pyd_fd_close(&fds[0]);
    pyd_fd_close(&fds[1]);
    assert_int_equal(exit_status_of(reader), 0);
    free(data);
}

static void test_write_all(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        int nonblocking = i & 1, timeout_ms = i & 2 ? 30000 : -1;
        int fds[2];

        assert_int_equal(i & 4 ? pyd_fd_pipe(fds) : pyd_fd_socketpair(SOCK_STREAM, fds), 0);
        assert_writes_all(fds, nonblocking, timeout_ms);
    }
}

static void test_write_all_to_file(void **state)
{
    unsigned char *data = make_pattern(100000), room[100000];
    int fd = -1;

    (void)state;
    assert_int_equal(pyd_fd_memory("file", 100000, &fd), 0);
    assert_int_equal(pyd_fd_write_all(fd, data, 0, 0), 0);
    assert_int_equal(pyd_fd_write_all(fd, data, 100000, 1000), 0);
    assert_int_equal(pread(fd, room, sizeof(room), 0), 100000);
    assert_memory_equal(room, data, 100000);
    assert_int_equal(pyd_fd_write_all(fd, data, 1, 1000), EPERM);
    pyd_fd_close(&fd);
    assert_int_equal(pyd_fd_write_all(-1, data, 1, 1000), EBADF);
    free(data);
}

/* Nobody reads: it gives up, even where write(2) would block for ever. */
static void test_write_all_times_out(void **state)
{
    unsigned char *data = make_pattern(4 << 20);

    (void)state;
    for (int i = 0; i < 4; i++) {
        int64_t start_us, took_us;
        int fds[2];

        assert_int_equal(i & 2 ? pyd_fd_pipe(fds) : pyd_fd_socketpair(SOCK_STREAM, fds), 0);
        assert_int_equal(pyd_fd_set_nonblocking(fds[1], i & 1), 0);
        start_us = pyd_clock_us();
        assert_int_equal(pyd_fd_write_all(fds[1], data, 4 << 20, 30), ETIMEDOUT);
        took_us = pyd_clock_us() - start_us;
        assert_true(took_us >= 30000);
        assert_int_equal(pyd_fd_write_all(fds[1], data, 4 << 20, 0), ETIMEDOUT);
        pyd_fd_close(&fds[0]);
        pyd_fd_close(&fds[1]);
    }
    free(data);
}

static void test_write_all_to_nobody(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pyd_fd_socketpair(SOCK_STREAM, fds), 0);
    pyd_fd_close(&fds[0]);
    /* SIGPIPE is as it was at start: it would end this program. */
    assert_int_equal(pyd_fd_write_all(fds[1], "x", 1, 1000), EPIPE);
    pyd_fd_close(&fds[1]);

    assert_int_equal(pyd_fd_pipe(fds), 0);
    pyd_fd_close(&fds[0]);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pyd_fd_write_all(fds[1], "x", 1, 1000), EPIPE);
    signal(SIGPIPE, SIG_DFL);
    pyd_fd_close(&fds[1]);
}

static int go_fd;
static volatile sig_atomic_t ticks;

static void tick(int signal_number)
{
    (void)signal_number;
    ticks++;
    if (ticks == 5 && write(go_fd, "g", 1) != 1)
        abort();
}

/* The reader starts only after five signals have interrupted the wait for room. */
static void test_write_all_is_interrupted(void **state)
{
    enum { BYTES = 4 << 20 };
    const struct itimerval every_ms = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}}, off = {0};
    struct sigaction action = {.sa_handler = tick};
    unsigned char *data = make_pattern(BYTES);
    int fds[2], go[2];
    pid_t reader;

    (void)state;
    assert_int_equal(pyd_fd_socketpair(SOCK_STREAM, fds), 0);
    assert_int_equal(pyd_fd_pipe(go), 0);
    reader = start_reader(fds[0], fds[1], go[0], BYTES);
    go_fd = go[1];
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every_ms, NULL), 0);
    assert_int_equal(pyd_fd_write_all(fds[1], data, BYTES, 30000), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_true(ticks >= 5);
    for (int i = 0; i < 2; i++) {
        pyd_fd_close(&fds[i]);
        pyd_fd_close(&go[i]);
    }
    assert_int_equal(exit_status_of(reader), 0);
    free(data);
}

/* ---- pyd_fd_close_except ---- */

enum { MANY = 700 };

/* Make close_range(2) fail as it does on a kernel without it. */
static int hide_close_range(void)
{
#ifdef SYS_close_range
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(rules) / sizeof(rules[0]), .filter = rules};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return -1;
#endif
    return 0;
}

/* Below the limits no number is free, so /proc can't be opened; numbers above the hard one are not tried one by one. */
static int set_limits(rlim_t soft, rlim_t hard)
{
    const struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

    return setrlimit(RLIMIT_NOFILE, &limit);
}

/* MANY descriptors from 3 on, all of them open. */
static int open_many(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    limit.rlim_cur = limit.rlim_max < 2000 ? limit.rlim_max : 2000;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    for (int fd = 3; fd < 3 + MANY; fd++) {
        if (!is_open(fd) && dup2(0, fd) != fd)
            return -1;
    }
    return 0;
}

/* 0 if exactly those in keep, and 0 to 2, are open. */
static int only_these_are_open(const int *keep, size_t kept_count)
{
    for (int fd = 0; fd < 2 * MANY; fd++) {
        int kept = fd <= 2;

        for (size_t i = 0; i < kept_count; i++)
            kept |= keep[i] == fd;
        if (is_open(fd) != kept)
            return -1;
    }
    return 0;
}

enum way { WAY_PROC, WAY_CLOSE_RANGE, WAY_ONE_BY_ONE };

/* Each way with the others made impossible; in a forked child, as the manager uses it. Exit status 0: as it must be. */
static void close_in_child(enum way way, const int *keep, size_t kept_count)
{
    dup2(open("/dev/null", O_RDWR), 0);
    if (open_many() != 0)
        _exit(10);
    if (way != WAY_CLOSE_RANGE && hide_close_range() != 0)
        _exit(11);
    if (way == WAY_PROC) {
        close(20);
        if (set_limits(64, 64) != 0)
            _exit(12);
    } else if (set_limits(3, way == WAY_ONE_BY_ONE ? 2000 : 3) != 0) {
        _exit(13);
    }
    pyd_fd_close_except(keep, kept_count);
    _exit(only_these_are_open(keep, kept_count) == 0 ? 0 : 14);
}

static void assert_closes(enum way way, const int *keep, size_t kept_count)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0)
        close_in_child(way, keep, kept_count);
    status = exit_status_of(pid);
    if (status != 0)
        fail_msg("way %d, %zu kept: %d", (int)way, kept_count, status);
}

static void assert_closes_all_ways(enum way way)
{
    static const int unordered[] = {500, 3, -1, 702, 4, 30, 500}, edges[] = {0, 1, 2};
    int many[300];

    for (int i = 0; i < 300; i++)
        many[i] = 702 - 2 * i;
    assert_closes(way, NULL, 0);
    assert_closes(way, unordered, 7);
    assert_closes(way, edges, 3);
    assert_closes(way, many, 300);
}

static void test_close_except_by_proc(void **state)
{
    (void)state;
    assert_closes_all_ways(WAY_PROC);
}

static void test_close_except_by_range(void **state)
{
    (void)state;
    if (syscall(436, 5000u, 4000u, 0u) != 0 && errno == ENOSYS)
        skip(); /* Linux before 5.9 */
    assert_closes_all_ways(WAY_CLOSE_RANGE);
}

static void test_close_except_one_by_one(void **state)
{
    (void)state;
    assert_closes_all_ways(WAY_ONE_BY_ONE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_pipe_and_socketpair),
        cmocka_unit_test(test_failures_leave_results),
        cmocka_unit_test(test_nonblocking),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_sizes),
        cmocka_unit_test(test_write_all),
        cmocka_unit_test(test_write_all_to_file),
        cmocka_unit_test(test_write_all_times_out),
        cmocka_unit_test(test_write_all_to_nobody),
        cmocka_unit_test(test_write_all_is_interrupted),
        cmocka_unit_test(test_close_except_by_proc),
        cmocka_unit_test(test_close_except_by_range),
        cmocka_unit_test(test_close_except_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
