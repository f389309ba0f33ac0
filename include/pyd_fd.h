/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_FD_H
#define PYD_FD_H

#include <stddef.h>

/*
 * Descriptors. All functions return 0 or a positive errno unless they say
 * otherwise, restart on EINTR, and create descriptors close-on-exec.
 */

/** Close *fd unless it is negative, and set it to -1. Keeps errno. */
void pyd_fd_close(int *fd);

/** socketpair(AF_UNIX, type): both ends close-on-exec. ret_fds untouched on failure. */
int pyd_fd_socketpair(int type, int ret_fds[2]);

/** A pipe; both ends close-on-exec. ret_fds[0] reads. */
int pyd_fd_pipe(int ret_fds[2]);

/**
 * A sealed memory file of exactly size bytes (F_SEAL_SHRINK, GROW, SEAL): no
 * holder can make another one's mapping fault. name shows in /proc/PID/maps.
 */
int pyd_fd_memory(const char *name, size_t size, int *ret_fd);

/** Send one message of size bytes (size >= 1) with one descriptor (SCM_RIGHTS); never blocks: EAGAIN if full. */
int pyd_fd_pass(int socket, const void *data, size_t size, int passed);

/**
 * Receive one such message without blocking.
 * @param size in: room in data; out: bytes received (0: the peer has closed)
 * @param ret_passed the descriptor (caller owns it), or -1 if none came
 * @return 0, EAGAIN, or an errno. These concern one message, which is lost with all its descriptors (closed), and
 *   not the socket: EMFILE: no descriptor number is free here; EBADMSG: longer than size, or several descriptors
 */
int pyd_fd_take(int socket, void *data, size_t *size, int *ret_passed);

/**
 * Write all of it to a blocking or non-blocking descriptor, polling as needed; timeout_ms < 0 waits for ever;
 * ETIMEDOUT. EPIPE instead of SIGPIPE for sockets; for pipes the program must ignore SIGPIPE.
 */
int pyd_fd_write_all(int fd, const void *data, size_t size, int timeout_ms);

/** Set or clear O_NONBLOCK. */
int pyd_fd_set_nonblocking(int fd, int nonblocking);

/**
 * Close every descriptor above 2 but those in keep (kept_count of them).
 * Uses /proc/self/fd; where that can't be read close_range(2), and before Linux 5.9, which brought it,
 * all numbers below RLIMIT_NOFILE. Does not allocate: usable after fork. -1 in keep is ignored.
 */
void pyd_fd_close_except(const int *keep, size_t kept_count);

#endif
