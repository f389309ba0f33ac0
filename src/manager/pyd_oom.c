/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A process killed by the kernel's OOM killer looks like one killed by kill -9:
 * only a counter tells them apart. A cgroup's memory.events counts kills of its
 * own processes, whether the limit was the cgroup's or the machine's; where
 * there is none (cgroup v1, no cgroupfs), /proc/vmstat counts the machine's.
 */
#include "pyd_cause.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLE_US INT64_C(10000000)

int pyd_oom_parse(const char *text, const char *key, uint64_t *ret_value)
{
    size_t key_size = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, key, key_size) == 0 && line[key_size] == ' ') {
            *ret_value = strtoull(line + key_size + 1, NULL, 10);
            return 0;
        }
    }
    return ENOENT;
}

int pyd_oom_parse_cgroup(const char *text, char *path, size_t size)
{
    const char *line = text;

    while (line && strncmp(line, "0::", 3) != 0) {
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    if (!line)
        return ENOENT;
    snprintf(path, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    return 0;
}

static int read_text(const char *path, char *room, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n;

    if (fd < 0)
        return errno;
    do {
        n = read(fd, room + used, size - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    } while (n > 0 && used < size - 1);
    close(fd);
    room[used] = '\0';
    return 0;
}

/* The counter as it is now, or the last one known. */
static uint64_t read_counter(const struct pyd_oom *oom)
{
    char text[32768];
    uint64_t value;

    if (oom->path[0] == '\0' || read_text(oom->path, text, sizeof text) ||
        pyd_oom_parse(text, "oom_kill", &value))
        return oom->newer;
    return value;
}

void pyd_oom_init(struct pyd_oom *oom, int64_t now_us)
{
    char text[4096], cgroup[400];

    *oom = (struct pyd_oom){.sampled_us = now_us};
    if (read_text("/proc/self/cgroup", text, sizeof text) == 0 &&
        pyd_oom_parse_cgroup(text, cgroup, sizeof cgroup) == 0)
        snprintf(oom->path, sizeof oom->path, "/sys/fs/cgroup%s/memory.events", cgroup);
    if (oom->path[0] == '\0' || access(oom->path, R_OK) != 0)
        snprintf(oom->path, sizeof oom->path, "/proc/vmstat");
    oom->older = oom->newer = read_counter(oom);
}

void pyd_oom_tick(struct pyd_oom *oom, int64_t now_us)
{
    if (now_us - oom->sampled_us < SAMPLE_US)
        return;
    oom->older = oom->newer;
    oom->newer = read_counter(oom);
    oom->sampled_us = now_us;
}

int pyd_oom_happened(struct pyd_oom *oom)
{
    if (read_counter(oom) <= oom->older)
        return 0;
    oom->older++;
    if (oom->newer < oom->older)
        oom->newer = oom->older;
    return 1;
}
