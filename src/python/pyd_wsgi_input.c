/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <errno.h>
#include <string.h>

/* What is asked for at once when the application says how much it wants only by reading lines, or to the end. */
#define CHUNK_BYTES ((size_t)16 << 10)
/* Memory is taken as bytes arrive: read(10**9) of a small body costs little. */
#define GROW_BYTES_MAX ((size_t)1 << 20)

struct input {
    PyObject_HEAD
    struct pyd_wsgi_request *request;
    struct pyd_buf ahead; /* received, not read yet: readline() had to look */
    size_t ahead_at;
    unsigned eof : 1;
    unsigned reading : 1; /* a thread is in one of the methods, perhaps without the GIL */
};

/* What httpd will answer is why the body cannot be had. */
static void raise_status(struct pyd_wsgi_request *request, int status)
{
    const char *why = "httpd could not read it";

    request->input_failed = 1;
    if (status == 408)
        why = "the client was too slow";
    else if (status == 413)
        why = "it is larger than LimitRequestBody";
    else if (status == 400)
        why = "the client sent it malformed or in part";
    errno = EIO;
    PyErr_Format(PyExc_OSError, "the request body cannot be read: %s (status %d)", why, status);
}

/* Some bytes, at least one unless it is the end. 0, or -1 with an exception set. */
static int receive(struct input *input, char *data, size_t room, size_t *ret_size)
{
    struct pyd_wsgi_request *request = input->request;
    int rv, status = 0;
    size_t size = 0;

    *ret_size = 0;
    if (input->eof || !room)
        return 0;
    if (pyd_wsgi_enter_in_turn(request))
        return -1;
    if (pyd_exchange_request(request->exchange)->flags & PYD_REQUEST_BODY_INLINE) {
        rv = pyd_exchange_read(request->exchange, data, room, &size, &status);
    } else if (!(pyd_exchange_request(request->exchange)->flags & PYD_REQUEST_HAS_BODY)) {
        rv = 0;
    } else {
        pyd_wsgi_busy_begin(request);
        Py_BEGIN_ALLOW_THREADS
        rv = pyd_exchange_read(request->exchange, data, room, &size, &status);
        Py_END_ALLOW_THREADS
        pyd_wsgi_busy_end(request);
    }
    if (rv == EIO) {
        raise_status(request, status);
        return -1;
    }
    if (rv) {
        request->gone = 1;
        pyd_wsgi_raise_gone();
        return -1;
    }
    input->eof = !size;
    *ret_size = size;
    return 0;
}

static size_t ahead_size(const struct input *input)
{
    return input->ahead.size - input->ahead_at;
}

static const char *ahead_data(const struct input *input)
{
    return (const char *)input->ahead.data + input->ahead_at;
}

/* Drop what has been read of ahead. */
static void consume(struct input *input, size_t size)
{
    input->ahead_at += size;
    if (input->ahead_at == input->ahead.size) {
        pyd_buf_clear(&input->ahead);
        input->ahead_at = 0;
    }
}

/* Receive into ahead. 0, or -1 with an exception set. */
static int look_ahead(struct input *input)
{
    unsigned char *room;
    size_t size;

    if (input->ahead_at) {
        pyd_buf_consume(&input->ahead, input->ahead_at);
        input->ahead_at = 0;
    }
    room = pyd_buf_reserve(&input->ahead, CHUNK_BYTES);
    if (!room) {
        PyErr_NoMemory();
        return -1;
    }
    if (receive(input, (char *)room, CHUNK_BYTES, &size))
        return -1;
    input->ahead.size += size;
    return 0;
}

/* How large the first piece of memory should be: all if the length is known and harmless. */
static size_t first_room(const struct input *input, size_t wanted)
{
    const struct pyd_wsgi_request *request = input->request;
    size_t room = ahead_size(input) + CHUNK_BYTES;
    int64_t length = request->exchange ? pyd_exchange_request(request->exchange)->content_bytes : -1;

    if (length >= 0)
        room = (uint64_t)length < GROW_BYTES_MAX ? (size_t)length + 1 : GROW_BYTES_MAX;
    if (room < ahead_size(input))
        room = ahead_size(input);
    return room < wanted ? room : wanted;
}

static size_t next_room(size_t room, size_t wanted)
{
    size_t more = room < GROW_BYTES_MAX ? room : room / 2;

    return wanted - room < more ? wanted : room + more;
}

/* Up to wanted bytes: fewer only at the end of the body. */
static PyObject *read_bytes(struct input *input, size_t wanted)
{
    size_t room = first_room(input, wanted), have = ahead_size(input), size = 0;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);

    if (!bytes)
        return NULL;
    if (have > room)
        have = room;
    if (have) {
        memcpy(PyBytes_AS_STRING(bytes), ahead_data(input), have);
        consume(input, have);
    }
    while (have < wanted) {
        if (have == room) {
            room = next_room(room, wanted);
            if (_PyBytes_Resize(&bytes, (Py_ssize_t)room))
                return NULL;
        }
        if (receive(input, PyBytes_AS_STRING(bytes) + have, room - have, &size)) {
            Py_DECREF(bytes);
            return NULL;
        }
        if (!size)
            break;
        have += size;
    }
    if (have < room && _PyBytes_Resize(&bytes, (Py_ssize_t)have))
        return NULL;
    return bytes;
}

static PyObject *read_line(struct input *input, size_t limit)
{
    size_t seen = 0, size;
    const char *newline;
    PyObject *line;

    for (;;) {
        size = ahead_size(input) < limit ? ahead_size(input) : limit;
        newline = size > seen ? memchr(ahead_data(input) + seen, '\n', size - seen) : NULL;
        if (newline) {
            size = (size_t)(newline - ahead_data(input)) + 1;
            break;
        }
        if (size == limit || input->eof)
            break;
        seen = size;
        if (look_ahead(input))
            return NULL;
    }
    line = PyBytes_FromStringAndSize(size ? ahead_data(input) : NULL, (Py_ssize_t)size);
    if (line)
        consume(input, size);
    return line;
}

/* None and negative numbers mean no limit. 0, or -1 with an exception set. */
static int parse_limit(PyObject *const *arguments, Py_ssize_t count, const char *method, size_t *ret_limit)
{
    Py_ssize_t limit;

    *ret_limit = (size_t)PY_SSIZE_T_MAX;
    if (count > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", method, count);
        return -1;
    }
    if (!count || arguments[0] == Py_None)
        return 0;
    limit = PyNumber_AsSsize_t(arguments[0], PyExc_OverflowError);
    if (limit == -1 && PyErr_Occurred())
        return -1;
    if (limit >= 0)
        *ret_limit = (size_t)limit;
    return 0;
}

static int begin(struct input *input)
{
    if (pyd_exchange_forked()) { /* the thread that was reading may not have come along */
        pyd_wsgi_raise_gone();
        return -1;
    }
    if (input->reading) {
        PyErr_SetString(PyExc_RuntimeError, "wsgi.input is being read by another thread");
        return -1;
    }
    input->reading = 1;
    return 0;
}

static PyObject *input_read(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    struct input *input = (struct input *)self;
    PyObject *bytes;
    size_t limit;

    if (parse_limit(arguments, count, "read", &limit) || begin(input))
        return NULL;
    bytes = read_bytes(input, limit);
    input->reading = 0;
    return bytes;
}

static PyObject *input_readline(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    struct input *input = (struct input *)self;
    PyObject *line;
    size_t limit;

    if (parse_limit(arguments, count, "readline", &limit) || begin(input))
        return NULL;
    line = read_line(input, limit);
    input->reading = 0;
    return line;
}

static PyObject *input_next(PyObject *self)
{
    PyObject *line = input_readline(self, NULL, 0);

    if (line && !PyBytes_GET_SIZE(line))
        Py_CLEAR(line);
    return line;
}

/* The hint, as files have it: no further line once so many bytes have been read; 0 is no hint. */
static PyObject *input_readlines(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *lines, *line;
    size_t hint, have = 0;

    if (parse_limit(arguments, count, "readlines", &hint))
        return NULL;
    lines = PyList_New(0);
    while (lines && (!have || !hint || have < hint)) {
        line = input_next(self);
        if (!line)
            break;
        have += (size_t)PyBytes_GET_SIZE(line);
        if (PyList_Append(lines, line))
            Py_CLEAR(lines);
        Py_DECREF(line);
    }
    if (PyErr_Occurred())
        Py_CLEAR(lines);
    return lines;
}

static PyObject *input_readable(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_TRUE;
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL, "Read so many bytes, or all."},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL, "Read a line, at most so many bytes."},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL, "Read lines."},
    {"readable", input_readable, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static void input_dealloc(PyObject *self)
{
    struct input *input = (struct input *)self;

    pyd_buf_done(&input->ahead);
    Py_DECREF(input->request);
    PyObject_Free(self);
}

static PyTypeObject input_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pydaemon.Input",
    .tp_doc = "wsgi.input: the request's body, fetched from the client as it is read.",
    .tp_basicsize = sizeof(struct input),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = input_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = input_next,
    .tp_methods = input_methods,
};

int pyd_wsgi_input_init(void)
{
    return PyType_Ready(&input_type);
}

PyObject *pyd_wsgi_input_create(struct pyd_wsgi_request *request)
{
    struct input *input = PyObject_New(struct input, &input_type);
    struct pyd_buf none = {0};

    if (!input)
        return NULL;
    Py_INCREF(request);
    input->request = request;
    input->ahead = none;
    input->ahead_at = 0;
    input->eof = input->reading = 0;
    return (PyObject *)input;
}
