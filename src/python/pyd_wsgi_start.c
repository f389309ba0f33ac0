/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

PyObject *pyd_wsgi_protocol_error;

int pyd_wsgi_broke(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    PyErr_FormatV(pyd_wsgi_protocol_error, format, arguments);
    va_end(arguments);
    return -1;
}

PyObject *pyd_wsgi_raise_ended(void)
{
    PyErr_SetString(PyExc_OSError, "the request has ended");
    return NULL;
}

PyObject *pyd_wsgi_raise_gone(void)
{
    PyErr_SetString(PyExc_ConnectionResetError, "the client has gone");
    return NULL;
}

static PyObject *write_body(PyObject *self, PyObject *data)
{
    struct pyd_wsgi_request *request = (struct pyd_wsgi_request *)self;
    int rv = 0;

    if (!PyBytes_Check(data)) {
        pyd_wsgi_broke("write() must be given bytes, not %.100s", Py_TYPE(data)->tp_name);
        return NULL;
    }
    if (pyd_wsgi_enter_in_turn(request))
        return NULL;
    if (PyBytes_GET_SIZE(data)) {
        pyd_wsgi_output_head(request);
        rv = pyd_wsgi_output_body(request, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
    }
    if (!rv && request->head_done)
        rv = pyd_wsgi_output_flush(request);
    if (rv)
        return rv == ENOMEM ? PyErr_NoMemory() : pyd_wsgi_raise_gone();
    if (request->too_long) {
        pyd_wsgi_broke("write() was given more than the Content-Length says");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *early_hints(PyObject *self, PyObject *list)
{
    struct pyd_wsgi_request *request = (struct pyd_wsgi_request *)self;
    PyObject *headers;

    if (pyd_wsgi_check_headers(list, &headers, NULL))
        return NULL;
    if (pyd_wsgi_enter_in_turn(request)) {
        Py_DECREF(headers);
        return NULL;
    }
    if (request->head_done) {
        Py_DECREF(headers);
        pyd_wsgi_broke("early hints must come before the response");
        return NULL;
    }
    pyd_exchange_early(request->exchange);
    pyd_wsgi_output_headers(request->exchange, headers);
    pyd_exchange_head_done(request->exchange);
    Py_DECREF(headers);
    if (pyd_wsgi_output_flush(request))
        return pyd_wsgi_raise_gone();
    Py_RETURN_NONE;
}

/* Does not wait for its turn, since a thread that watches the client is what it is for: while another thread sends or
 * receives, which notices by itself, the answer is what was known before. */
static PyObject *disconnected(PyObject *self, PyObject *Py_UNUSED(unused))
{
    struct pyd_wsgi_request *request = (struct pyd_wsgi_request *)self;

    if (pyd_exchange_forked())
        Py_RETURN_TRUE;
    if (request->exchange && !request->busy && !request->gone && pyd_exchange_disconnected(request->exchange))
        request->gone = 1;
    return PyBool_FromLong(request->gone || !request->exchange);
}

static PyMethodDef write_method = {"write", write_body, METH_O, "Send body bytes at once."};
static PyMethodDef early_hints_method = {"early_hints", early_hints, METH_O, "Send 103 Early Hints."};
static PyMethodDef disconnected_method = {"disconnected", disconnected, METH_NOARGS, "True if the client has gone."};

PyObject *pyd_wsgi_disconnected_create(struct pyd_wsgi_request *request)
{
    return PyCFunction_New(&disconnected_method, (PyObject *)request);
}

PyObject *pyd_wsgi_early_hints_create(struct pyd_wsgi_request *request)
{
    return PyCFunction_New(&early_hints_method, (PyObject *)request);
}

/* PEP 3333: with the headers sent, raise what exc_info says; else the new status and headers replace the old. */
static int check_again(const struct pyd_wsgi_request *request, PyObject *exc_info)
{
    PyObject *type, *value, *traceback;

    if (!exc_info || exc_info == Py_None) {
        if (request->status)
            return pyd_wsgi_broke("start_response was called again without exc_info");
        return 0;
    }
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3)
        return pyd_wsgi_broke("exc_info must be the tuple of sys.exc_info(), not %.100R", exc_info);
    if (!request->head_done)
        return 0;
    type = PyTuple_GET_ITEM(exc_info, 0);
    value = PyTuple_GET_ITEM(exc_info, 1);
    traceback = PyTuple_GET_ITEM(exc_info, 2);
    if (!PyExceptionClass_Check(type) || (traceback != Py_None && !PyTraceBack_Check(traceback)))
        return pyd_wsgi_broke("exc_info must be the tuple of sys.exc_info(), not %.100R", exc_info);
    Py_INCREF(type);
    Py_INCREF(value);
    if (traceback == Py_None)
        traceback = NULL;
    Py_XINCREF(traceback);
    PyErr_Restore(type, value, traceback);
    return -1;
}

static int parse_arguments(PyObject *const *arguments, Py_ssize_t count, PyObject *keywords, PyObject **ret_exc_info)
{
    *ret_exc_info = count > 2 ? arguments[2] : NULL;
    if (keywords && PyTuple_GET_SIZE(keywords)) {
        if (count != 2 || PyTuple_GET_SIZE(keywords) != 1 ||
            PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), "exc_info"))
            return pyd_wsgi_broke("start_response takes (status, headers, exc_info=None), without keywords");
        *ret_exc_info = arguments[2];
    } else if (count != 2 && count != 3) {
        return pyd_wsgi_broke("start_response takes (status, headers, exc_info=None), not %zd arguments", count);
    }
    return 0;
}

static PyObject *start_response(PyObject *self, PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    struct pyd_wsgi_request *request = (struct pyd_wsgi_request *)self;
    PyObject *headers, *exc_info, *old_headers, *old_status;
    int64_t content_bytes;
    uint16_t code;

    if (parse_arguments(arguments, PyVectorcall_NARGS(flags), keywords, &exc_info) || check_again(request, exc_info))
        return NULL;
    if (pyd_wsgi_check_status(arguments[0], &code) ||
        pyd_wsgi_check_headers(arguments[1], &headers, &content_bytes))
        return NULL;
    if (!request->exchange) {
        Py_DECREF(headers);
        return pyd_wsgi_raise_ended();
    }
    old_status = request->status;
    old_headers = request->headers;
    Py_INCREF(arguments[0]);
    request->status = arguments[0];
    request->headers = headers;
    request->code = code;
    request->content_bytes = content_bytes;
    request->own_length = 0;
    Py_XDECREF(old_status);
    Py_XDECREF(old_headers);
    return PyCFunction_New(&write_method, self);
}

static void request_dealloc(PyObject *self)
{
    struct pyd_wsgi_request *request = (struct pyd_wsgi_request *)self;

    Py_XDECREF(request->status);
    Py_XDECREF(request->headers);
    pyd_buf_done(&request->errors_line);
    PyObject_Free(self);
}

static PyTypeObject request_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pydaemon.start_response",
    .tp_doc = "start_response(status, headers, exc_info=None) of PEP 3333.",
    .tp_basicsize = sizeof(struct pyd_wsgi_request),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(struct pyd_wsgi_request, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = request_dealloc,
};

int pyd_wsgi_start_init(void)
{
    pyd_wsgi_protocol_error = PyErr_NewExceptionWithDoc(
        "pydaemon.ProtocolError", "The application broke a rule of PEP 3333.", PyExc_AssertionError, NULL);
    return pyd_wsgi_protocol_error ? PyType_Ready(&request_type) : -1;
}

struct pyd_wsgi_request *pyd_wsgi_request_create(struct pyd_exchange *exchange, struct pyd_target *target)
{
    struct pyd_wsgi_request *request = PyObject_New(struct pyd_wsgi_request, &request_type);
    const struct pyd_wire_request *wire = pyd_exchange_request(exchange);
    struct pyd_wire_reader pairs = wire->pairs;
    struct pyd_wire_pair method;
    struct pyd_buf none = {0};

    if (!request)
        return NULL;
    request->vectorcall = start_response;
    request->exchange = exchange;
    request->target = target;
    request->status = request->headers = NULL;
    request->content_bytes = -1;
    request->sent_bytes = 0;
    request->errors_line = none;
    request->waiting = 0;
    request->code = 0;
    request->busy = request->head_done = request->own_length = request->is_head = 0;
    request->gone = request->input_failed = request->too_long = 0;
    if (wire->pair_count) {
        method = pyd_wire_read_pair(&pairs);
        request->is_head = method.value.size == 4 && !memcmp(method.value.data, "HEAD", 4);
    }
    return request;
}
