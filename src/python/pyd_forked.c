/* SPDX-License-Identifier: Apache-2.0 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyd_forked.h"

#include <stdio.h>
#include <unistd.h>

#include "pyd_exchange.h"
#include "pyd_logstream.h"
#include "pyd_pyerr.h"

/* Up to Python 3.12 threading._shutdown(), with which multiprocessing ends a process, asserts that the main thread has
 * a lock. What was a request thread is known to threading as a _DummyThread, which has none. Since then there are no
 * such locks. */
static int give_lock(PyObject *threading)
{
    PyObject *thread = PyObject_GetAttrString(threading, "_main_thread");
    PyObject *dummy = PyObject_GetAttrString(threading, "_DummyThread");
    PyObject *lock = NULL, *result = NULL;
    int is_dummy = thread && dummy ? PyObject_IsInstance(thread, dummy) : -1, rv = is_dummy < 0 ? -1 : 0;

    if (is_dummy > 0 && PyObject_HasAttrString(thread, "_tstate_lock")) {
        lock = PyObject_GetAttrString(thread, "_tstate_lock");
        if (lock == Py_None)
            result = PyObject_CallMethod(thread, "_set_tstate_lock", NULL);
        if (!lock || (lock == Py_None && !result))
            rv = -1;
    }
    Py_XDECREF(result);
    Py_XDECREF(lock);
    Py_XDECREF(dummy);
    Py_XDECREF(thread);
    return rv;
}

static PyObject *after_fork(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    PyObject *threading = PyImport_ImportModule("threading");
    int rv = threading ? give_lock(threading) : -1;

    Py_XDECREF(threading);
    if (rv)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef after_fork_method = {"after_fork", after_fork, METH_NOARGS, NULL};

/* What is registered later runs later in the child: threading's own function has run by then. */
int pyd_forked_init(void)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *function = os ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    PyObject *callback = function ? PyCFunction_New(&after_fork_method, NULL) : NULL;
    PyObject *keywords = callback ? Py_BuildValue("{sO}", "after_in_child", callback) : NULL;
    PyObject *arguments = keywords ? PyTuple_New(0) : NULL;
    PyObject *result = arguments ? PyObject_Call(function, arguments, keywords) : NULL;

    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    Py_XDECREF(callback);
    Py_XDECREF(function);
    Py_XDECREF(os);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* As sys.exit() documents it: None is success, a number is the status, anything else is printed. */
static int exit_status(PyObject *exception)
{
    PyObject *code = PyObject_GetAttrString(exception, "code"), *file;
    int status = 1;

    if (code && PyLong_Check(code)) {
        status = (int)PyLong_AsLong(code);
    } else if (code == Py_None) {
        status = 0;
    } else if (code) {
        file = PySys_GetObject("stderr");
        if (file && file != Py_None && !PyFile_WriteObject(code, file, Py_PRINT_RAW))
            PySys_WriteStderr("\n");
    }
    PyErr_Clear();
    Py_XDECREF(code);
    return status;
}

static void call_quietly(PyObject *object, const char *method)
{
    PyObject *result = object ? PyObject_CallMethod(object, method, NULL) : NULL;

    if (!result)
        PyErr_Clear();
    Py_XDECREF(result);
}

/* The order of Py_RunMain(), without exit handlers: those, in C as in Python, are the worker's. */
static __attribute__((noreturn)) void end(void)
{
    PyObject *exception = pyd_pyerr_take(), *threading;
    int status = 0;

    if (exception && PyErr_GivenExceptionMatches(exception, PyExc_SystemExit)) {
        status = exit_status(exception);
    } else if (exception) {
        status = 1;
        pyd_pyerr_restore(exception);
        PyErr_Print();
    }
    threading = PyImport_ImportModule("threading");
    call_quietly(threading, "_shutdown"); /* waits for the threads that it has started itself */
    call_quietly(PySys_GetObject("stdout"), "flush");
    call_quietly(PySys_GetObject("stderr"), "flush");
    pyd_logstream_flush();
    fflush(stdout);
    _exit(status);
}

void pyd_forked_check(void)
{
    if (pyd_exchange_forked())
        end();
}
