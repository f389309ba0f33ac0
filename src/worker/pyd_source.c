/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_fd.h"

#define SOURCE_BYTES_MAX (4 << 20)

/* @return an errno for what has no lines to show */
static int check_kind(const struct stat *info)
{
    if (!S_ISREG(info->st_mode))
        return EINVAL;
    return info->st_size < SOURCE_BYTES_MAX ? 0 : EFBIG;
}

static int open_source(const char *path, int *ret_fd)
{
    struct stat info;
    int fd, rv;

    /* Looked at first: opening a device can do things. */
    if (stat(path, &info))
        return errno;
    rv = check_kind(&info);
    if (rv)
        return rv;
    fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    rv = fstat(fd, &info) ? errno : check_kind(&info);
    if (rv) {
        pyd_fd_close(&fd);
        return rv;
    }
    *ret_fd = fd;
    return 0;
}

/* Of a line that goes on in the next part of the file, and is wanted: what fits. */
static size_t keep(char *room, size_t size, size_t kept, const char *text, size_t bytes)
{
    size_t left = size - 1 - kept;

    if (bytes > left)
        bytes = left;
    memcpy(room + kept, text, bytes);
    room[kept + bytes] = '\0';
    return kept + bytes;
}

static int find_line(int fd, int line, char *room, size_t size)
{
    size_t kept = 0, total = 0;
    char part[8192];
    int at = 1, any = 0;

    for (;;) {
        ssize_t got = read(fd, part, sizeof(part));
        const char *text = part, *end = part + (got > 0 ? got : 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (!got)
            return any ? 0 : ENOENT;
        total += (size_t)got;
        if (total > SOURCE_BYTES_MAX) /* it grows */
            return EFBIG;
        while (text < end) {
            const char *newline = memchr(text, '\n', (size_t)(end - text));

            if (at == line) {
                kept = keep(room, size, kept, text, (size_t)((newline ? newline : end) - text));
                any = 1;
            }
            if (newline && at++ == line)
                return 0;
            text = newline ? newline + 1 : end;
        }
    }
}

int pyd_source_line(const char *path, int line, char *room, size_t size)
{
    int fd = -1, rv;

    if (line < 1 || !size)
        return EINVAL;
    rv = open_source(path, &fd);
    if (rv)
        return rv;
    rv = find_line(fd, line, room, size);
    pyd_fd_close(&fd);
    return rv;
}
