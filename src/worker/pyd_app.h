/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_APP_H
#define PYD_APP_H

#include <stdint.h>

#include "pyd_spec.h"

struct pyd_exchange;

/**
 * What a language runtime offers the worker core. src/python fills one in for
 * WSGI; tests/unit has a fake one. The core calls start and stop on the main
 * thread and run on its request threads.
 */
struct pyd_app_ops {
    /**
     * Bring the runtime up and load spec->apps, on the main thread, before any request. On return the main
     * thread holds no lock of the runtime (no GIL).
     * @return 0, or an exit status of pyd_manager.h; the reason has been logged
     */
    int (*start)(const struct pyd_spec *spec);
    /** A request thread begins. *ret_state goes to the other two. @return 0 or an errno */
    int (*thread_begin)(unsigned number, void **ret_state);
    /** Execute one request; must end it (pyd_exchange_end or _fail) before it returns. */
    void (*run)(void *state, struct pyd_exchange *exchange);
    /** The thread ends. */
    void (*thread_end)(void *state);
    /** Run exit handlers, on the main thread, when no request runs any more (or some hang). The caller _exit()s
     *  afterwards, and does so from a timer if this takes too long. */
    void (*stop)(void);
};

#endif
