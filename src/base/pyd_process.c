/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t pyd_process_parse_stat(const char *text)
{
    /* The program's name may contain anything: count from the parenthesis after it, field 2, to field 22. */
    const char *at = strrchr(text, ')');

    if (at && (at[1] == '\0' || at[2] == 'Z' || at[2] == 'X'))
        return 0;
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        if (at)
            at++;
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

/* 0 or an errno. */
static int read_stat(pid_t pid, char *room, size_t size)
{
    char path[64];
    ssize_t n;
    int fd, rv = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    n = read(fd, room, size - 1);
    if (n <= 0)
        rv = n < 0 ? errno : ESRCH;
    close(fd);
    room[n > 0 ? n : 0] = '\0';
    return rv;
}

uint64_t pyd_process_start_time(pid_t pid)
{
    char text[2048];

    if (pid <= 0 || read_stat(pid, text, sizeof text))
        return 0;
    return pyd_process_parse_stat(text);
}

int pyd_process_has_ended(pid_t pid, uint64_t start_time)
{
    char text[2048];

    if (pid <= 0)
        return 0;
    if (kill(pid, 0) < 0 && errno == ESRCH)
        return 1;
    return read_stat(pid, text, sizeof text) == 0 && pyd_process_parse_stat(text) != start_time;
}
