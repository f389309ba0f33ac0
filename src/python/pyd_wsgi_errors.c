/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <string.h>

#include "pyd_logstream.h"
#include "pyd_pylog.h"

/* Longest line begun that is kept; what an application writes without newlines must not fill the memory. */
#define LINE_BYTES_MAX (8u << 10)

/* What applications write is theirs: it has no message number. */
static const enum pyd_log_level level = PYD_LOG_ERR;

struct errors {
    PyObject_HEAD
    struct pyd_wsgi_request *request;
    int binary; /* this is wsgi.errors.buffer */
};

static PyTypeObject errors_type, buffer_type;

/* In-band while the request lives and nobody else is sending, so that the lines bear its id; else to the log pipe. */
static void log_lines(struct pyd_wsgi_request *request, const char *data, size_t size)
{
    if (request->exchange && !request->busy && !request->gone)
        pyd_wsgi_log(request, level, data, size);
    else
        pyd_pylog_lines(NULL, level, data, size);
}

void pyd_wsgi_errors_flush(struct pyd_wsgi_request *request)
{
    struct pyd_buf line = request->errors_line, none = {0};

    request->errors_line = none; /* while these wait, another thread may begin a line */
    if (line.size)
        log_lines(request, (const char *)line.data, line.size);
    pyd_buf_done(&line);
}

/* All whole lines of what was begun and what is added go out in one piece. */
static void add(struct pyd_wsgi_request *request, const char *data, size_t size)
{
    struct pyd_buf *line = &request->errors_line;
    const char *newline = memrchr(data, '\n', size);
    size_t whole = newline ? (size_t)(newline - data) : 0;

    if (newline) {
        if (line->size) {
            pyd_buf_append(line, data, whole);
            pyd_wsgi_errors_flush(request);
        } else {
            log_lines(request, data, whole);
        }
        data += whole + 1;
        size -= whole + 1;
    }
    pyd_buf_append(line, data, size);
    if (line->size >= LINE_BYTES_MAX || line->failed)
        pyd_wsgi_errors_flush(request);
}

/* A long request's lines are to be seen while it runs. If there is no room now, they go with what is sent next. */
static void push(struct pyd_wsgi_request *request)
{
    if (request->exchange && !request->busy && !request->gone)
        (void)pyd_exchange_push(request->exchange);
}

static PyObject *errors_write(PyObject *self, PyObject *object)
{
    struct errors *errors = (struct errors *)self;
    struct pyd_logstream_text text;
    Py_ssize_t taken;

    if (pyd_logstream_text_init(&text, object, errors->binary))
        return NULL;
    taken = errors->binary ? (Py_ssize_t)text.size : PyUnicode_GET_LENGTH(object);
    add(errors->request, text.data, text.size);
    if (memchr(text.data, '\n', text.size))
        push(errors->request);
    pyd_logstream_text_done(&text);
    return PyLong_FromSsize_t(taken);
}

static PyObject *errors_writelines(PyObject *self, PyObject *items)
{
    return pyd_logstream_write_each(items, self, errors_write);
}

static PyObject *errors_flush(PyObject *self, PyObject *Py_UNUSED(unused))
{
    struct pyd_wsgi_request *request = ((struct errors *)self)->request;

    if (request->errors_line.size) {
        pyd_wsgi_errors_flush(request);
        push(request);
    }
    Py_RETURN_NONE;
}

static PyObject *errors_false(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_FALSE;
}

static PyObject *errors_true(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_TRUE;
}

static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O, "Write text; whole lines go to the error log."},
    {"writelines", errors_writelines, METH_O, "Write each item."},
    {"flush", errors_flush, METH_NOARGS, "End the line begun."},
    {"close", errors_flush, METH_NOARGS, "Flush; the stream stays open."},
    {"isatty", errors_false, METH_NOARGS, NULL},
    {"readable", errors_false, METH_NOARGS, NULL},
    {"seekable", errors_false, METH_NOARGS, NULL},
    {"writable", errors_true, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyObject *errors_new(PyTypeObject *type, struct pyd_wsgi_request *request)
{
    struct errors *errors = PyObject_New(struct errors, type);

    if (!errors)
        return NULL;
    Py_INCREF(request);
    errors->request = request;
    errors->binary = type == &buffer_type;
    return (PyObject *)errors;
}

static PyObject *get_buffer(PyObject *self, void *Py_UNUSED(closure))
{
    struct errors *errors = (struct errors *)self;

    if (errors->binary) {
        PyErr_SetString(PyExc_AttributeError, "buffer");
        return NULL;
    }
    return errors_new(&buffer_type, errors->request);
}

static PyObject *get_text(PyObject *Py_UNUSED(self), void *text)
{
    return PyUnicode_FromString(text);
}

static PyObject *get_closed(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    Py_RETURN_FALSE;
}

static char encoding_text[] = "utf-8", errors_text[] = "backslashreplace", name_text[] = "<wsgi.errors>",
            mode_text[] = "w";

static PyGetSetDef errors_attributes[] = {
    {"buffer", get_buffer, NULL, NULL, NULL},
    {"encoding", get_text, NULL, NULL, encoding_text},
    {"errors", get_text, NULL, NULL, errors_text},
    {"mode", get_text, NULL, NULL, mode_text},
    {"name", get_text, NULL, NULL, name_text},
    {"closed", get_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static void errors_dealloc(PyObject *self)
{
    Py_DECREF(((struct errors *)self)->request);
    PyObject_Free(self);
}

static PyTypeObject errors_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pydaemon.ErrorStream",
    .tp_doc = "wsgi.errors: whole lines go to the error log, with the request's context.",
    .tp_basicsize = sizeof(struct errors),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = errors_dealloc,
    .tp_methods = errors_methods,
    .tp_getset = errors_attributes,
};

static PyTypeObject buffer_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pydaemon.ErrorStreamBuffer",
    .tp_doc = "The binary side of wsgi.errors.",
    .tp_basicsize = sizeof(struct errors),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = errors_dealloc,
    .tp_methods = errors_methods,
    .tp_getset = errors_attributes,
};

int pyd_wsgi_errors_init(void)
{
    if (PyType_Ready(&errors_type) || PyType_Ready(&buffer_type))
        return -1;
    return pyd_logstream_register(&errors_type, 0) || pyd_logstream_register(&buffer_type, 1) ? -1 : 0;
}

PyObject *pyd_wsgi_errors_create(struct pyd_wsgi_request *request)
{
    return errors_new(&errors_type, request);
}
