/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_DUMP_H
#define PYD_DUMP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyd_buf.h"

/**
 * The text of a stack dump on its way from a worker to the manager, and what
 * faulthandler writes. PURE, no I/O: the worker builds a text, the manager, which
 * believes none of it, reads it. Lines end with '\n', fields are separated by '\t'; in a
 * field tab and newline become '?'. tid, flags and line are decimal, offset is hexadecimal.
 *
 *   T tid flags name             a thread; what follows, up to the next T, A or E, is its stack
 *   F file line function source  a Python frame, innermost first; source may be empty, line 0 or less: not known
 *   N symbol offset module       a native frame, innermost first; symbol may be empty (offset is the module's then);
 *                                without a module it is in the kernel: a system call, or what it waits in there
 *   A name                       an asyncio task; F lines follow
 *   X text                       a remark: on the thread or task it follows, before the first one on all of them
 *   E count                      the last line: so many did not fit
 */
struct pyd_dump_writer {
    struct pyd_buf text;
    size_t limit;       /* bytes; set by init */
    unsigned left_out;  /* lines that did not fit: all from the first such one on */
};

/** What is kept of a field, in bytes; the rest is replaced by "...". */
#define PYD_DUMP_FIELD_MAX 1024u

#define PYD_DUMP_HOLDS_GIL 0x1u /* this thread had the lock when it was looked at */

void pyd_dump_writer_init(struct pyd_dump_writer *writer, size_t limit);
void pyd_dump_writer_done(struct pyd_dump_writer *writer);
void pyd_dump_thread(struct pyd_dump_writer *writer, pid_t tid, unsigned flags, const char *name);
/** @param source a line of the file, or NULL; blanks around it are left out */
void pyd_dump_frame(struct pyd_dump_writer *writer, const char *file, int line, const char *function,
                    const char *source);
void pyd_dump_native(struct pyd_dump_writer *writer, const char *symbol, uint64_t offset, const char *module);
void pyd_dump_task(struct pyd_dump_writer *writer, const char *name);
void pyd_dump_remark(struct pyd_dump_writer *writer, const char *text);
/** Say how much was left out, if it was. The text is writer->text then, terminated behind its size (but NULL, if there
 *  was no memory at all). */
void pyd_dump_end(struct pyd_dump_writer *writer);

enum pyd_dump_kind {
    PYD_DUMP_LINE_BAD,
    PYD_DUMP_THREAD,
    PYD_DUMP_FRAME,
    PYD_DUMP_NATIVE,
    PYD_DUMP_TASK,
    PYD_DUMP_REMARK,
    PYD_DUMP_LEFT_OUT
};

struct pyd_dump_str {
    const char *data; /* borrowed from the text, not terminated */
    size_t size;
};

struct pyd_dump_item {
    enum pyd_dump_kind kind;
    pid_t tid;
    unsigned flags;
    int line;
    uint64_t offset;              /* LEFT_OUT: how many */
    struct pyd_dump_str name;     /* THREAD, TASK, REMARK: the text */
    struct pyd_dump_str file, function, source; /* FRAME */
    struct pyd_dump_str symbol, module;         /* NATIVE */
};

/** The next line of a text. @param at moved behind it. @return 0 at the end; lines that make no sense are BAD */
int pyd_dump_next(const char **at, const char *end, struct pyd_dump_item *ret_item);

/**
 * A line that faulthandler has written (Python/traceback.c, Modules/faulthandler.c), with or without its newline:
 * `  File "x.py", line 12 in f` gives a FRAME; `Thread 0x7f12 (most recent call first):`, `Current thread 0x…`, and
 * with a name `Thread 0x7f12 [name] (…`, a THREAD with the hexadecimal number in offset, and HOLDS_GIL for the
 * current one; from 3.14 on `  Binary file "x.so", at f+0x1 [0x…]` a NATIVE; `Fatal Python error: …`,
 * `Extension modules: …` and `...`, which stands for all threads after the first 100, a REMARK. Others are BAD.
 */
void pyd_dump_parse_faulthandler(const char *line, size_t size, struct pyd_dump_item *ret_item);

#endif
