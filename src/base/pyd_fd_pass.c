/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_fd.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor; by its alignment the kernel may put two there. */
union control {
    struct cmsghdr header; /* aligns */
    unsigned char room[CMSG_SPACE(sizeof(int))];
};

int pyd_fd_pass(int socket, const void *data, size_t size, int passed)
{
    union control control = {.room = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    ssize_t sent;

    /* An empty message could not be told from the end of the connection. */
    if (size == 0)
        return EINVAL;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &passed, sizeof(passed));
    do {
        sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno;
    return (size_t)sent == size ? 0 : EMSGSIZE;
}

/* Keep the first descriptor, close any other; returns how many there were. */
static unsigned collect(struct msghdr *message, int *ret_passed)
{
    unsigned count = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        size_t size;

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size = header->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
            if (count++ == 0)
                *ret_passed = fd;
            else
                close(fd);
        }
    }
    return count;
}

int pyd_fd_take(int socket, void *data, size_t *size, int *ret_passed)
{
    union control control;
    struct iovec part = {.iov_base = data, .iov_len = *size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    int passed = -1, error = 0;
    ssize_t received;
    unsigned count;

    do {
        received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < 0)
        return errno;
    count = collect(&message, &passed);
    if (count > 1 || (message.msg_flags & MSG_TRUNC) || (received == 0 && count > 0))
        error = EBADMSG;
    else if (message.msg_flags & MSG_CTRUNC)
        error = count == 0 ? EMFILE : EBADMSG; /* one was sent, and this process could not get it: no number free */
    if (error) {
        pyd_fd_close(&passed);
        return error;
    }
    *size = (size_t)received;
    *ret_passed = passed;
    return 0;
}
