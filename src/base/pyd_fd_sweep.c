/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pyd_fd_close_except(). It runs between fork and exec, in a child of a process
 * with threads, so nothing here may allocate or take a lock: opendir() does both.
 */
#include "pyd_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* the same on all architectures; libc headers older than the kernel lack it */
#endif

/* Tried one by one where neither /proc nor close_range(2) is there: "unlimited" must not mean 2^30 calls. */
#define TRY_MAX (1u << 20)

/* The kernel's record of getdents64(2); libc does not declare it without its readdir(). */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

static int is_kept(const int *keep, size_t kept_count, int fd)
{
    for (size_t i = 0; i < kept_count; i++) {
        if (keep[i] == fd)
            return 1;
    }
    return 0;
}

/* The number a name in /proc/self/fd stands for, or -1: "." and "..". */
static int number_of(const char *name)
{
    int number = 0;

    for (; *name; name++) {
        if (*name < '0' || *name > '9' || number > (INT_MAX - 9) / 10)
            return -1;
        number = 10 * number + (*name - '0');
    }
    return number;
}

/* Positions in /proc/self/fd are descriptor numbers, so closing while reading skips nothing. */
static int close_listed(const int *keep, size_t kept_count)
{
    unsigned char room[4096] __attribute__((aligned(8)));
    int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long size = -1;

    if (folder < 0)
        return errno;
    while ((size = syscall(SYS_getdents64, folder, room, sizeof(room))) > 0) {
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(const void *)(room + at);
            int fd = number_of(entry->name);

            if (fd > STDERR_FILENO && fd != folder && !is_kept(keep, kept_count, fd))
                close(fd);
            at += entry->size;
        }
    }
    pyd_fd_close(&folder);
    return size < 0 ? EIO : 0;
}

/* Close the gaps between the kept ones. */
static int close_ranges(const int *keep, size_t kept_count)
{
    unsigned low = STDERR_FILENO + 1;

    for (;;) {
        unsigned next = UINT_MAX; /* the smallest kept one from low on */

        for (size_t i = 0; i < kept_count; i++) {
            if (keep[i] >= 0 && (unsigned)keep[i] >= low && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        }
        if (next > low && syscall(SYS_close_range, low, next == UINT_MAX ? next : next - 1, 0u) != 0)
            return errno;
        if (next == UINT_MAX)
            return 0;
        low = next + 1;
    }
}

static void close_one_by_one(const int *keep, size_t kept_count)
{
    struct rlimit limit = {.rlim_max = RLIM_INFINITY};
    unsigned end = TRY_MAX;

    /* The hard limit: the soft one may have been lowered after higher numbers were in use. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < TRY_MAX)
        end = (unsigned)limit.rlim_max;
    for (int fd = STDERR_FILENO + 1; (unsigned)fd < end; fd++) {
        if (!is_kept(keep, kept_count, fd))
            close(fd);
    }
}

void pyd_fd_close_except(const int *keep, size_t kept_count)
{
    if (close_listed(keep, kept_count) == 0 || close_ranges(keep, kept_count) == 0)
        return;
    close_one_by_one(keep, kept_count);
}
