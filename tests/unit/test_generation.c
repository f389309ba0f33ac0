/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned open_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        ++count;
    closedir(folder);
    return count;
}

static struct pyd_board *open_generation(void)
{
    struct pyd_board *board = fixture_board(1, 2, 3);

    assert_int_equal(pyd_generation_open(board), 0);
    return board;
}

static int is_cloexec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void test_open_and_close(void **state)
{
    unsigned before = open_count(), s;
    struct pyd_board *board = open_generation();
    const struct pyd_board_header *header = board->header;
    char byte = 0;
    int type = 0;
    socklen_t size = sizeof(type);

    (void)state;
    for (s = 0; s < 3; ++s) {
        const struct pyd_board_slot *slot = pyd_board_slot(board, 0, s);

        assert_int_equal(send(slot->rendezvous_child_fd, "r", 1, 0), 1);
        assert_int_equal(recv(slot->rendezvous_worker_fd, &byte, 1, 0), 1);
        assert_int_equal(getsockopt(slot->rendezvous_child_fd, SOL_SOCKET, SO_TYPE, &type, &size), 0);
        assert_int_equal(type, SOCK_SEQPACKET);
        assert_int_equal(write(slot->log_write_fd, "l", 1), 1);
        assert_int_equal(read(slot->log_read_fd, &byte, 1), 1);
        assert_true(is_cloexec(slot->rendezvous_child_fd) && is_cloexec(slot->rendezvous_worker_fd));
        assert_true(is_cloexec(slot->log_read_fd) && is_cloexec(slot->log_write_fd));
    }
    assert_int_equal(write(header->lifeline_write_fd, "l", 1), 1);
    assert_int_equal(read(header->lifeline_read_fd, &byte, 1), 1);
    assert_true(is_cloexec(header->lifeline_write_fd) && is_cloexec(header->lock_fd));
    assert_true(is_cloexec(header->lock_watch_fd) && is_cloexec(header->poke_write_fd));
    pyd_generation_close(board);
    assert_int_equal(open_count(), before);
    pyd_generation_close(board);
    pyd_generation_close(NULL);
    pyd_board_unmap(board);
}

static void test_the_worker_binary_is_closed_too(void **state)
{
    unsigned before = open_count();
    struct pyd_board *board = open_generation();

    (void)state;
    pyd_board_group(board, 0)->worker_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    fixture_done(board);
    assert_int_equal(open_count(), before);
}

/* Numbers of other people's descriptors on the board: none of them is closed. */
static void test_only_its_own_kinds_are_closed(void **state)
{
    char path[] = "/tmp/pyd-test-XXXXXX";
    int log = mkstemp(path), pipe_fds[2], sockets[2], i;
    struct pyd_board *board = open_generation();
    struct pyd_board_slot *slot = pyd_board_slot(board, 0, 0);
    int all[5];

    (void)state;
    unlink(path);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    memcpy(all, (int[]){log, pipe_fds[0], pipe_fds[1], sockets[0], sockets[1]}, sizeof(all));
    close(slot->rendezvous_child_fd);
    close(slot->log_read_fd);
    close(board->header->lock_watch_fd);
    slot->rendezvous_child_fd = sockets[0];
    slot->log_read_fd = log;
    board->header->lock_watch_fd = log;
    pyd_board_group(board, 0)->worker_fd = log;
    pyd_generation_close(board);
    for (i = 0; i < 5; ++i) {
        assert_true(fcntl(all[i], F_GETFD) >= 0);
        close(all[i]);
    }
    pyd_board_unmap(board);
}

/* A child that locks (or not), says so, and waits to be killed. */
static pid_t fork_holder(const struct pyd_board *board, int take)
{
    int said[2];
    char byte = 0;
    pid_t pid;

    assert_int_equal(pipe(said), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        byte = take && pyd_generation_lock(board) != 0 ? 'n' : 'y';
        if (write(said[1], &byte, 1) == 1)
            poll(NULL, 0, 30000);
        _exit(0);
    }
    assert_int_equal(read(said[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(said[0]);
    close(said[1]);
    return pid;
}

static void end_holder(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_locks_tell_who_lives(void **state)
{
    struct pyd_board *board = open_generation();
    int fds[2] = {board->header->lock_fd, board->header->lock_watch_fd}, i;
    pid_t a, b;

    (void)state;
    assert_false(pyd_generation_any_alive(fds[0]));
    a = fork_holder(board, 1);
    b = fork_holder(board, 1);
    for (i = 0; i < 2; ++i) {
        assert_true(pyd_generation_is_alive(fds[i], (uint32_t)a));
        assert_true(pyd_generation_is_alive(fds[i], (uint32_t)b));
        assert_false(pyd_generation_is_alive(fds[i], (uint32_t)b + 1));
        assert_true(pyd_generation_any_alive(fds[i]));
    }
    end_holder(a);
    for (i = 0; i < 2; ++i) {
        assert_false(pyd_generation_is_alive(fds[i], (uint32_t)a));
        assert_true(pyd_generation_is_alive(fds[i], (uint32_t)b));
        assert_true(pyd_generation_any_alive(fds[i]));
    }
    end_holder(b);
    for (i = 0; i < 2; ++i)
        assert_false(pyd_generation_any_alive(fds[i]));
    assert_true(pyd_generation_is_alive(-1, 1));
    assert_true(pyd_generation_any_alive(-1));
    fixture_done(board);
}

/* The question is asked in another process: one's own locks are never reported. */
static int asks(const struct pyd_board *board, pid_t about)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(about ? pyd_generation_is_alive(board->lock_fd, (uint32_t)about)
                    : pyd_generation_any_alive(board->lock_fd));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_a_fork_does_not_hold_its_parents_lock(void **state)
{
    struct pyd_board *board = open_generation();
    pid_t child;

    (void)state;
    assert_int_equal(pyd_generation_lock(board), 0);
    assert_true(asks(board, getpid()));
    child = fork_holder(board, 0);
    assert_false(asks(board, child));
    /* Neither does its end, nor that it closes everything, drop ours. */
    end_holder(child);
    assert_true(asks(board, getpid()));
    assert_int_equal(pyd_generation_unlock(board), 0);
    assert_false(asks(board, getpid()));
    assert_false(asks(board, 0));
    fixture_done(board);
    assert_int_equal(pyd_generation_lock(&(struct pyd_board){.lock_fd = -1}), EBADF);
}

/* What a worker gets. */
static void test_the_watch_takes_no_lock(void **state)
{
    struct pyd_board *board = open_generation();
    const short types[] = {F_RDLCK, F_WRLCK};
    char path[40], byte;
    pid_t pid;
    int i, status = 0, fd = board->header->lock_watch_fd;

    (void)state;
    for (i = 0; i < 2; ++i) {
        struct flock lock = {.l_type = types[i], .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};

        assert_int_equal(fcntl(fd, F_SETLK, &lock), -1);
        assert_int_equal(errno, EBADF);
    }
    assert_int_equal(read(fd, &byte, 1), -1);
    assert_int_equal(write(fd, "x", 1), -1);
    if (geteuid() == 0) { /* of a worker that is another user */
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        pid = fork();
        if (pid == 0)
            _exit(setgid(65534) != 0 || setuid(65534) != 0 || open(path, O_RDWR) >= 0 || open(path, O_RDONLY) >= 0 ||
                  pyd_generation_any_alive(fd));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    fixture_done(board);
}

static void test_attached_boards_lock_and_poke(void **state)
{
    struct pyd_board *board = open_generation(), *other = NULL;
    char bytes[8];

    (void)state;
    assert_int_equal(pyd_board_attach(board->header->board_fd, &other), 0);
    assert_int_equal(pyd_generation_lock(other), 0);
    assert_true(asks(board, getpid()));
    pyd_generation_poke(other);
    assert_int_equal(read(board->header->poke_read_fd, bytes, sizeof(bytes)), 1);
    pyd_board_unmap(other);
    fixture_done(board);
}

static void test_poke_never_blocks(void **state)
{
    struct pyd_board *board = open_generation();
    char bytes[8];
    int i;

    (void)state;
    for (i = 0; i < 200000; ++i)
        pyd_generation_poke(board);
    errno = 77;
    pyd_generation_poke(board);
    assert_int_equal(errno, 77);
    /* Whatever is on the board: the number that counts is private. */
    board->header->poke_write_fd = 1;
    assert_int_equal(read(board->header->poke_read_fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    fixture_done(board);
}

/* In a child: limits cannot be raised again. */
static int with_limits(rlim_t soft, rlim_t hard, rlim_t *ret_soft)
{
    struct rlimit limit = {soft, hard};
    struct pyd_board *board = fixture_board(20, 2, 3); /* 60 slots: 246 descriptors */
    unsigned before = open_count();
    int rv;

    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    rv = pyd_generation_open(board);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || (rv && open_count() != before))
        return -1;
    *ret_soft = limit.rlim_cur;
    fixture_done(board);
    return rv;
}

static int limits_work(int which)
{
    rlim_t soft = 0;

    switch (which) {
    case 0: /* raised, with some to spare */
        return with_limits(64, 4096, &soft) == 0 && soft > 246 && soft < 4096;
    case 1: /* as far as it goes */
        return with_limits(64, 300, &soft) == 0 && soft == 300;
    case 2: /* not enough: nothing changed */
        return with_limits(64, 200, &soft) == EMFILE && soft == 64;
    default: /* enough already */
        return with_limits(2000, 4096, &soft) == 0 && soft == 2000;
    }
}

static void test_descriptor_limits(void **state)
{
    int which, status;

    (void)state;
    for (which = 0; which < 4; ++which) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(!limits_work(which));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0)
            print_error("case %d\n", which);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_and_close),
        cmocka_unit_test(test_the_worker_binary_is_closed_too),
        cmocka_unit_test(test_only_its_own_kinds_are_closed),
        cmocka_unit_test(test_locks_tell_who_lives),
        cmocka_unit_test(test_a_fork_does_not_hold_its_parents_lock),
        cmocka_unit_test(test_the_watch_takes_no_lock),
        cmocka_unit_test(test_attached_boards_lock_and_poke),
        cmocka_unit_test(test_poke_never_blocks),
        cmocka_unit_test(test_descriptor_limits),
    };

    return cmocka_run_group_tests_name("generation", tests, NULL, NULL);
}
