/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_frames.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pyd_clock.h"
#include "pyd_plain.h"
#include "pyd_source.h"

/* Source files may be on a file server that hangs or dawdles: a dump without source lines is better than none in time
 * (PYD_WATCH_DUMP_US). */
#define SOURCE_US INT64_C(300000)
/* Threads that wait for the same thing share most of their frames. */
#define SOURCE_CACHE 64

enum record_kind { RECORD_THREAD, RECORD_FRAME, RECORD_TASK, RECORD_REMARK };

/* Followed by two texts, each with its NUL. */
struct record {
    enum record_kind kind;
    int number;        /* thread: its tid; frame: the line */
    size_t name_bytes; /* with NUL: of a thread, task or function; a remark's text */
    size_t file_bytes;
};

struct source_line {
    const char *file; /* in the records */
    int line;
    char text[256];
};

struct source_cache {
    int64_t deadline_us;
    struct source_line lines[SOURCE_CACHE];
};

void pyd_frames_init(struct pyd_frames *frames, size_t limit)
{
    memset(frames, 0, sizeof *frames);
    frames->limit = limit;
}

void pyd_frames_done(struct pyd_frames *frames)
{
    if (!frames)
        return;
    pyd_buf_done(&frames->records);
    pyd_buf_done(&frames->general);
}

int pyd_frames_full(const struct pyd_frames *frames)
{
    return frames->records.failed || frames->records.size >= frames->limit;
}

static void add(struct pyd_frames *frames, enum record_kind kind, int number, const char *name, const char *file)
{
    struct record record = {
        .kind = kind, .number = number, .name_bytes = strlen(name) + 1, .file_bytes = strlen(file) + 1};

    if (pyd_frames_full(frames))
        return;
    pyd_buf_append(&frames->records, &record, sizeof record);
    pyd_buf_append(&frames->records, name, record.name_bytes);
    pyd_buf_append(&frames->records, file, record.file_bytes);
}

void pyd_frames_add_thread(struct pyd_frames *frames, pid_t tid, const char *name)
{
    add(frames, RECORD_THREAD, (int)tid, name, "");
}

void pyd_frames_add_task(struct pyd_frames *frames, const char *name)
{
    add(frames, RECORD_TASK, 0, name, "");
}

void pyd_frames_add_remark(struct pyd_frames *frames, const char *text)
{
    add(frames, RECORD_REMARK, 0, text, "");
}

void pyd_frames_add_general(struct pyd_frames *frames, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pyd_buf_append(&frames->general, text, strlen(text) + 1);
}

void pyd_frames_add(struct pyd_frames *frames, PyCodeObject *code, int line)
{
    char name[512], file[PATH_MAX];

    if (pyd_frames_full(frames))
        return;
#if PY_VERSION_HEX >= 0x030b0000
    pyd_plain_text(code->co_qualname, name, sizeof name);
#else
    pyd_plain_text(code->co_name, name, sizeof name);
#endif
    pyd_plain_text(code->co_filename, file, sizeof file);
    add(frames, RECORD_FRAME, line, name, file);
}

/* From 3.11 on this makes frame objects of what had none: those further out are not even looked at. */
void pyd_frames_add_stack(struct pyd_frames *frames, PyFrameObject *frame)
{
    int count = 0;

    while (frame && count < PYD_FRAMES_MAX && !pyd_frames_full(frames)) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyFrameObject *back = PyFrame_GetBack(frame);

        pyd_frames_add(frames, code, PyFrame_GetLineNumber(frame));
        count++;
        Py_DECREF(code);
        Py_DECREF(frame);
        frame = back;
    }
    if (frame && count == PYD_FRAMES_MAX)
        pyd_frames_add_remark(frames, "what called that is left out");
    Py_XDECREF(frame);
}

/* Names such as "<string>" and "<frozen runpy>" are no files. */
static const char *source_of(struct source_cache *cache, const char *file, int line)
{
    size_t hash = (size_t)line;
    struct source_line *found;

    if (*file == '<' || line <= 0)
        return NULL;
    for (const char *at = file; *at; at++)
        hash = hash * 31 + (unsigned char)*at;
    found = &cache->lines[hash % SOURCE_CACHE];
    if (!found->file || found->line != line || strcmp(found->file, file)) {
        if (pyd_clock_us() >= cache->deadline_us)
            return NULL;
        found->file = file;
        found->line = line;
        if (pyd_source_line(file, line, found->text, sizeof found->text))
            found->text[0] = '\0';
    }
    return found->text;
}

static void write_record(const struct record *record, const char *name, const char *file, struct source_cache *cache,
                         struct pyd_dump_writer *writer)
{
    switch (record->kind) {
    case RECORD_THREAD:
        pyd_dump_thread(writer, (pid_t)record->number, 0, name);
        break;
    case RECORD_FRAME:
        pyd_dump_frame(writer, file, record->number, name, source_of(cache, file, record->number));
        break;
    case RECORD_TASK:
        pyd_dump_task(writer, name);
        break;
    case RECORD_REMARK:
        pyd_dump_remark(writer, name);
        break;
    }
}

static void write_general(const struct pyd_frames *frames, struct pyd_dump_writer *writer)
{
    const char *at = (const char *)frames->general.data;
    const char *end = at + (frames->general.failed ? 0 : frames->general.size);

    if (frames->records.failed)
        pyd_dump_remark(writer, "there was no memory for the stacks");
    else if (pyd_frames_full(frames))
        pyd_dump_remark(writer, "the stacks are too long: some are left out");
    for (; at < end; at += strlen(at) + 1)
        pyd_dump_remark(writer, at);
}

void pyd_frames_write(const struct pyd_frames *frames, struct pyd_dump_writer *writer)
{
    const char *at = (const char *)frames->records.data;
    const char *end = at + (frames->records.failed ? 0 : frames->records.size);
    struct source_cache cache = {.deadline_us = pyd_clock_us() + SOURCE_US};

    write_general(frames, writer);
    while (at < end) {
        struct record record;
        const char *name = at + sizeof record;

        memcpy(&record, at, sizeof record);
        at = name + record.name_bytes + record.file_bytes;
        write_record(&record, name, name + record.name_bytes, &cache, writer);
    }
}
