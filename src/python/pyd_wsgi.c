/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pyd_forked.h"
#include "pyd_names.h"
#include "pyd_pyerr.h"

/* What running the application, or a part of it, came to; else an errno: the peer has gone, or memory has. */
#define RAISED (-1)

int pyd_wsgi_init(const struct pyd_spec *spec)
{
    if (pyd_wsgi_start_init() || pyd_wsgi_input_init() || pyd_wsgi_errors_init() || pyd_wsgi_file_init())
        return -1;
    return pyd_wsgi_environ_init(spec);
}

void pyd_wsgi_describe(const struct pyd_exchange *exchange, char *text, size_t size)
{
    const struct pyd_wire_request *wire = pyd_exchange_request(exchange);
    struct pyd_wire_reader pairs = wire->pairs;
    struct pyd_wire_str method = {0}, uri = {0};

    for (uint32_t i = 0; i < wire->pair_count; i++) {
        struct pyd_wire_pair pair = pyd_wire_read_pair(&pairs);

        if (!i)
            method = pair.value;
        else if (pair.name.size == 11 && !memcmp(pair.name.data, "REQUEST_URI", 11))
            uri = pair.value;
    }
    snprintf(text, size, "%.*s %.*s", method.size < 20 ? (int)method.size : 20, method.data ? method.data : "",
             uri.size < 200 ? (int)uri.size : 200, uri.data ? uri.data : "");
}

static int send_item(struct pyd_wsgi_request *request, PyObject *item)
{
    if (!PyBytes_Check(item))
        return pyd_wsgi_broke("the items of the body must be bytes, not %.100s%s", Py_TYPE(item)->tp_name,
                              PyUnicode_Check(item) ? ": encode() the text" : "");
    if (!PyBytes_GET_SIZE(item))
        return 0;
    if (!request->status)
        return pyd_wsgi_broke("start_response was not called before the first item of the body");
    pyd_wsgi_output_head(request);
    return pyd_wsgi_output_body(request, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
}

/* PEP 3333 "Handling the Content-Length Header": with one item its length is the body's. */
static void set_length(struct pyd_wsgi_request *request, PyObject *item)
{
    if (request->content_bytes >= 0 || request->head_done || !request->status || !PyBytes_Check(item) ||
        pyd_wsgi_output_bodiless(request) || (request->is_head && !PyBytes_GET_SIZE(item)))
        return;
    request->content_bytes = PyBytes_GET_SIZE(item);
    request->own_length = 1;
}

/* All of it is there: nothing is gained by sending the items one by one. */
static int send_sequence(struct pyd_wsgi_request *request, PyObject *sequence)
{
    int rv = 0;

    if (PySequence_Fast_GET_SIZE(sequence) == 1)
        set_length(request, PySequence_Fast_GET_ITEM(sequence, 0));
    /* Its size is looked at each time: a list may change while output waits. */
    for (Py_ssize_t i = 0; !rv && !request->too_long && i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, i);

        Py_INCREF(item);
        rv = send_item(request, item);
        Py_DECREF(item);
    }
    return rv;
}

static int has_one_item(PyObject *iterable)
{
    Py_ssize_t size = PyObject_HasAttrString(iterable, "__len__") ? PyObject_Size(iterable) : 0;

    if (size < 0)
        PyErr_Clear();
    return size == 1;
}

/* The application's code has come back. A process that it has forked does not go on here. */
static void came_back(struct pyd_wsgi_request *request)
{
    if (pyd_exchange_forked())
        pyd_wsgi_errors_flush(request);
    pyd_forked_check();
}

static PyObject *next_item(struct pyd_wsgi_request *request, PyObject *iterator)
{
    PyObject *item = PyIter_Next(iterator);

    came_back(request);
    return item;
}

/* A generator computes between two items, so each goes out before the next is asked for; a list's iterator does not. */
static int send_iterable(struct pyd_wsgi_request *request, PyObject *iterable)
{
    PyObject *iterator = PyObject_GetIter(iterable), *item;
    int first = 1, rv = 0, direct;

    came_back(request);
    if (!iterator)
        return RAISED;
    direct = Py_TYPE(iterator) != &PyListIter_Type && Py_TYPE(iterator) != &PyTupleIter_Type;
    while (!rv && !request->too_long && (item = next_item(request, iterator))) {
        if (first && has_one_item(iterable))
            set_length(request, item);
        first = 0;
        rv = send_item(request, item);
        Py_DECREF(item);
        if (!rv && direct && request->head_done)
            rv = pyd_wsgi_output_flush(request);
    }
    if (!rv && PyErr_Occurred())
        rv = RAISED;
    Py_DECREF(iterator);
    return rv;
}

static int reject_result(PyObject *result)
{
    const char *hint = "";

    if (PyCoro_CheckExact(result))
        hint = ": an async application needs ASGI";
    else if (PyBytes_Check(result) || PyUnicode_Check(result))
        hint = ": put it into a list";
    return pyd_wsgi_broke("the application must return an iterable of bytes, not %.100s%s", Py_TYPE(result)->tp_name,
                          hint);
}

static int send_result(struct pyd_wsgi_request *request, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_sequence(request, result);
    if (result == Py_None || PyBytes_Check(result) || PyUnicode_Check(result) || PyCoro_CheckExact(result))
        return reject_result(result);
    if (Py_TYPE(result) == &pyd_wsgi_file_type) {
        int rv = pyd_wsgi_file_send(request, result);

        if (rv != EAGAIN)
            return rv;
    }
    return send_iterable(request, result);
}

/* The end of the body: a response without any has its head sent now. */
static int complete(struct pyd_wsgi_request *request)
{
    if (!request->status)
        return pyd_wsgi_broke("the application has not called start_response");
    pyd_wsgi_output_head(request);
    return 0;
}

static int is_short(const struct pyd_wsgi_request *request)
{
    return request->content_bytes > request->sent_bytes && !request->is_head && !pyd_wsgi_output_bodiless(request);
}

static void log_short(struct pyd_wsgi_request *request)
{
    char what[256], message[1024];

    pyd_wsgi_enter(request);
    pyd_wsgi_describe(request->exchange, what, sizeof what);
    snprintf(message, sizeof message,
             PYD_LOGNO(1014) "The application '%s' gave %" PRId64 " of the %" PRId64
                             " bytes that its Content-Length says (%s); the response is cut.",
             pyd_loader_label(request->target), request->sent_bytes, request->content_bytes, what);
    pyd_wsgi_log(request, PYD_LOG_ERR, message, strlen(message));
}

/* What the client did is no error of the application's: it is told of by an exception, which may come back to us. */
static int is_clients_fault(const struct pyd_wsgi_request *request, PyObject *exception)
{
    return (request->gone || request->input_failed) && PyErr_GivenExceptionMatches(exception, PyExc_OSError);
}

/* Formatting runs Python code, during which another thread may have come into the exchange. */
static void log_exception(struct pyd_wsgi_request *request, PyObject *exception, const char *headline)
{
    struct pyd_buf text = {0};

    pyd_pyerr_append_report(&text, exception, headline);
    pyd_wsgi_enter(request);
    if (!text.failed)
        pyd_wsgi_log(request, PYD_LOG_ERR, (const char *)text.data, text.size);
    pyd_buf_done(&text);
}

/* httpd logs the failure and its cause in one line when there is no response yet; of a cut one only we know why. */
static void report(struct pyd_wsgi_request *request, PyObject *exception, const struct pyd_buf *summary)
{
    const char *label = pyd_loader_label(request->target);
    char what[256], headline[2048];

    if (is_clients_fault(request, exception))
        return;
    if (!request->head_done) {
        if (pyd_pyerr_has_traceback(exception))
            log_exception(request, exception, NULL);
        return;
    }
    pyd_wsgi_describe(request->exchange, what, sizeof what);
    if (!PyErr_GivenExceptionMatches(exception, pyd_wsgi_protocol_error)) {
        snprintf(headline, sizeof headline,
                 PYD_LOGNO(1010) "The application '%s' raised an exception after its response to %s had begun:", label,
                 what);
        log_exception(request, exception, headline);
        return;
    }
    snprintf(headline, sizeof headline,
             PYD_LOGNO(1011) "The application '%s' broke PEP 3333 after its response to %s had begun: %s", label, what,
             summary->failed ? "" : (const char *)summary->data);
    log_exception(request, pyd_pyerr_has_traceback(exception) ? exception : NULL, headline);
}

/* A rule is told as it is, an exception with its type. */
static void summarize(struct pyd_buf *summary, PyObject *exception)
{
    size_t prefix;

    pyd_pyerr_append_summary(summary, exception);
    prefix = strlen(Py_TYPE(exception)->tp_name) + 2;
    if (PyErr_GivenExceptionMatches(exception, pyd_wsgi_protocol_error) && summary->size > prefix)
        pyd_buf_consume(summary, prefix);
    pyd_buf_append(summary, "", 1);
}

static void close_result(struct pyd_wsgi_request *request, PyObject *result)
{
    PyObject *close, *closed = NULL;

    if (!result || PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return;
    close = PyObject_GetAttr(result, pyd_names_get(PYD_NAME_CLOSE));
    if (close)
        closed = PyObject_CallNoArgs(close);
    came_back(request);
    if (!close && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    if (PyErr_Occurred()) {
        PyObject *exception = pyd_pyerr_take();
        char what[256], headline[2048];

        pyd_wsgi_describe(request->exchange, what, sizeof what);
        snprintf(headline, sizeof headline,
                 PYD_LOGNO(1012) "close() of what the application '%s' returned for %s raised an exception:",
                 pyd_loader_label(request->target), what);
        if (!is_clients_fault(request, exception))
            log_exception(request, exception, headline);
        Py_DECREF(exception);
    }
    Py_XDECREF(closed);
    Py_XDECREF(close);
}

/* What has to be sent before the application is asked to close, so that a slow close() delays nothing. */
static int flush_before_close(struct pyd_wsgi_request *request, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return 0;
    return pyd_wsgi_output_flush(request);
}

/* rv: of the application's run and of sending its body. The order of the end: last bytes, close(), END. */
static void finish(struct pyd_wsgi_request *request, PyObject *result, int rv)
{
    struct pyd_exchange *exchange = request->exchange;
    struct pyd_buf summary = {0};
    PyObject *exception = NULL;
    enum pyd_wire_fail fail = PYD_FAIL_EXCEPTION;

    if (!rv)
        rv = complete(request);
    if (!rv)
        rv = flush_before_close(request, result);
    if (rv == RAISED) {
        exception = pyd_pyerr_take();
        if (PyErr_GivenExceptionMatches(exception, pyd_wsgi_protocol_error))
            fail = PYD_FAIL_PROTOCOL;
        summarize(&summary, exception);
        report(request, exception, &summary);
    } else if (!rv && is_short(request)) {
        log_short(request);
        rv = RAISED;
    }
    close_result(request, result);
    pyd_wsgi_enter(request); /* another thread may be in the exchange; none can be after this */
    pyd_wsgi_errors_flush(request);
    request->exchange = NULL;
    if (request->head_done)
        pyd_exchange_end(exchange, rv != 0);
    else
        pyd_exchange_fail(exchange, fail, summary.failed ? NULL : (const char *)summary.data);
    pyd_buf_done(&summary);
    Py_XDECREF(exception);
}

static void execute(struct pyd_wsgi_request *request, PyObject *app, const struct pyd_wsgi_const *set)
{
    PyObject *dict = pyd_wsgi_environ_create(request, set), *result = NULL;
    PyObject *arguments[2] = {dict, (PyObject *)request};
    int rv = RAISED;

    if (dict)
        result = PyObject_Vectorcall(app, arguments, 2, NULL);
    came_back(request);
    if (result)
        rv = send_result(request, result);
    finish(request, result, rv);
    Py_XDECREF(result);
    Py_XDECREF(dict);
}

static void refuse(struct pyd_exchange *exchange, enum pyd_wire_fail fail, const char *reason)
{
    PyObject *exception = pyd_pyerr_take();

    if (exception)
        pyd_pyerr_report(exchange, exception, NULL);
    Py_XDECREF(exception);
    pyd_exchange_fail(exchange, fail, reason);
}

void pyd_wsgi_run(struct pyd_exchange *exchange)
{
    struct pyd_wsgi_request *request;
    struct pyd_wsgi_const *set;
    PyObject *app;

    pyd_wsgi_const_reap();
    set = pyd_wsgi_const_get(exchange);
    if (!set) {
        refuse(exchange, PYD_FAIL_EXCEPTION, "no memory for its environ");
        return;
    }
    app = pyd_loader_app(set->target, exchange);
    if (!app) {
        refuse(exchange, PYD_FAIL_LOAD, "the lines above say why");
        return;
    }
    request = pyd_wsgi_request_create(exchange, set->target);
    if (!request) {
        refuse(exchange, PYD_FAIL_EXCEPTION, "no memory for the request");
        return;
    }
    execute(request, app, set);
    Py_DECREF(request);
}
