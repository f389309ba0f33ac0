/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The largest page Linux has anywhere, so that giving an area's memory back never leaves part of a page behind. */
#define PAGE_MAX INT64_C(65536)

#define CRASH_CHUNK (64u << 10)

int64_t pyd_area_offset(uint32_t slot_count, uint32_t threads, uint32_t slot)
{
    int64_t records = (int64_t)slot_count * (int64_t)pyd_status_stride(threads);

    return (records + PAGE_MAX - 1) / PAGE_MAX * PAGE_MAX + (int64_t)slot * PYD_AREA_BYTES;
}

static int write_at(int fd, int64_t at, const void *data, size_t size)
{
    const char *next = data;

    while (size > 0) {
        ssize_t written = pwrite(fd, next, size, (off_t)at);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        next += written;
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

/* EINVAL: the file is shorter than that, so it is not a status file. */
static int read_at(int fd, int64_t at, void *room, size_t size)
{
    char *next = room;

    while (size > 0) {
        ssize_t got = pread(fd, next, size, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : EINVAL;
        next += got;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

int pyd_area_write(int status_fd, int64_t area, struct pyd_area_head head, const char *text, size_t bytes)
{
    const struct pyd_area_head none = {.tier = PYD_DUMP_NONE};
    int rv;

    head.bytes = bytes < PYD_AREA_TEXT_MAX ? (uint32_t)bytes : PYD_AREA_TEXT_MAX;
    /* While the text is neither the old one nor the new one there is none. */
    rv = write_at(status_fd, area, &none, sizeof(none));
    if (!rv)
        rv = write_at(status_fd, area + PYD_AREA_TEXT_AT, text, head.bytes);
    if (!rv)
        rv = write_at(status_fd, area, &head, sizeof(head));
    return rv;
}

int pyd_area_read(int status_fd, int64_t area, uint32_t epoch, struct pyd_area_head *ret_head, char **ret_text)
{
    struct pyd_area_head head, again;
    char *text = NULL;
    int rv = read_at(status_fd, area, &head, sizeof(head));

    if (rv)
        return rv;
    if (head.epoch != epoch || (head.tier != PYD_DUMP_GIL && head.tier != PYD_DUMP_NO_GIL) ||
        head.bytes > PYD_AREA_TEXT_MAX)
        return ENOENT;
    text = malloc((size_t)head.bytes + 1);
    if (!text)
        return ENOMEM;
    rv = read_at(status_fd, area + PYD_AREA_TEXT_AT, text, head.bytes);
    if (!rv)
        rv = read_at(status_fd, area, &again, sizeof(again));
    /* The next one is being written: its coming will be announced. */
    if (!rv && memcmp(&head, &again, sizeof(head)) != 0)
        rv = ENOENT;
    if (rv) {
        free(text);
        return rv;
    }
    text[head.bytes] = '\0';
    *ret_head = head;
    *ret_text = text;
    return 0;
}

int pyd_area_read_crash(int status_fd, int64_t area, uint32_t epoch, char **ret_text)
{
    char *text = NULL, *grown;
    size_t size = 0, at;
    uint32_t opened = 0;
    int rv = read_at(status_fd, area + PYD_AREA_EPOCH_AT, &opened, sizeof(opened));

    if (rv || opened != epoch)
        return rv ? rv : ENOENT;
    /* size == at: no NUL so far. */
    for (at = 0; size == at && at < PYD_AREA_CRASH_MAX; at += CRASH_CHUNK) {
        grown = realloc(text, at + CRASH_CHUNK + 1);
        rv = grown ? 0 : ENOMEM;
        if (rv)
            goto leave;
        text = grown;
        rv = read_at(status_fd, area + PYD_AREA_CRASH_AT + (int64_t)at, text + at, CRASH_CHUNK);
        if (rv)
            goto leave;
        text[at + CRASH_CHUNK] = '\0';
        size += strlen(text + at);
    }
    if (size == 0)
        rv = ENOENT;

leave:
    if (rv)
        free(text);
    else
        *ret_text = text;
    return rv;
}

/*
 * This is not for the manager: the file has one lock for all who write to it or make holes in it, and the kernel takes
 * it for as long as a write's source takes to be had: for ever, if an application wants it so.
 */
int pyd_area_open(int status_fd, int64_t area, uint32_t epoch)
{
    static const char zeros[CRASH_CHUNK];
    uint32_t at;
    int rv = 0;

    if (fallocate(status_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)area, PYD_AREA_BYTES) < 0) {
        /* Where that is not to be had the memory stays; but no stacks may be taken for this worker's. */
        rv = write_at(status_fd, area, zeros, sizeof(struct pyd_area_head));
        for (at = 0; !rv && at < PYD_AREA_CRASH_MAX; at += CRASH_CHUNK)
            rv = write_at(status_fd, area + PYD_AREA_CRASH_AT + at, zeros, CRASH_CHUNK);
    }
    return rv ? rv : write_at(status_fd, area + PYD_AREA_EPOCH_AT, &epoch, sizeof(epoch));
}
