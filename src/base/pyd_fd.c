/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pyd_clock.h"

void pyd_fd_close(int *fd)
{
    int saved_errno = errno;

    if (*fd < 0)
        return;
    /* Not again on EINTR: Linux has freed the number by then, and another thread may have it. */
    close(*fd);
    *fd = -1;
    errno = saved_errno;
}

int pyd_fd_socketpair(int type, int ret_fds[2])
{
    int fds[2];

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0)
        return errno;
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

int pyd_fd_pipe(int ret_fds[2])
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return errno;
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

int pyd_fd_memory(const char *name, size_t size, int *ret_fd)
{
    int fd, rv, error = 0;

    if (size > INT64_MAX)
        return EFBIG;
    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return errno;
    do {
        rv = ftruncate(fd, (off_t)size);
    } while (rv != 0 && errno == EINTR);
    if (rv != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        error = errno;
        goto leave;
    }
    *ret_fd = fd;
    fd = -1;

leave:
    pyd_fd_close(&fd);
    return error;
}

int pyd_fd_set_nonblocking(int fd, int nonblocking)
{
    int flags = fcntl(fd, F_GETFL);
    int wanted;

    if (flags < 0)
        return errno;
    wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) != 0)
        return errno;
    return 0;
}

/* Wait for room. A descriptor in error counts as ready: the next write says which error. */
static int wait_writable(int fd, int64_t deadline_us)
{
    struct pollfd entry = {.fd = fd, .events = POLLOUT};

    for (;;) {
        int64_t left_ms = -1;
        int rv;

        if (deadline_us >= 0) {
            left_ms = (deadline_us - pyd_clock_us() + 999) / 1000;
            if (left_ms < 0)
                left_ms = 0;
        }
        rv = poll(&entry, 1, (int)left_ms);
        if (rv > 0)
            return 0;
        if (rv == 0)
            return ETIMEDOUT;
        if (errno != EINTR)
            return errno;
    }
}

/*
 * Write what can be written without blocking, whatever the descriptor's mode: sockets have a flag for it; a pipe
 * that polls as writable takes PIPE_BUF bytes at once (pipe(7)). -1: errno is set, EAGAIN if there is no room.
 */
static ssize_t write_some(int fd, const unsigned char *data, size_t size, int *is_socket)
{
    ssize_t written;

    if (*is_socket) {
        written = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written >= 0 || errno != ENOTSOCK)
            return written;
        *is_socket = 0;
        errno = EAGAIN;
        return -1;
    }
    return write(fd, data, size < PIPE_BUF ? size : PIPE_BUF);
}

int pyd_fd_write_all(int fd, const void *data, size_t size, int timeout_ms)
{
    const unsigned char *at = data;
    int64_t deadline_us = timeout_ms < 0 ? -1 : pyd_clock_us() + (int64_t)timeout_ms * 1000;
    int is_socket = 1;

    while (size > 0) {
        ssize_t written = write_some(fd, at, size, &is_socket);

        if (written == 0)
            return EIO;
        if (written > 0) {
            at += written;
            size -= (size_t)written;
        } else if (errno != EINTR && errno != EAGAIN) {
            return errno;
        }
        if (size > 0 && (written < 0 || !is_socket)) {
            int error = wait_writable(fd, deadline_us);

            if (error)
                return error;
        }
    }
    return 0;
}
