/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_LOADER_H
#define PYD_LOADER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/**
 * Applications: a target as httpd names it and the callable found there. A
 * target is a script file ("/srv/app/wsgi.py") or "package.module:callable".
 *
 * Each is loaded once in a process. A target that could not be loaded is tried
 * again by the next request for it, and forgotten when nothing refers to it, so
 * targets made from URLs (PyDaemonAliasMatch) cannot pile up. GIL for all calls.
 */
struct pyd_target;
struct pyd_exchange;

/** Find or add a target; counts a reference. Returns NULL only when out of memory. */
struct pyd_target *pyd_loader_acquire(const char *target, size_t target_bytes, const char *callable,
                                      size_t callable_bytes);
/** Drop a reference. NULL-safe. */
void pyd_loader_release(struct pyd_target *target);

/**
 * Its application, loaded now if it is not yet; one thread loads, the others wait for it. On failure the traceback
 * and one message have been logged, to the request if exchange is not NULL.
 * @return borrowed, valid for ever; NULL: it cannot be loaded (no exception is set)
 */
PyObject *pyd_loader_app(struct pyd_target *target, struct pyd_exchange *exchange);

/** How messages call it: "/srv/app/wsgi.py", or "module:callable". Valid while the reference is held. */
const char *pyd_loader_label(const struct pyd_target *target);

#endif
