/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PYDUMP_H
#define PYD_PYDUMP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sys/types.h>

#include "pyd_dump.h"

/**
 * Stacks of Python threads and asyncio tasks through the GIL. Other threads stand
 * still meanwhile, and nothing that the application has written runs: no audit
 * hook, no property, no finalizer.
 */

/** A request thread, as dumps name it. Embedded in what the thread keeps. */
struct pyd_pydump_thread {
    struct pyd_pydump_thread *next;
    PyThreadState *state; /* its own */
    pid_t tid;
    unsigned number;
};

/** Once, after the import of threading and before applications are loaded. GIL. @return 0 or -1: exception set */
int pyd_pydump_init(void);

/** The calling thread becomes, or ceases to be, a request thread. GIL. */
void pyd_pydump_thread_add(struct pyd_pydump_thread *thread, unsigned number);
void pyd_pydump_thread_remove(struct pyd_pydump_thread *thread);

/** What pyd_app.h says of ops->dump. Watch thread only. */
void pyd_pydump(struct pyd_dump_writer *writer, pid_t tid, void (*had)(void));

#endif
