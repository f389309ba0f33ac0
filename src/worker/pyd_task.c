/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyd_fd.h"

static int compare_tids(const void *a, const void *b)
{
    pid_t first = *(const pid_t *)a, second = *(const pid_t *)b;

    return first < second ? -1 : first > second;
}

int pyd_task_list(pid_t **ret_tids, size_t *ret_count)
{
    DIR *folder = opendir("/proc/self/task");
    pid_t *tids = NULL;
    size_t count = 0, room = 0;
    struct dirent *entry;
    int rv = folder ? 0 : errno;

    while (folder && !rv && (entry = readdir(folder))) {
        pid_t tid = (pid_t)atoi(entry->d_name);

        if (tid <= 0)
            continue;
        if (count == room) {
            pid_t *more = realloc(tids, (room = room ? 2 * room : 64) * sizeof(*tids));

            if (!more) {
                rv = ENOMEM;
                break;
            }
            tids = more;
        }
        tids[count++] = tid;
    }
    if (folder)
        closedir(folder);
    if (rv) {
        free(tids);
        return rv;
    }
    if (count)
        qsort(tids, count, sizeof(*tids), compare_tids);
    *ret_tids = tids;
    *ret_count = count;
    return 0;
}

/* A file of /proc, which gives it all in one read(2). */
static int read_file(pid_t tid, const char *name, char *room, size_t size)
{
    char path[64];
    ssize_t got;
    int fd, rv = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    do
        got = read(fd, room, size - 1);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        rv = errno == ESRCH ? ENOENT : errno;
    room[got > 0 ? got : 0] = '\0';
    pyd_fd_close(&fd);
    return rv;
}

/* What follows "\nKEY:\t", or "" */
static const char *find_value(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? at + strlen(key) : "";
}

static void copy_line(char *room, size_t size, const char *text)
{
    snprintf(room, size, "%.*s", (int)strcspn(text, "\n"), text);
}

static int has_signal(const char *text, int signal)
{
    return (int)(strtoull(text, NULL, 16) >> (signal - 1) & 1);
}

int pyd_task_read(pid_t tid, int signal, struct pyd_task *ret_task)
{
    struct pyd_task task = {.tid = tid};
    char text[4096];
    int rv = read_file(tid, "status", text, sizeof(text));

    if (rv)
        return rv;
    /* Names with a newline or backslash are escaped there; the first line is "Name:\t...". */
    copy_line(task.name, sizeof(task.name), find_value(text, "Name:\t"));
    copy_line(task.state, sizeof(task.state), find_value(text, "\nState:\t"));
    task.blocked = has_signal(find_value(text, "\nSigBlk:\t"), signal) ? 1 : 0;
    task.pending = has_signal(find_value(text, "\nSigPnd:\t"), signal) ? 1 : 0;
    *ret_task = task;
    return 0;
}

int pyd_task_takes_signals(const struct pyd_task *task)
{
    return !task->state[0] || !strchr("DTtXZ", task->state[0]); /* proc(5) */
}

const char *pyd_task_place(pid_t tid, char *room, size_t size)
{
    /* "0" where it runs, or where the kernel does not tell. (The file syscall, beside it, is for root only as long as
     * the process is not dumpable.) */
    if (read_file(tid, "wchan", room, size) || !strcmp(room, "0"))
        room[0] = '\0';
    return room;
}
