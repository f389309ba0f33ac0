/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_pyerr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pyd_pylog.h"

PyObject *pyd_pyerr_take(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

void pyd_pyerr_restore(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(exception);
#else
    Py_INCREF(Py_TYPE(exception));
    PyErr_Restore((PyObject *)Py_TYPE(exception), exception, PyException_GetTraceback(exception));
#endif
}

int pyd_pyerr_has_traceback(PyObject *exception)
{
    PyObject *traceback = PyException_GetTraceback(exception);

    Py_XDECREF(traceback);
    return traceback != NULL;
}

static void append_object(struct pyd_buf *text, PyObject *string)
{
    PyObject *bytes = PyUnicode_AsEncodedString(string, "utf-8", "backslashreplace");

    if (bytes)
        pyd_buf_append(text, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    else
        PyErr_Clear();
    Py_XDECREF(bytes);
}

void pyd_pyerr_append_summary(struct pyd_buf *text, PyObject *exception)
{
    PyObject *string = PyObject_Str(exception);
    size_t start;

    pyd_buf_append_str(text, Py_TYPE(exception)->tp_name);
    if (!string) {
        PyErr_Clear();
        return;
    }
    if (PyUnicode_GET_LENGTH(string))
        pyd_buf_append_str(text, ": ");
    start = text->size;
    append_object(text, string);
    Py_DECREF(string);
    for (size_t i = start; !text->failed && i < text->size; i++) {
        if (text->data[i] == '\n' || text->data[i] == '\r')
            text->data[i] = ' ';
    }
}

/* traceback.format_exception() does what the interpreter prints: chained causes, notes, groups. */
static PyObject *format_exception(PyObject *exception)
{
    PyObject *module = PyImport_ImportModule("traceback");
    PyObject *traceback = PyException_GetTraceback(exception);
    PyObject *lines = NULL, *empty = NULL, *joined = NULL;

    if (module)
        lines = PyObject_CallMethod(module, "format_exception", "OOO", (PyObject *)Py_TYPE(exception), exception,
                                    traceback ? traceback : Py_None);
    if (lines)
        empty = PyUnicode_FromStringAndSize(NULL, 0);
    if (empty)
        joined = PyUnicode_Join(empty, lines);
    Py_XDECREF(empty);
    Py_XDECREF(lines);
    Py_XDECREF(traceback);
    Py_XDECREF(module);
    return joined;
}

static void append_traceback(struct pyd_buf *text, PyObject *exception)
{
    PyObject *joined = format_exception(exception);

    if (joined) {
        append_object(text, joined);
        Py_DECREF(joined);
        while (text->size && text->data[text->size - 1] == '\n')
            text->size--;
        return;
    }
    /* The exception's own __str__ or the traceback module is broken: say at least what it is. */
    PyErr_Clear();
    pyd_buf_append_str(text, "(its traceback cannot be formatted) ");
    pyd_pyerr_append_summary(text, exception);
}

void pyd_pyerr_append_report(struct pyd_buf *text, PyObject *exception, const char *headline)
{
    if (headline)
        pyd_buf_append_str(text, headline);
    if (headline && exception)
        pyd_buf_append_str(text, "\n");
    if (exception)
        append_traceback(text, exception);
}

void pyd_pyerr_report(struct pyd_exchange *exchange, PyObject *exception, const char *format, ...)
{
    const enum pyd_log_level level = PYD_LOG_ERR; /* the headline has the number */
    struct pyd_buf text = {0};
    char headline[1024] = "";
    va_list arguments;

    if (format) {
        va_start(arguments, format);
        vsnprintf(headline, sizeof headline, format, arguments);
        va_end(arguments);
    }
    pyd_pyerr_append_report(&text, exception, format ? headline : NULL);
    if (text.failed) /* no memory: at least what is on the stack */
        pyd_pylog_lines(exchange, level, headline, strlen(headline));
    else
        pyd_pylog_lines(exchange, level, (const char *)text.data, text.size);
    pyd_buf_done(&text);
}
