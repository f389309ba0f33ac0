/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PYERR_H
#define PYD_PYERR_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyd_buf.h"

/**
 * Python exceptions as log lines. A report is one headline of ours and, below
 * it, the traceback as Python prints it, each line whole. All calls need the GIL.
 */
struct pyd_exchange;

/** Take the current exception, normalised and with its traceback attached. Returns owned; NULL if there is none. */
PyObject *pyd_pyerr_take(void);
/** Make it the current exception again. Takes the reference. */
void pyd_pyerr_restore(PyObject *exception);

/** True if it was raised by Python code: it has a traceback worth logging. */
int pyd_pyerr_has_traceback(PyObject *exception);

/** Append "Type: text" of an exception on one line; never fails (a bad __str__ gives the type alone). */
void pyd_pyerr_append_summary(struct pyd_buf *text, PyObject *exception);

/** Append a headline (NULL: none) and the exception's traceback (NULL: none), without a newline at the end. */
void pyd_pyerr_append_report(struct pyd_buf *text, PyObject *exception, const char *headline);

/**
 * Log a headline (format NULL: none) and the exception's traceback at level error.
 * @param exchange the request it belongs to (its thread's, not ended), or NULL: the group's log
 */
void pyd_pyerr_report(struct pyd_exchange *exchange, PyObject *exception, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
