/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_script.h"

#include <inttypes.h>
#include <stdio.h>

#include "pyd_pyerr.h"

/* FNV-1a: the module's name must be the same in every process and after a restart, for pickles of its classes. */
static PyObject *script_name(const char *path)
{
    uint64_t hash = 14695981039346656037u;
    char name[32];

    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 1099511628211u;
    snprintf(name, sizeof name, "_pydaemon_%016" PRIx64, hash);
    return PyUnicode_FromString(name);
}

/* A new module for the script, with the __spec__, __loader__ and __file__ that imported modules have. */
static PyObject *script_module(const char *path, PyObject *file, PyObject **ret_name, PyObject **ret_loader)
{
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *util = PyImport_ImportModule("importlib.util");
    PyObject *name = script_name(path);
    PyObject *loader = NULL, *maker = NULL, *keywords = NULL, *arguments = NULL, *spec = NULL, *module = NULL;

    if (machinery && util && name)
        loader = PyObject_CallMethod(machinery, "SourceFileLoader", "OO", name, file);
    if (loader) {
        maker = PyObject_GetAttrString(util, "spec_from_file_location");
        arguments = PyTuple_Pack(2, name, file);
        keywords = Py_BuildValue("{sO}", "loader", loader);
    }
    if (maker && arguments && keywords)
        spec = PyObject_Call(maker, arguments, keywords);
    if (spec)
        module = PyObject_CallMethod(util, "module_from_spec", "O", spec);
    if (module) {
        *ret_name = name;
        *ret_loader = loader;
        name = loader = NULL;
    }
    Py_XDECREF(spec);
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(maker);
    Py_XDECREF(loader);
    Py_XDECREF(name);
    Py_XDECREF(util);
    Py_XDECREF(machinery);
    return module;
}

/* Compiled from the file as it is now: a cached .pyc is chosen by a timestamp of whole seconds, and none is written. */
static int run_script(PyObject *file, PyObject *loader, PyObject *module)
{
    PyObject *source = PyObject_CallMethod(loader, "get_data", "O", file);
    PyObject *globals = PyModule_GetDict(module), *code = NULL, *result = NULL;

    if (source)
        code = PyObject_CallMethod(loader, "source_to_code", "OO", source, file);
    /* exec() does this; without it pickle, for one, cannot import. */
    if (code && !PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()))
        result = PyEval_EvalCode(code, globals, globals);
    Py_XDECREF(result);
    Py_XDECREF(code);
    Py_XDECREF(source);
    return result ? 0 : -1;
}

PyObject *pyd_script_load(const char *path)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *file = PyUnicode_DecodeFSDefault(path);
    PyObject *name = NULL, *loader = NULL, *module, *exception;

    module = file ? script_module(path, file, &name, &loader) : NULL;
    if (!module) {
        Py_XDECREF(file);
        return NULL;
    }
    if (PyObject_SetItem(modules, name, module) || run_script(file, loader, module)) {
        exception = pyd_pyerr_take();
        if (PyObject_DelItem(modules, name))
            PyErr_Clear();
        pyd_pyerr_restore(exception);
        Py_CLEAR(module);
    }
    Py_DECREF(loader);
    Py_DECREF(name);
    Py_DECREF(file);
    return module;
}
