/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PLAIN_H
#define PYD_PLAIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/**
 * Reading Python objects without running any code but CPython's own: no property,
 * no __getattr__, no __eq__, no codec error handler of the application. What is not
 * as expected reads as "not there". GIL; no exception is left set.
 */

/** The value of an interned name in a dict; borrowed, or NULL. */
PyObject *pyd_plain_item(PyObject *dict, PyObject *name);

/** What an object's own __dict__ has under an interned name; owned, or NULL. */
PyObject *pyd_plain_attribute(PyObject *object, PyObject *name);

/** The value of an int, or 0 if it is none or does not fit. */
unsigned long pyd_plain_number(PyObject *object);

/**
 * Copy a str as UTF-8, cut to size, terminated: bytes that Python could not decode (surrogateescape) become what they
 * were, other surrogates \udxxx, NUL '?'. Empty if it is no str.
 */
void pyd_plain_text(PyObject *string, char *room, size_t size);

#endif
