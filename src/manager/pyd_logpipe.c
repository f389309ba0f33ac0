/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_logpipe.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pyd_log.h"
#include "pyd_logline.h"

#define READS_PER_TURN 4
#define READS_TO_FINISH 64

void pyd_logpipe_init(struct pyd_logpipe *logpipe, int fd, int group)
{
    logpipe->fd = fd;
    logpipe->group = group;
    logpipe->in_line = 0;
    logpipe->tagged = 0;
    logpipe->level = PYD_LOG_WARNING;
    logpipe->writer[0] = '\0';
    logpipe->size = 0;
}

void pyd_logpipe_name_writer(struct pyd_logpipe *logpipe, const char *group_name, pid_t pid)
{
    snprintf(logpipe->writer, sizeof logpipe->writer, "'%.63s' (pid=%d): ", group_name, (int)pid);
}

static int is_level(char c)
{
    return c >= '0' && c <= '9';
}

static int level_of(char digit)
{
    int level = digit - '0';

    if (level < PYD_LOG_CRIT)
        return PYD_LOG_CRIT;
    return level > PYD_LOG_TRACE ? PYD_LOG_TRACE : level;
}

static void log_piece(const struct pyd_logpipe *logpipe, const char *data, size_t size)
{
    char text[PYD_LOGLINE_MAX + 1];

    pyd_logline_copy(text, data, size);
    pyd_log((enum pyd_log_level)logpipe->level, logpipe->group, "%s%s", logpipe->writer, text);
}

struct piece {
    size_t text_size; /* bytes of text */
    size_t used;      /* bytes of text and its end */
    unsigned ends_line : 1;
};

/* Raw output without a newline, then a whole tagged line of another writer. @return where that may begin, or size */
static size_t find_tag(const char *data, size_t size, int final)
{
    const char *tag = data;

    while (size > 1 && (tag = memchr(tag + 1, PYD_LOG_TAG, size - (size_t)(tag + 1 - data)))) {
        size_t at = (size_t)(tag - data);

        if (at + 1 == size ? !final : is_level(tag[1]))
            return at;
        if (at + 1 == size)
            break;
    }
    return size;
}

/* Find where the message that begins at data ends. @return 0 if that can't be said yet */
static int find_piece(const char *data, size_t size, int tagged, int final, struct piece *ret_piece)
{
    const char *newline = memchr(data, '\n', size);
    size_t line = newline ? (size_t)(newline - data) : size;
    size_t text = tagged ? line : find_tag(data, line, final);
    size_t fits = pyd_logline_fit(data, text);

    if (fits < text) {
        *ret_piece = (struct piece){.text_size = fits, .used = fits};
        return 1;
    }
    if (text < line && text + 1 == size && !final)
        return 0; /* a level digit may follow, or not */
    *ret_piece = (struct piece){.text_size = text, .used = text, .ends_line = 1};
    if (text < line)
        return 1;
    if (newline) {
        ret_piece->used++;
        return 1;
    }
    return final && size > 0;
}

/* Log one message from the front of data. @return bytes used; 0: more is needed */
static size_t take_message(struct pyd_logpipe *logpipe, const char *data, size_t size, int final)
{
    struct piece piece;
    size_t start = 0;

    if (!logpipe->in_line) {
        if (size == 1 && data[0] == PYD_LOG_TAG && !final)
            return 0;
        logpipe->tagged = size > 1 && data[0] == PYD_LOG_TAG && is_level(data[1]);
        logpipe->level = logpipe->tagged ? level_of(data[1]) : PYD_LOG_WARNING;
        start = logpipe->tagged ? 2 : 0;
    }
    if (!find_piece(data + start, size - start, logpipe->tagged, final, &piece)) {
        if (final && start > 0)
            return start; /* a tag and nothing more */
        return 0;
    }
    if (piece.ends_line && piece.text_size > 0 && data[start + piece.text_size - 1] == '\r')
        piece.text_size--;
    if (piece.text_size > 0 || !logpipe->in_line)
        log_piece(logpipe, data + start, piece.text_size);
    logpipe->in_line = !piece.ends_line;
    return start + piece.used;
}

static void log_messages(struct pyd_logpipe *logpipe, int final)
{
    size_t done = 0, used;

    while (done < logpipe->size) {
        used = take_message(logpipe, logpipe->data + done, logpipe->size - done, final);
        if (used == 0)
            break;
        done += used;
    }
    logpipe->size -= done;
    memmove(logpipe->data, logpipe->data + done, logpipe->size);
}

void pyd_logpipe_feed(struct pyd_logpipe *logpipe, const char *data, size_t size)
{
    while (size > 0) {
        /* Never full here: a message is taken as soon as there is more than fits into one. */
        size_t part = sizeof logpipe->data - logpipe->size;

        if (part > size)
            part = size;
        memcpy(logpipe->data + logpipe->size, data, part);
        logpipe->size += part;
        data += part;
        size -= part;
        log_messages(logpipe, 0);
    }
}

void pyd_logpipe_flush(struct pyd_logpipe *logpipe)
{
    log_messages(logpipe, 1);
    logpipe->in_line = 0;
}

static void read_some(struct pyd_logpipe *logpipe, int reads)
{
    while (reads-- > 0) {
        ssize_t n = read(logpipe->fd, logpipe->data + logpipe->size, sizeof logpipe->data - logpipe->size);

        if (n <= 0)
            return; /* EAGAIN; EOF can't be, the manager keeps a write end */
        logpipe->size += (size_t)n;
        log_messages(logpipe, 0);
    }
}

void pyd_logpipe_read(struct pyd_logpipe *logpipe)
{
    read_some(logpipe, READS_PER_TURN);
}

void pyd_logpipe_finish(struct pyd_logpipe *logpipe)
{
    read_some(logpipe, READS_TO_FINISH);
    pyd_logpipe_flush(logpipe);
}
