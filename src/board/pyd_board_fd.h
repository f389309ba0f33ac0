/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_BOARD_FD_H
#define PYD_BOARD_FD_H

/**
 * Numbers of descriptors stand on the board, where a broken process may have
 * overwritten them. Before the parent acts on one it looks whether it can be the
 * one that was meant.
 */
enum pyd_board_fd_kind {
    PYD_BOARD_FD_MEMORY,     /* a memory file with seals */
    PYD_BOARD_FD_PIPE,
    PYD_BOARD_FD_RENDEZVOUS, /* a Unix SOCK_SEQPACKET socket */
    PYD_BOARD_FD_BINARY      /* a regular file opened for reading only */
};

/** True if fd is open and of that kind. Keeps errno. */
int pyd_board_fd_is(int fd, enum pyd_board_fd_kind kind);

#endif
