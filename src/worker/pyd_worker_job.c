/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_worker_job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyd_buf.h"

/* Far above any real configuration; an endless file must not fill the memory. */
#define JOB_BYTES_MAX (16u << 20)

struct job_line {
    const char *key;
    size_t offset;
    uint32_t min, max;
};

#define JOB_LINE(name, min, max)                                                                                       \
    {                                                                                                                  \
        "." #name "=", offsetof(struct pyd_worker_job, name), min, max                                                 \
    }

static const struct job_line LINES[] = {
    JOB_LINE(generation, 0, UINT32_MAX),
    JOB_LINE(group, 0, INT32_MAX),
    JOB_LINE(slot, 0, PYD_WORKER_SLOTS_MAX - 1),
    JOB_LINE(slots, 1, PYD_WORKER_SLOTS_MAX),
    JOB_LINE(threads, 1, PYD_WORKER_THREADS_MAX),
    JOB_LINE(epoch, 1, UINT32_MAX),
    JOB_LINE(number, 0, UINT32_MAX),
};
#define LINE_COUNT (sizeof(LINES) / sizeof(LINES[0]))

/* A decimal number that fills the line; its end goes to *ret_end. */
static int parse_number(const char *text, const struct job_line *line, uint32_t *ret_value, const char **ret_end)
{
    uint64_t value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        value = 10 * value + (uint64_t)(*at - '0');
        if (value > line->max)
            return EINVAL;
    }
    if (at == text || *at != '\n' || value < line->min)
        return EINVAL;
    *ret_value = (uint32_t)value;
    *ret_end = at + 1;
    return 0;
}

static const struct job_line *find_line(const char *text)
{
    for (size_t i = 0; i < LINE_COUNT; i++) {
        if (!strncmp(text, LINES[i].key, strlen(LINES[i].key)))
            return &LINES[i];
    }
    return NULL;
}

int pyd_worker_job_parse(const char *text, struct pyd_worker_job *ret_job, char *error, size_t size)
{
    struct pyd_worker_job job;
    const struct job_line *line;
    unsigned seen = 0;
    int rv;

    memset(&job, 0, sizeof(job));
    while ((line = find_line(text))) {
        uint32_t value;

        if (parse_number(text + strlen(line->key), line, &value, &text)) {
            snprintf(error, size, "line \"%.40s\" is not a number in its range", text);
            return EINVAL;
        }
        memcpy((char *)&job + line->offset, &value, sizeof(value));
        seen |= 1u << (line - LINES);
    }
    for (size_t i = 0; i < LINE_COUNT; i++) {
        if (!(seen & (1u << i))) {
            snprintf(error, size, "line \"%s\" is missing", LINES[i].key);
            return EINVAL;
        }
    }
    if (job.slot >= job.slots) {
        snprintf(error, size, "slot %u is not below slots %u", job.slot, job.slots);
        return EINVAL;
    }
    rv = pyd_spec_init(&job.spec, NULL);
    if (!rv)
        rv = pyd_spec_parse(&job.spec, text, error, size);
    if (!rv && !job.spec.name) {
        snprintf(error, size, "the group has no name");
        rv = EINVAL;
    }
    if (rv) {
        pyd_spec_done(&job.spec);
        return rv;
    }
    *ret_job = job;
    return 0;
}

static int read_all(int fd, struct pyd_buf *text)
{
    for (;;) {
        unsigned char *room = pyd_buf_reserve(text, 4096);
        ssize_t got;

        if (!room)
            return ENOMEM;
        got = pread(fd, room, 4096, (off_t)text->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (!got)
            return 0;
        text->size += (size_t)got;
        if (text->size > JOB_BYTES_MAX)
            return EFBIG;
    }
}

int pyd_worker_job_read(int fd, struct pyd_worker_job *ret_job, char *error, size_t size)
{
    struct pyd_buf text = {0};
    int rv = read_all(fd, &text);

    if (rv) {
        snprintf(error, size, "it cannot be read: %s", strerror(rv));
        goto leave;
    }
    pyd_buf_append(&text, "", 1);
    if (text.failed) {
        rv = ENOMEM;
        goto leave;
    }
    rv = pyd_worker_job_parse((const char *)text.data, ret_job, error, size);

leave:
    pyd_buf_done(&text);
    return rv;
}

void pyd_worker_job_done(struct pyd_worker_job *job)
{
    if (job)
        pyd_spec_done(&job->spec);
}
