/* SPDX-License-Identifier: Apache-2.0 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyd_path.h"

#include <string.h>

static const char *home; /* of the spec, which lives as long as the process */

static PyObject *search_path(void)
{
    PyObject *path = PySys_GetObject("path");

    if (path && PyList_Check(path))
        return path;
    PyErr_SetString(PyExc_RuntimeError, "sys.path is not a list");
    return NULL;
}

/* Entries of path that are in `before`, or those that are not. Returns an owned list. */
static PyObject *select_entries(PyObject *path, PyObject *before, int wanted)
{
    PyObject *list = PyList_New(0);

    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(path); i++) {
        PyObject *entry = PyList_GET_ITEM(path, i);
        int known = PySequence_Contains(before, entry);

        if (known < 0 || (known == wanted && PyList_Append(list, entry)))
            Py_CLEAR(list);
    }
    return list;
}

/* site.addsitedir() reads .pth files, but appends; directories asked for by name are to win over installed packages. */
static int add_site_dirs(const struct pyd_strings *directories)
{
    PyObject *path = search_path();
    PyObject *before = path ? PyList_AsTuple(path) : NULL;
    PyObject *site = before ? PyImport_ImportModule("site") : NULL;
    PyObject *added = NULL, *kept = NULL;
    int rv = -1;

    for (size_t i = 0; site && i < directories->count; i++) {
        PyObject *name = PyUnicode_DecodeFSDefault(directories->items[i]);
        PyObject *result = name ? PyObject_CallMethod(site, "addsitedir", "O", name) : NULL;

        Py_XDECREF(name);
        Py_XDECREF(result);
        if (!result)
            goto leave;
    }
    path = site ? search_path() : NULL;
    if (!path)
        goto leave;
    added = select_entries(path, before, 0);
    kept = select_entries(path, before, 1);
    if (added && kept && !PyList_SetSlice(path, 0, PyList_GET_SIZE(path), kept) && !PyList_SetSlice(path, 0, 0, added))
        rv = 0;

leave:
    Py_XDECREF(kept);
    Py_XDECREF(added);
    Py_XDECREF(site);
    Py_XDECREF(before);
    return rv;
}

int pyd_path_add_home(void)
{
    PyObject *path = search_path(), *name;
    int rv;

    if (!path)
        return -1;
    if (!home || !strcmp(home, "/"))
        return 0;
    name = PyUnicode_DecodeFSDefault(home);
    if (!name)
        return -1;
    rv = PySequence_Contains(path, name);
    if (!rv)
        rv = PyList_Insert(path, 0, name);
    Py_DECREF(name);
    return rv < 0 ? -1 : 0;
}

int pyd_path_init(const struct pyd_spec *spec)
{
    home = spec->home_dir;
    if (spec->python_path.count && add_site_dirs(&spec->python_path))
        return -1;
    return spec->home ? pyd_path_add_home() : 0;
}
