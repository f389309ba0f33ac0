/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_board_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int socket_option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static int is_kind(int fd, mode_t mode, enum pyd_board_fd_kind kind)
{
    switch (kind) {
    case PYD_BOARD_FD_MEMORY:
        return S_ISREG(mode) && fcntl(fd, F_GET_SEALS) > 0;
    case PYD_BOARD_FD_PIPE:
        return S_ISFIFO(mode);
    case PYD_BOARD_FD_RENDEZVOUS:
        return S_ISSOCK(mode) && socket_option(fd, SO_DOMAIN) == AF_UNIX &&
               socket_option(fd, SO_TYPE) == SOCK_SEQPACKET;
    case PYD_BOARD_FD_BINARY:
        /* Logs, which are regular files too, are open for writing; memory files have seals. */
        return S_ISREG(mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && fcntl(fd, F_GET_SEALS) <= 0;
    }
    return 0;
}

int pyd_board_fd_is(int fd, enum pyd_board_fd_kind kind)
{
    int before = errno;
    struct stat info;
    int is;

    if (fd <= 2)
        return 0;
    is = fstat(fd, &info) == 0 && is_kind(fd, info.st_mode, kind);
    errno = before;
    return is;
}
