/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_fd.h"

/* Interrupt the next so many calls. These stand in front of libc's. */
static int interruptions;

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_sendmsg, socket, message, flags);
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_recvmsg, socket, message, flags);
}

struct fixture {
    int near, far; /* a SOCK_SEQPACKET pair: near sends, far receives */
    int open_count;
};

static int count_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static int open_pair(void **state)
{
    static struct fixture fixture;
    int fds[2];

    interruptions = 0;
    if (pyd_fd_socketpair(SOCK_SEQPACKET, fds) != 0)
        return -1;
    fixture.near = fds[0];
    fixture.far = fds[1];
    fixture.open_count = count_open();
    *state = &fixture;
    return 0;
}

static int close_pair(void **state)
{
    struct fixture *fixture = *state;

    pyd_fd_close(&fixture->near);
    pyd_fd_close(&fixture->far);
    return 0;
}

/* Send count copies of descriptor 0 in one message. */
static void send_many(int socket, const void *data, size_t size, size_t count)
{
    union {
        struct cmsghdr header;
        unsigned char room[CMSG_SPACE(64 * sizeof(int))];
    } control = {.room = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    assert_true(count <= 64);
    message.msg_control = control.room;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
    for (size_t i = 0; i < count; i++)
        memset(CMSG_DATA(&control.header) + i * sizeof(int), 0, sizeof(int));
    assert_int_equal(sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL), size);
}

static void assert_taken(int socket, const char *expected, int with_descriptor)
{
    char room[64];
    size_t size = sizeof(room);
    int passed = -2;

    assert_int_equal(pyd_fd_take(socket, room, &size, &passed), 0);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(room, expected, size);
    assert_int_equal(passed >= 0, with_descriptor);
    if (!with_descriptor)
        assert_int_equal(passed, -1);
    pyd_fd_close(&passed);
}

static void assert_not_taken(int socket, int error)
{
    char room[8];
    size_t size = sizeof(room);
    int passed = -2;

    assert_int_equal(pyd_fd_take(socket, room, &size, &passed), error);
    assert_int_equal(size, sizeof(room));
    assert_int_equal(passed, -2);
}

static void test_passes_the_same_file(void **state)
{
    const struct fixture *fixture = *state;
    struct stat sent, received;
    char room[16];
    size_t size = sizeof(room);
    int fds[2], passed = -1;

    assert_int_equal(pyd_fd_pipe(fds), 0);
    assert_int_equal(pyd_fd_pass(fixture->near, "hello", 5, fds[0]), 0);
    assert_int_equal(fstat(fds[0], &sent), 0);
    pyd_fd_close(&fds[0]);
    assert_int_equal(pyd_fd_take(fixture->far, room, &size, &passed), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(room, "hello", 5);
    assert_int_equal(fstat(passed, &received), 0);
    assert_true(sent.st_ino == received.st_ino && sent.st_dev == received.st_dev);
    assert_int_equal(fcntl(passed, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(read(passed, room, 1), 1);
    pyd_fd_close(&passed);
    pyd_fd_close(&fds[1]);
    assert_int_equal(count_open(), fixture->open_count);
}

static void test_messages_stay_apart(void **state)
{
    const struct fixture *fixture = *state;

    assert_int_equal(pyd_fd_pass(fixture->near, "one", 3, 0), 0);
    assert_int_equal(send(fixture->near, "two", 3, 0), 3);
    assert_int_equal(pyd_fd_pass(fixture->near, "three", 5, 0), 0);
    assert_taken(fixture->far, "one", 1);
    assert_taken(fixture->far, "two", 0);
    assert_taken(fixture->far, "three", 1);
    assert_not_taken(fixture->far, EAGAIN);
    assert_int_equal(count_open(), fixture->open_count);
}

/* Until it is full; neither end blocks, and what went in comes out. */
static void test_full(void **state)
{
    const struct fixture *fixture = *state;
    int error, sent = 0;

    while ((error = pyd_fd_pass(fixture->near, "x", 1, 0)) == 0)
        assert_true(++sent < 100000);
    assert_int_equal(error, EAGAIN);
    assert_true(sent > 1);
    for (int i = 0; i < sent; i++)
        assert_taken(fixture->far, "x", 1);
    assert_not_taken(fixture->far, EAGAIN);
    assert_int_equal(pyd_fd_pass(fixture->near, "x", 1, 0), 0);
    assert_taken(fixture->far, "x", 1);
    assert_int_equal(count_open(), fixture->open_count);
}

static void test_end(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(pyd_fd_pass(fixture->near, "last", 4, 0), 0);
    pyd_fd_close(&fixture->near);
    assert_taken(fixture->far, "last", 1);
    assert_taken(fixture->far, "", 0);
    assert_taken(fixture->far, "", 0);
    assert_int_equal(pyd_fd_pass(fixture->far, "x", 1, 0), EPIPE);
}

static void test_wrong_arguments(void **state)
{
    const struct fixture *fixture = *state;

    assert_int_equal(pyd_fd_pass(fixture->near, "", 0, 0), EINVAL);
    assert_int_equal(pyd_fd_pass(fixture->near, "x", 1, -1), EBADF);
    assert_int_equal(pyd_fd_pass(-1, "x", 1, 0), EBADF);
    assert_not_taken(-1, EBADF);
    assert_not_taken(fixture->far, EAGAIN);
}

/* The kernel puts as many as there is room for; each must be closed, and the next message is a good one again. */
static void test_several_descriptors(void **state)
{
    static const size_t counts[] = {2, 3, 4, 20, 64};
    const struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        send_many(fixture->near, "x", 1, counts[i]);
        assert_int_equal(pyd_fd_pass(fixture->near, "good", 4, 0), 0);
        assert_not_taken(fixture->far, EBADMSG);
        assert_int_equal(count_open(), fixture->open_count);
        assert_taken(fixture->far, "good", 1);
    }
    assert_int_equal(count_open(), fixture->open_count);
}

static void test_message_too_long(void **state)
{
    const struct fixture *fixture = *state;

    assert_int_equal(pyd_fd_pass(fixture->near, "0123456789", 10, 0), 0);
    assert_int_equal(send(fixture->near, "0123456789", 10, 0), 10);
    assert_int_equal(pyd_fd_pass(fixture->near, "fits", 4, 0), 0);
    assert_not_taken(fixture->far, EBADMSG);
    assert_not_taken(fixture->far, EBADMSG);
    assert_int_equal(count_open(), fixture->open_count);
    assert_taken(fixture->far, "fits", 1);
}

/* It could be taken for the end of the connection. */
static void test_empty_message_with_descriptor(void **state)
{
    const struct fixture *fixture = *state;

    send_many(fixture->near, "", 0, 1);
    assert_not_taken(fixture->far, EBADMSG);
    assert_int_equal(count_open(), fixture->open_count);
}

static void test_no_number_free(void **state)
{
    const struct fixture *fixture = *state;
    struct rlimit before, none;
    char room[8];
    size_t size = sizeof(room);
    int passed = -2, error;

    assert_int_equal(pyd_fd_pass(fixture->near, "lost", 4, 0), 0);
    assert_int_equal(pyd_fd_pass(fixture->near, "next", 4, 0), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    error = pyd_fd_take(fixture->far, room, &size, &passed);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, EMFILE);
    assert_int_equal(passed, -2);
    assert_int_equal(count_open(), fixture->open_count);
    assert_taken(fixture->far, "next", 1);
}

static void test_interrupted(void **state)
{
    const struct fixture *fixture = *state;

    interruptions = 3;
    assert_int_equal(pyd_fd_pass(fixture->near, "x", 1, 0), 0);
    assert_int_equal(interruptions, 0);
    interruptions = 3;
    assert_taken(fixture->far, "x", 1);
    assert_int_equal(interruptions, 0);
    interruptions = 3;
    assert_not_taken(fixture->far, EAGAIN);
    assert_int_equal(interruptions, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_passes_the_same_file, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_messages_stay_apart, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_full, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_end, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_wrong_arguments, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_several_descriptors, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_message_too_long, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_empty_message_with_descriptor, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_no_number_free, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_interrupted, open_pair, close_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
