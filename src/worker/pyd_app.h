/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_APP_H
#define PYD_APP_H

#include <stdint.h>
#include <sys/types.h>

#include "pyd_spec.h"

struct pyd_dump_writer;
struct pyd_exchange;

/**
 * What a language runtime offers the worker core. src/python fills one in for
 * WSGI; tests/unit has a fake one. The core calls start, load and stop on the main
 * thread and run on its request threads.
 */
struct pyd_app_ops {
    /**
     * Bring the runtime up, on the main thread. On return the main thread holds no lock of the runtime (no GIL). Also
     * sets up what tells of a crash (pyd_worker_crash_fd()) and pyd_stacks_set_language().
     * @return 0, or an exit status of pyd_manager.h; the reason has been logged
     */
    int (*start)(const struct pyd_spec *spec);
    /** Load spec->apps, on the main thread, before any request; the same. */
    int (*load)(const struct pyd_spec *spec);
    /** A request thread begins. *ret_state goes to the other two. @return 0 or an errno */
    int (*thread_begin)(unsigned number, void **ret_state);
    /** Take the runtime's lock, pyd_exchange_begin(), execute the request; must end it (pyd_exchange_end or _fail)
     *  before it returns. If it can't begin: give the lock back, return. */
    void (*run)(void *state, struct pyd_exchange *exchange);
    /** The thread ends. */
    void (*thread_end)(void *state);
    /** Run exit handlers, on the main thread, when no request runs any more (or some hang). The caller _exit()s
     *  afterwards, and does so from a timer if this takes too long. */
    void (*stop)(void);
    /**
     * Stacks through the runtime's lock, on the watch thread (pyd_watch.h), from the moment start() has returned: take
     * the lock, however long that takes; call had() at once; copy what the writer needs; give the lock back; then
     * write, reading source lines (pyd_source.h) without the lock. No code of the application runs.
     * @param writer NULL: only take the lock, call had(), give it back
     * @param tid only this thread and the tasks of its loop; 0: all that run code of the runtime, and all tasks
     */
    void (*dump)(struct pyd_dump_writer *writer, pid_t tid, void (*had)(void));
};

#endif
