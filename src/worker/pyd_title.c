/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_title.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock; /* guards everything here and the room */
    char *room;           /* from argv[0] on */
    size_t bytes;
    size_t written;
    size_t prefix_bytes;
    char prefix[160];
} title = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The kernel lays argv and environ strings out in one run; whatever does not continue it is somewhere else. */
static char *extend(char *end, char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++) {
        if (strings[i] == end)
            end = strings[i] + strlen(strings[i]) + 1;
    }
    return end;
}

/* The copies live as long as the process, as the originals did. */
static int move_environment(void)
{
    size_t count = 0;
    char **moved;

    while (environ && environ[count])
        count++;
    moved = calloc(count + 1, sizeof(*moved));
    if (!moved)
        return 0;
    for (size_t i = 0; i < count; i++) {
        moved[i] = strdup(environ[i]);
        if (!moved[i]) {
            while (i)
                free(moved[--i]);
            free(moved);
            return 0;
        }
    }
    environ = moved;
    return 1;
}

void pyd_title_init(int argc, char **argv)
{
    char *end;

    if (argc < 1 || !argv || !argv[0])
        return;
    end = extend(argv[0], argv);
    if (end == argv[0])
        return;
    title.room = argv[0];
    if (environ && environ[0] == end) {
        char *all = extend(end, environ);

        if (move_environment())
            end = all;
    }
    title.bytes = (size_t)(end - title.room);
    title.written = title.bytes;
}

void pyd_title_set_name(const char *display_name, unsigned number)
{
    int size;

    pthread_mutex_lock(&title.lock);
    size = snprintf(title.prefix, sizeof(title.prefix), "%s %u: ", display_name, number);
    title.prefix_bytes = size < 0 ? 0 : (size_t)size;
    if (title.prefix_bytes >= sizeof(title.prefix))
        title.prefix_bytes = sizeof(title.prefix) - 1;
    pthread_mutex_unlock(&title.lock);
}

/* Copies what fits and keeps one byte for the NUL. */
static size_t put(size_t at, const char *text, size_t size)
{
    size_t left = title.bytes - 1 - at;

    if (size > left)
        size = left;
    memcpy(title.room + at, text, size);
    return at + size;
}

void pyd_title_set(const char *doing)
{
    size_t at;

    if (title.bytes < 2)
        return;
    pthread_mutex_lock(&title.lock);
    at = put(0, title.prefix, title.prefix_bytes);
    at = put(at, doing, strlen(doing));
    if (at < title.written)
        memset(title.room + at, 0, title.written - at);
    else
        title.room[at] = '\0';
    title.written = at;
    pthread_mutex_unlock(&title.lock);
}
