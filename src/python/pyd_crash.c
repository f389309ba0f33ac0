/* SPDX-License-Identifier: Apache-2.0 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyd_crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_log.h"
#include "pyd_pyerr.h"
#include "pyd_stacks.h"
#include "pyd_worker.h"

static int crash_fd = -1;
static struct stat crash_file;

/* The area belongs to the worker: what a child writes there would be taken for the worker's own end. It is the
 * descriptor that changes, not faulthandler: that the application may have set up in its own way meanwhile. As it
 * may have closed the descriptor, and opened something else under its number. */
static void divert_crash(void)
{
    struct stat now;
    int null_fd;

    if (fstat(crash_fd, &now) || now.st_dev != crash_file.st_dev || now.st_ino != crash_file.st_ino)
        return;
    if (dup3(STDERR_FILENO, crash_fd, O_CLOEXEC) >= 0)
        return;
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup3(null_fd, crash_fd, O_CLOEXEC);
    close(null_fd);
}

/* Returns 0, or -1 with an exception set. */
static int call(PyObject *faulthandler, const char *function, PyObject *arguments, PyObject *keywords)
{
    PyObject *callable = PyObject_GetAttrString(faulthandler, function);
    PyObject *result = callable && arguments && keywords ? PyObject_Call(callable, arguments, keywords) : NULL;

    Py_XDECREF(result);
    Py_XDECREF(callable);
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    return result ? 0 : -1;
}

static int raise_errno(int error)
{
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* Without a place of its own the log is the next best. */
static int enable(PyObject *faulthandler)
{
    int fd = pyd_worker_crash_fd(), rv = 0;

    if (fd >= 0) {
        crash_fd = fd;
        rv = fstat(fd, &crash_file) ? errno : pthread_atfork(NULL, NULL, divert_crash);
    }
    if (rv)
        return raise_errno(rv);
    return call(faulthandler, "enable", PyTuple_New(0),
                Py_BuildValue("{sisi}", "file", fd >= 0 ? fd : STDERR_FILENO, "all_threads", 1));
}

/* In a signal handler: faulthandler makes the second one of these calls there, too. Up to 3.11 the first one tells of
 * the process, from 3.12 on of the thread, which has a current state only while it has the GIL (Python/pystate.c). */
static int holds_gil(void)
{
    const PyThreadState *current = _PyThreadState_UncheckedGet();

    return current && current == PyGILState_GetThisThreadState();
}

static int enable_signal(PyObject *faulthandler)
{
    int rv;

    if (call(faulthandler, "register", Py_BuildValue("(i)", (int)PYD_STACKS_SIGNAL),
             Py_BuildValue("{sisi}", "file", pyd_stacks_fd(), "all_threads", 0)))
        return -1;
    rv = pyd_stacks_set_language(holds_gil);
    return rv ? raise_errno(rv) : 0;
}

static void warn(const char *what)
{
    PyObject *exception = pyd_pyerr_take();
    struct pyd_buf text = {0};

    pyd_pyerr_append_summary(&text, exception);
    pyd_buf_append(&text, "", 1);
    pyd_log(PYD_LOG_WARNING, PYD_LOG_NO_GROUP,
            PYD_LOGNO(1017) "Python's faulthandler cannot be set up for %s, which will be told of without stacks: %s.",
            what, text.failed ? "out of memory" : (const char *)text.data);
    pyd_buf_done(&text);
    Py_XDECREF(exception);
}

void pyd_crash_init(void)
{
    PyObject *faulthandler = PyImport_ImportModule("faulthandler");

    if (!faulthandler || enable(faulthandler))
        warn("crashes");
    if (faulthandler && enable_signal(faulthandler))
        warn("threads while another one does not give up the GIL");
    Py_XDECREF(faulthandler);
}
