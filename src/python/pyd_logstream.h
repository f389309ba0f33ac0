/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_LOGSTREAM_H
#define PYD_LOGSTREAM_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/**
 * sys.stdout and sys.stderr of a worker: text streams whose lines go to the log
 * pipe whole and tagged with a level (PYD_LOG_TAG). A line begun by one thread
 * is kept for that thread until its newline, a flush or the end of the request,
 * so that threads do not mix their lines. What C code writes to descriptors 1
 * and 2 stays as it is.
 */

/** Replace sys.stdout, sys.stderr and their __dunder__ copies. GIL. @return 0, or -1 with an exception set */
int pyd_logstream_install(void);

/** Write out the lines this thread has begun. Any thread; needs no GIL but may block like any write. */
void pyd_logstream_flush(void);

/** The UTF-8 of a str or a bytes-like object, as log streams take it. */
struct pyd_logstream_text {
    const char *data;
    size_t size;
    PyObject *owner; /* what keeps data alive */
};
/**
 * @param binary take bytes-like objects instead of str
 * @return 0, or -1 with TypeError set
 */
int pyd_logstream_text_init(struct pyd_logstream_text *text, PyObject *object, int binary);
void pyd_logstream_text_done(struct pyd_logstream_text *text);

/** Call write() for each item of an iterable: what writelines() does. @return None, or NULL */
PyObject *pyd_logstream_write_each(PyObject *items, PyObject *stream, PyObject *(*write)(PyObject *, PyObject *));

/** Make isinstance(stream, io.TextIOBase) true for a type, or io.BufferedIOBase if binary. @return 0 or -1 */
int pyd_logstream_register(PyTypeObject *type, int binary);

#endif
