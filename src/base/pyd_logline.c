/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_logline.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "pyd_clock.h"
#include "pyd_fd.h"

/* How long a line waits for somebody to read the pipe; and that of a thread which has more important things to do. */
#define WAIT_US 5000000
#define HURRY_WAIT_US 200000

/*
 * A write of at most PIPE_BUF bytes is atomic; the turn keeps the pieces of a longer one together. A mutex held
 * while writing would do, but for those who must not wait for a thread that waits for room in the pipe.
 */
static struct {
    pthread_mutex_t lock; /* guards what follows; nobody waits for the pipe with it */
    pthread_cond_t freed; /* its clock is monotonic */
    int busy;             /* a thread writes */
    int stalled;          /* one has waited in vain: nobody waits until a write succeeds again */
    int torn;             /* the pipe has the beginning of a line whose rest was dropped */
    unsigned long lost;   /* lines dropped that have not been told of */
} turn = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t turn_once = PTHREAD_ONCE_INIT;
static pyd_logline_loss *describe_loss;
static __thread int hurried, gave_up; /* gave_up: stalled, of a thread in a hurry */

static void init_freed(void)
{
    pthread_condattr_t attr;

    /* None of these fails on Linux. */
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&turn.freed, &attr);
    pthread_condattr_destroy(&attr);
}

/* The thread that writes has not come along; what is lost is the other process's to tell. */
static void renew_turn(void)
{
    memset(&turn, 0, sizeof(turn));
    turn.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    init_freed();
}

static void init_turn(void)
{
    init_freed();
    pthread_atfork(NULL, NULL, renew_turn);
}

void pyd_logline_on_loss(pyd_logline_loss *describe)
{
    describe_loss = describe;
}

void pyd_logline_hurry(void)
{
    hurried = 1;
}

/* @return false if it does not come in time */
static int take_turn(int64_t deadline_us, unsigned lines)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_us / 1000000),
                             .tv_nsec = (long)(deadline_us % 1000000) * 1000};
    int taken;

    pthread_mutex_lock(&turn.lock);
    while (turn.busy && pthread_cond_timedwait(&turn.freed, &turn.lock, &until) != ETIMEDOUT) {
    }
    taken = !turn.busy;
    turn.busy = 1;
    if (!taken) {
        turn.lost += lines;
        gave_up = hurried;
    }
    pthread_mutex_unlock(&turn.lock);
    return taken;
}

static void give_turn(int error, unsigned lines)
{
    pthread_mutex_lock(&turn.lock);
    turn.busy = 0;
    if (error)
        turn.lost += lines;
    gave_up = error && hurried;
    if (!error || !hurried)
        turn.stalled = error == ETIMEDOUT;
    pthread_cond_signal(&turn.freed);
    pthread_mutex_unlock(&turn.lock);
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
    unsigned lines;
    size_t size;
    char bytes[PYD_LOGLINE_MAX + 3]; /* of which several pieces together use PIPE_BUF at most */
};

static int write_until(int fd, const char *data, size_t size, int64_t deadline_us)
{
    int64_t left_us = deadline_us - pyd_clock_us();

    return pyd_fd_write_all(fd, data, size, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);
}

/* What has to come before the next line: the end of a torn one, and how many are missing. */
static int write_losses(int fd, int64_t deadline_us)
{
    char text[512] = "\n";
    size_t size = turn.torn ? 1 : 0;
    unsigned long lost;
    int rv;

    pthread_mutex_lock(&turn.lock);
    lost = describe_loss ? turn.lost : 0;
    pthread_mutex_unlock(&turn.lock);
    if (lost) {
        text[size++] = PYD_LOG_TAG;
        text[size++] = '4';
        describe_loss(text + size, sizeof(text) - size - 1, lost);
        size += strlen(text + size);
        text[size++] = '\n';
    }
    if (!size)
        return 0;
    rv = write_until(fd, text, size, deadline_us);
    if (rv)
        return rv;
    turn.torn = 0;
    pthread_mutex_lock(&turn.lock);
    turn.lost -= lost;
    pthread_mutex_unlock(&turn.lock);
    return 0;
}

static int write_batch(const struct batch *batch, int64_t deadline_us)
{
    int rv = write_losses(batch->fd, deadline_us);

    for (size_t at = 0; !rv && at < batch->size; at += PIPE_BUF) {
        size_t left = batch->size - at;

        rv = write_until(batch->fd, batch->bytes + at, left < PIPE_BUF ? left : PIPE_BUF, deadline_us);
        if (rv && at)
            turn.torn = 1;
    }
    return rv;
}

static void batch_send(struct batch *batch)
{
    int64_t now_us = pyd_clock_us();
    int64_t deadline_us = now_us + (gave_up ? 0 : hurried ? HURRY_WAIT_US : WAIT_US);

    if (batch->size && take_turn(deadline_us, batch->lines))
        give_turn(write_batch(batch, turn.stalled ? now_us : deadline_us), batch->lines);
    batch->size = 0;
    batch->lines = 0;
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
    batch->lines++;
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
    batch.lines = 0;
    pthread_once(&turn_once, init_turn);
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
