/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_SCRIPT_H
#define PYD_SCRIPT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/**
 * Load a script file as a module, whatever its name and wherever it is: compiled from source, under a name made from
 * its path, in sys.modules as long as it does not fail. GIL.
 * @return owned, or NULL with an exception set
 */
PyObject *pyd_script_load(const char *path);

#endif
