/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_logstream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyd_buf.h"
#include "pyd_log.h"
#include "pyd_logline.h"

enum stream_index { STREAM_STDOUT, STREAM_STDERR, STREAM_MAX_ };

static const struct {
    int fd;
    enum pyd_log_level level;
    const char *name;
} streams[STREAM_MAX_] = {
    [STREAM_STDOUT] = {STDOUT_FILENO, PYD_LOG_NOTICE, "<stdout>"},
    [STREAM_STDERR] = {STDERR_FILENO, PYD_LOG_WARNING, "<stderr>"},
};

struct partial_lines {
    struct pyd_buf line[STREAM_MAX_];
};

static pthread_key_t partial_key;
static __thread struct partial_lines *partial; /* w: the calling thread's; also in partial_key, for the destructor */

static void write_lines(enum stream_index index, const char *lines, size_t size)
{
    pyd_logline_write(streams[index].fd, (int)streams[index].level, lines, size);
}

/* Without the GIL: the thread's own buffers only. */
static void emit(enum stream_index index, struct pyd_buf *begun, const char *data, size_t size)
{
    const char *newline = memrchr(data, '\n', size);
    size_t whole = newline ? (size_t)(newline - data) + 1 : 0;

    if (begun->size && whole) {
        const char *first = memchr(data, '\n', size);
        size_t line = (size_t)(first - data) + 1;

        pyd_buf_append(begun, data, line);
        write_lines(index, (const char *)begun->data, begun->size);
        pyd_buf_clear(begun);
        data += line;
        size -= line;
        whole -= line;
    }
    write_lines(index, data, whole);
    pyd_buf_append(begun, data + whole, size - whole);
    while (begun->size > PYD_LOGLINE_MAX) { /* something is kept, so that its newline does not make an empty line */
        size_t piece = pyd_logline_fit((const char *)begun->data, PYD_LOGLINE_MAX);

        write_lines(index, (const char *)begun->data, piece);
        pyd_buf_consume(begun, piece);
    }
    if (begun->failed)
        pyd_buf_clear(begun);
}

static void flush_index(struct partial_lines *lines, enum stream_index index)
{
    if (lines && lines->line[index].size)
        emit(index, &lines->line[index], "\n", 1);
}

void pyd_logstream_flush(void)
{
    flush_index(partial, STREAM_STDOUT);
    flush_index(partial, STREAM_STDERR);
}

static void thread_done(void *data)
{
    struct partial_lines *lines = data;

    flush_index(lines, STREAM_STDOUT);
    flush_index(lines, STREAM_STDERR);
    pyd_buf_done(&lines->line[STREAM_STDOUT]);
    pyd_buf_done(&lines->line[STREAM_STDERR]);
    free(lines);
    partial = NULL;
}

static struct partial_lines *own_lines(void)
{
    if (!partial) {
        partial = calloc(1, sizeof *partial);
        if (partial && pthread_setspecific(partial_key, partial)) {
            free(partial);
            partial = NULL;
        }
    }
    return partial;
}

/* What both kinds of streams, and wsgi.errors, share. */

int pyd_logstream_text_init(struct pyd_logstream_text *text, PyObject *object, int binary)
{
    Py_ssize_t size = 0;

    if (binary) {
        text->owner = PyBytes_FromObject(object);
    } else if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "write() argument must be str, not %.200s", Py_TYPE(object)->tp_name);
        return -1;
    } else if ((text->data = PyUnicode_AsUTF8AndSize(object, &size))) {
        text->size = (size_t)size;
        text->owner = object;
        Py_INCREF(object);
        return 0;
    } else { /* lone surrogates, as in file names that are not UTF-8 */
        PyErr_Clear();
        text->owner = PyUnicode_AsEncodedString(object, "utf-8", "backslashreplace");
    }
    if (!text->owner)
        return -1;
    text->data = PyBytes_AS_STRING(text->owner);
    text->size = (size_t)PyBytes_GET_SIZE(text->owner);
    return 0;
}

void pyd_logstream_text_done(struct pyd_logstream_text *text)
{
    Py_CLEAR(text->owner);
}

PyObject *pyd_logstream_write_each(PyObject *items, PyObject *stream, PyObject *(*write)(PyObject *, PyObject *))
{
    PyObject *iterator = PyObject_GetIter(items), *item;

    if (!iterator)
        return NULL;
    while ((item = PyIter_Next(iterator))) {
        PyObject *result = write(stream, item);

        Py_DECREF(item);
        if (!result)
            break;
        Py_DECREF(result);
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

int pyd_logstream_register(PyTypeObject *type, int binary)
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *base = io ? PyObject_GetAttrString(io, binary ? "BufferedIOBase" : "TextIOBase") : NULL;
    PyObject *result = base ? PyObject_CallMethod(base, "register", "O", (PyObject *)type) : NULL;

    Py_XDECREF(result);
    Py_XDECREF(base);
    Py_XDECREF(io);
    return result ? 0 : -1;
}

/* The Python object; sys.stdout.buffer is one, too, with binary set. */
struct stream {
    PyObject_HEAD
    enum stream_index index;
    int binary;
    PyObject *buffer; /* of a text stream */
};

static PyObject *stream_write(PyObject *self, PyObject *object)
{
    struct stream *stream = (struct stream *)self;
    struct pyd_logstream_text text;
    struct partial_lines *lines;
    Py_ssize_t taken;

    if (pyd_logstream_text_init(&text, object, stream->binary))
        return NULL;
    lines = own_lines();
    taken = stream->binary ? (Py_ssize_t)text.size : PyUnicode_GET_LENGTH(object);
    if (lines && text.size) {
        /* Only a newline or a long line writes; the rest is not worth giving up the GIL. */
        if (!memchr(text.data, '\n', text.size) && lines->line[stream->index].size + text.size <= PYD_LOGLINE_MAX) {
            pyd_buf_append(&lines->line[stream->index], text.data, text.size);
        } else {
            Py_BEGIN_ALLOW_THREADS
            emit(stream->index, &lines->line[stream->index], text.data, text.size);
            Py_END_ALLOW_THREADS
        }
    }
    pyd_logstream_text_done(&text);
    return lines ? PyLong_FromSsize_t(taken) : PyErr_NoMemory();
}

static PyObject *stream_writelines(PyObject *self, PyObject *items)
{
    return pyd_logstream_write_each(items, self, stream_write);
}

static PyObject *stream_flush(PyObject *self, PyObject *Py_UNUSED(unused))
{
    struct stream *stream = (struct stream *)self;

    if (partial && partial->line[stream->index].size) {
        Py_BEGIN_ALLOW_THREADS
        flush_index(partial, stream->index);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyObject *stream_fileno(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromLong(streams[((struct stream *)self)->index].fd);
}

static PyObject *stream_false(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_FALSE;
}

static PyObject *stream_true(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_TRUE;
}

/* The encoding is fixed, but sys.stdout.reconfigure(encoding="utf-8") is a common first line of scripts. */
static PyObject *stream_reconfigure(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arguments),
                                    PyObject *Py_UNUSED(keywords))
{
    Py_RETURN_NONE;
}

static PyMethodDef stream_methods[] = {
    {"write", stream_write, METH_O, "Write text; whole lines go to the log."},
    {"writelines", stream_writelines, METH_O, "Write each item."},
    {"flush", stream_flush, METH_NOARGS, "End the line that this thread has begun."},
    {"close", stream_flush, METH_NOARGS, "Flush; the stream stays open."},
    {"fileno", stream_fileno, METH_NOARGS, "The descriptor below; what is written there is logged without a level."},
    {"isatty", stream_false, METH_NOARGS, NULL},
    {"readable", stream_false, METH_NOARGS, NULL},
    {"seekable", stream_false, METH_NOARGS, NULL},
    {"writable", stream_true, METH_NOARGS, NULL},
    {"reconfigure", (PyCFunction)(void (*)(void))stream_reconfigure, METH_VARARGS | METH_KEYWORDS, "Ignored."},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_text(PyObject *Py_UNUSED(self), void *text)
{
    return PyUnicode_FromString(text);
}

static PyObject *get_name(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(streams[((struct stream *)self)->index].name);
}

static PyObject *get_closed(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    Py_RETURN_FALSE;
}

static PyObject *get_line_buffering(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    Py_RETURN_TRUE;
}

static PyObject *get_newlines(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    Py_RETURN_NONE;
}

static PyObject *get_buffer(PyObject *self, void *Py_UNUSED(closure))
{
    struct stream *stream = (struct stream *)self;

    if (!stream->buffer) {
        PyErr_SetString(PyExc_AttributeError, "buffer");
        return NULL;
    }
    Py_INCREF(stream->buffer);
    return stream->buffer;
}

static char encoding_text[] = "utf-8", errors_text[] = "backslashreplace", mode_text[] = "w";

static PyGetSetDef stream_attributes[] = {
    {"buffer", get_buffer, NULL, NULL, NULL},
    {"encoding", get_text, NULL, NULL, encoding_text},
    {"errors", get_text, NULL, NULL, errors_text},
    {"mode", get_text, NULL, NULL, mode_text},
    {"name", get_name, NULL, NULL, NULL},
    {"closed", get_closed, NULL, NULL, NULL},
    {"line_buffering", get_line_buffering, NULL, NULL, NULL},
    {"newlines", get_newlines, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static void stream_dealloc(PyObject *self)
{
    Py_XDECREF(((struct stream *)self)->buffer);
    PyObject_Free(self);
}

static PyTypeObject stream_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pydaemon.LogStream",
    .tp_doc = "A standard stream whose lines go to the error log.",
    .tp_basicsize = sizeof(struct stream),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = stream_dealloc,
    .tp_methods = stream_methods,
    .tp_getset = stream_attributes,
};

static PyTypeObject buffer_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pydaemon.LogStreamBuffer",
    .tp_doc = "The binary side of a standard stream.",
    .tp_basicsize = sizeof(struct stream),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = stream_dealloc,
    .tp_methods = stream_methods,
    .tp_getset = stream_attributes,
};

static struct stream *stream_create(PyTypeObject *type, enum stream_index index)
{
    struct stream *stream = PyObject_New(struct stream, type);

    if (!stream)
        return NULL;
    stream->index = index;
    stream->binary = type == &buffer_type;
    stream->buffer = NULL;
    if (!stream->binary) {
        stream->buffer = (PyObject *)stream_create(&buffer_type, index);
        if (!stream->buffer)
            Py_CLEAR(stream);
    }
    return stream;
}

static int install(enum stream_index index, const char *name, const char *dunder)
{
    PyObject *stream = (PyObject *)stream_create(&stream_type, index);
    int rv = -1;

    if (stream && !PySys_SetObject(name, stream) && !PySys_SetObject(dunder, stream))
        rv = 0;
    Py_XDECREF(stream);
    return rv;
}

int pyd_logstream_install(void)
{
    if (pthread_key_create(&partial_key, thread_done)) {
        PyErr_NoMemory();
        return -1;
    }
    if (PyType_Ready(&stream_type) || PyType_Ready(&buffer_type))
        return -1;
    if (pyd_logstream_register(&stream_type, 0) || pyd_logstream_register(&buffer_type, 1))
        return -1;
    if (install(STREAM_STDOUT, "stdout", "__stdout__") || install(STREAM_STDERR, "stderr", "__stderr__"))
        return -1;
    return 0;
}
