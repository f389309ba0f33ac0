/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND_US INT64_C(1000000)

/* A decimal number that begins at text. @return where it ends, or NULL: there is none, or it is too large */
static const char *read_number(const char *text, int64_t *ret_value)
{
    int64_t value = 0;

    if (*text < '0' || *text > '9')
        return NULL;
    for (; *text >= '0' && *text <= '9'; text++) {
        int digit = *text - '0';

        if (value > (INT64_MAX - digit) / 10)
            return NULL;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return text;
}

/* value * unit, or -1. */
static int64_t scale(int64_t value, int64_t unit)
{
    return value < 0 || unit <= 0 || value > INT64_MAX / unit ? -1 : value * unit;
}

/* "size resident shared text lib data dt", in pages. */
static int read_statm(const char *text, int64_t *ret_resident, int64_t *ret_shared)
{
    int64_t size;

    text = read_number(text, &size);
    if (!text || *text != ' ')
        return 0;
    text = read_number(text + 1, ret_resident);
    if (!text || *text != ' ')
        return 0;
    return read_number(text + 1, ret_shared) != NULL;
}

int64_t pyd_usage_parse_statm(const char *text, int64_t page_bytes)
{
    int64_t resident, shared;

    if (!read_statm(text, &resident, &shared))
        return -1;
    /* The kernel counts them apart and roughly: the one may be ahead of the other. */
    return scale(resident > shared ? resident - shared : 0, page_bytes);
}

int64_t pyd_usage_parse_stat(const char *text, int64_t ticks_per_second)
{
    /* Field 2, the program's name, may contain anything: count from the parenthesis after it to field 14. */
    const char *at = strrchr(text, ')');
    int64_t user, kernel, ticks, seconds_us;

    for (int field = 2; at && field < 14; field++) {
        at = strchr(at, ' ');
        if (at)
            at++;
    }
    at = at ? read_number(at, &user) : NULL;
    if (!at || *at != ' ' || !read_number(at + 1, &kernel) || user > INT64_MAX - kernel || ticks_per_second <= 0)
        return -1;
    ticks = user + kernel;
    seconds_us = scale(ticks / ticks_per_second, SECOND_US);
    if (seconds_us < 0 || seconds_us > INT64_MAX - SECOND_US || ticks_per_second > SECOND_US)
        return -1;
    return seconds_us + ticks % ticks_per_second * SECOND_US / ticks_per_second;
}

/* 0 or an errno; what does not fit into room is cut. */
static int read_proc(pid_t pid, const char *name, char *room, size_t size)
{
    char path[64];
    size_t used = 0;
    ssize_t n;
    int fd, rv;

    if (pid <= 0)
        return ESRCH;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    do {
        n = read(fd, room + used, size - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    } while (n > 0 && used < size - 1);
    rv = n < 0 ? errno : 0;
    close(fd);
    room[used] = '\0';
    return rv;
}

int64_t pyd_usage_private(pid_t pid)
{
    char text[256];

    return read_proc(pid, "statm", text, sizeof text) ? -1 : pyd_usage_parse_statm(text, sysconf(_SC_PAGESIZE));
}

int64_t pyd_usage_cpu_us(pid_t pid)
{
    char text[2048];

    return read_proc(pid, "stat", text, sizeof text) ? -1 : pyd_usage_parse_stat(text, sysconf(_SC_CLK_TCK));
}
