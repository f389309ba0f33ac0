/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_logline.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "pyd_fd.h"

/* A write of at most PIPE_BUF bytes is atomic; the lock keeps the pieces of a longer one together. */
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t at_fork = PTHREAD_ONCE_INIT;

/* The thread that held it has not come along. */
static void renew_lock(void)
{
    write_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, renew_lock);
}

static size_t escaped_width(char c)
{
    if (c == '\\' || c == '\t')
        return 2;
    return c >= ' ' && c <= '~' ? 1 : 4;
}

/* Go back to the first byte of the UTF-8 sequence that a cut at size would split, if that is near. */
static size_t step_back(const char *line, size_t size)
{
    size_t at = size;

    while (at > 0 && size - at < 3 && ((unsigned char)line[at] & 0xc0) == 0x80)
        at--;
    return at > 0 && ((unsigned char)line[at] & 0xc0) != 0x80 ? at : size;
}

size_t pyd_logline_fit(const char *line, size_t size)
{
    size_t width = 0;

    for (size_t i = 0; i < size; i++) {
        width += escaped_width(line[i]);
        if (width > PYD_LOGLINE_MAX)
            return step_back(line, i);
    }
    return size;
}

void pyd_logline_copy(char *room, const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        room[i] = line[i] ? line[i] : '?';
    room[size] = '\0';
}

/* Tagged pieces on their way into one write. */
struct batch {
    int fd;
    char level;
    size_t size;
    char bytes[PYD_LOGLINE_MAX + 3]; /* of which several pieces together use PIPE_BUF at most */
};

static void batch_send(struct batch *batch)
{
    if (!batch->size)
        return;
    pthread_mutex_lock(&write_lock);
    (void)pyd_fd_write_all(batch->fd, batch->bytes, batch->size, -1);
    pthread_mutex_unlock(&write_lock);
    batch->size = 0;
}

static void batch_add(struct batch *batch, const char *piece, size_t size)
{
    if (batch->size + size + 3 > PIPE_BUF)
        batch_send(batch);
    batch->bytes[batch->size++] = PYD_LOG_TAG;
    batch->bytes[batch->size++] = batch->level;
    memcpy(batch->bytes + batch->size, piece, size);
    batch->size += size;
    batch->bytes[batch->size++] = '\n';
}

static void batch_add_line(struct batch *batch, const char *line, size_t size)
{
    do {
        size_t piece = pyd_logline_fit(line, size);

        batch_add(batch, line, piece);
        line += piece;
        size -= piece;
    } while (size);
}

void pyd_logline_write(int fd, int level, const char *lines, size_t size)
{
    struct batch batch;

    batch.fd = fd;
    batch.level = (char)('0' + level);
    batch.size = 0;
    pthread_once(&at_fork, watch_forks);
    while (size) {
        const char *newline = memchr(lines, '\n', size);
        size_t line = newline ? (size_t)(newline - lines) : size;

        batch_add_line(&batch, lines, line);
        line += newline ? 1 : 0;
        lines += line;
        size -= line;
    }
    batch_send(&batch);
}
