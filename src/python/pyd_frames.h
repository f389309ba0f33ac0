/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_FRAMES_H
#define PYD_FRAMES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <frameobject.h>

#include "pyd_buf.h"
#include "pyd_dump.h"

/**
 * Stacks on their way from Python to a dump: copied into plain memory with the
 * GIL, without running any Python code, and written, with the source lines, once it
 * has been given back.
 */
struct pyd_frames {
    struct pyd_buf records;
    struct pyd_buf general; /* remarks on all of it, each with its NUL */
    size_t limit;           /* of the records, in bytes */
};

/** Of one stack. */
#define PYD_FRAMES_MAX 200

void pyd_frames_init(struct pyd_frames *frames, size_t limit);
void pyd_frames_done(struct pyd_frames *frames);

/** True when no more fits: there is no point in going on. What is added then is left out; the dump says so. */
int pyd_frames_full(const struct pyd_frames *frames);

void pyd_frames_add_thread(struct pyd_frames *frames, pid_t tid, const char *name);
void pyd_frames_add_task(struct pyd_frames *frames, const char *name);
/** On the thread or task that was added last. */
void pyd_frames_add_remark(struct pyd_frames *frames, const char *text);
/** On all of it. */
void pyd_frames_add_general(struct pyd_frames *frames, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** @param code borrowed; GIL */
void pyd_frames_add(struct pyd_frames *frames, PyCodeObject *code, int line);
/** A frame and those that called it. @param frame reference is taken; GIL */
void pyd_frames_add_stack(struct pyd_frames *frames, PyFrameObject *frame);

/** Write it all. Without the GIL: reads files. */
void pyd_frames_write(const struct pyd_frames *frames, struct pyd_dump_writer *writer);

#endif
