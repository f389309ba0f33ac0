/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_names.h"

#define BLOCK_BYTES_DEFAULT 8192
/* One pread and one write to httpd: as long as what the exchange sends as one frame. */
#define PIECE_BYTES ((size_t)128 << 10)

struct file_wrapper {
    PyObject_HEAD
    PyObject *file;
    PyObject *block_bytes; /* int; what read() is called with */
};

static PyObject *file_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char filelike_key[] = "filelike", blksize_key[] = "blksize";
    static char *keys[] = {filelike_key, blksize_key, NULL};
    Py_ssize_t block_bytes = BLOCK_BYTES_DEFAULT;
    struct file_wrapper *wrapper;
    PyObject *file, *number;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|n:FileWrapper", keys, &file, &block_bytes))
        return NULL;
    number = PyLong_FromSsize_t(block_bytes > 0 ? block_bytes : BLOCK_BYTES_DEFAULT);
    wrapper = number ? (struct file_wrapper *)type->tp_alloc(type, 0) : NULL;
    if (!wrapper) {
        Py_XDECREF(number);
        return NULL;
    }
    Py_INCREF(file);
    wrapper->file = file;
    wrapper->block_bytes = number;
    return (PyObject *)wrapper;
}

static PyObject *file_next(PyObject *self)
{
    struct file_wrapper *wrapper = (struct file_wrapper *)self;
    PyObject *arguments[2], *data;
    Py_ssize_t size;

    if (!wrapper->file)
        return NULL;
    arguments[0] = wrapper->file;
    arguments[1] = wrapper->block_bytes;
    data = PyObject_VectorcallMethod(pyd_names_get(PYD_NAME_READ), arguments, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (!data)
        return NULL;
    size = PyBytes_Check(data) ? PyBytes_GET_SIZE(data) : PyObject_IsTrue(data);
    if (size <= 0)
        Py_CLEAR(data);
    return data;
}

/* Not every file-like object has close(); PEP 3333 asks for it only if it has. */
static PyObject *file_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    struct file_wrapper *wrapper = (struct file_wrapper *)self;
    PyObject *close = wrapper->file ? PyObject_GetAttr(wrapper->file, pyd_names_get(PYD_NAME_CLOSE)) : NULL;
    PyObject *result;

    if (!close) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    result = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return result;
}

static int file_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct file_wrapper *)self)->file);
    return 0;
}

static int file_clear(PyObject *self)
{
    Py_CLEAR(((struct file_wrapper *)self)->file);
    return 0;
}

static void file_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    file_clear(self);
    Py_CLEAR(((struct file_wrapper *)self)->block_bytes);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *get_file(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *file = ((struct file_wrapper *)self)->file;

    if (!file)
        file = Py_None;
    Py_INCREF(file);
    return file;
}

static PyObject *get_block_bytes(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *number = ((struct file_wrapper *)self)->block_bytes;

    Py_INCREF(number);
    return number;
}

static PyMethodDef file_methods[] = {
    {"close", file_close, METH_NOARGS, "Close the file."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef file_attributes[] = {
    {"filelike", get_file, NULL, NULL, NULL},
    {"blksize", get_block_bytes, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject pyd_wsgi_file_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pydaemon.FileWrapper",
    .tp_doc = "wsgi.file_wrapper(filelike, blksize=8192)",
    .tp_basicsize = sizeof(struct file_wrapper),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = file_new,
    .tp_dealloc = file_dealloc,
    .tp_traverse = file_traverse,
    .tp_clear = file_clear,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = file_next,
    .tp_methods = file_methods,
    .tp_getset = file_attributes,
};

int pyd_wsgi_file_init(void)
{
    return PyType_Ready(&pyd_wsgi_file_type);
}

/* The integer that a method without arguments returns, or -1: it has none, or it is not one. No exception is left. */
static int64_t ask(PyObject *object, const char *method)
{
    PyObject *result = PyObject_CallMethod(object, method, NULL);
    int64_t value = result ? PyLong_AsLongLong(result) : -1;

    Py_XDECREF(result);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        value = -1;
    }
    return value;
}

/* tell() and fileno() agree only for what reads that descriptor itself: a decompressing file has the fileno() of what
 * it reads from (gzip), and text is not bytes. io's own classes are known to; others are iterated over. */
static int is_plain_file(PyObject *file)
{
    PyObject *io = PyImport_ImportModule("io");
    static const char *const names[] = {"BufferedReader", "BufferedRandom", "FileIO"};
    int plain = 0;

    for (size_t i = 0; io && !plain && i < sizeof names / sizeof names[0]; i++) {
        PyObject *type = PyObject_GetAttrString(io, names[i]);

        plain = type && Py_TYPE(file) == (PyTypeObject *)type;
        Py_XDECREF(type);
    }
    if (plain && PyObject_HasAttrString(file, "raw")) {
        PyObject *raw = PyObject_GetAttrString(file, "raw");

        plain = raw && is_plain_file(raw);
        Py_XDECREF(raw);
    }
    Py_XDECREF(io);
    if (PyErr_Occurred())
        PyErr_Clear();
    return plain;
}

/* Where the content is. @return 0, or EAGAIN */
static int locate(PyObject *file, int *ret_fd, int64_t *ret_at, int64_t *ret_size)
{
    int64_t fd, at;
    struct stat info;

    if (!file || !is_plain_file(file))
        return EAGAIN;
    (void)ask(file, "flush"); /* a temporary file the application has just written */
    fd = ask(file, "fileno");
    at = ask(file, "tell");
    if (fd < 0 || fd > INT32_MAX || at < 0 || fstat((int)fd, &info) || !S_ISREG(info.st_mode))
        return EAGAIN;
    if (!info.st_size) /* empty, or a file of /proc or /sys, which say so and are not */
        return EAGAIN;
    *ret_fd = (int)fd;
    *ret_at = at;
    *ret_size = info.st_size > at ? info.st_size - at : 0;
    return 0;
}

/* Without the GIL. 0, an errno of the exchange, or -1: the file could not be read (errno); a file that has become
 * shorter just ends. *ret_sent counts what was sent. */
static int send_pieces(struct pyd_exchange *exchange, int fd, int64_t at, int64_t left, int64_t *ret_sent)
{
    char *piece = malloc(PIECE_BYTES);
    int rv = piece ? 0 : ENOMEM;

    while (!rv && left > 0) {
        size_t wanted = (uint64_t)left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, done = 0, taken = 0;
        ssize_t got = pread(fd, piece, wanted, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rv = -1;
        if (got <= 0)
            break;
        for (;;) {
            rv = pyd_exchange_write(exchange, piece + done, (size_t)got - done, &taken);
            done += taken;
            if (rv == EAGAIN)
                rv = pyd_exchange_flush(exchange);
            if (rv || done == (size_t)got)
                break;
        }
        at += got;
        left -= got;
        *ret_sent += got;
    }
    free(piece);
    return rv;
}

int pyd_wsgi_file_send(struct pyd_wsgi_request *request, PyObject *self)
{
    PyObject *file = ((struct file_wrapper *)self)->file;
    int64_t at = 0, size = 0, sent = 0, room;
    int fd = -1, rv = locate(file, &fd, &at, &size), saved_errno = 0;

    if (rv)
        return rv;
    if (!request->status)
        return pyd_wsgi_broke("start_response was not called before the body was there");
    if (request->content_bytes < 0 && !request->head_done && !pyd_wsgi_output_bodiless(request)) {
        request->content_bytes = size;
        request->own_length = 1;
    }
    if (!size)
        return 0;
    pyd_wsgi_output_head(request);
    if (pyd_wsgi_output_bodiless(request) || request->is_head)
        return 0;
    pyd_wsgi_enter(request);
    room = pyd_wsgi_output_room(request); /* a shorter Content-Length asks for a part: a range */
    pyd_wsgi_busy_begin(request);
    Py_BEGIN_ALLOW_THREADS
    rv = send_pieces(request->exchange, fd, at, size < room ? size : room, &sent);
    saved_errno = errno;
    Py_END_ALLOW_THREADS
    pyd_wsgi_busy_end(request);
    request->sent_bytes += sent;
    if (rv > 0)
        request->gone = 1;
    if (rv < 0) {
        errno = saved_errno;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return rv;
}
