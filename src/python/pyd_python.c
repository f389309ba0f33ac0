/* SPDX-License-Identifier: Apache-2.0 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyd_app.h"
#include "pyd_crash.h"
#include "pyd_exchange.h"
#include "pyd_forked.h"
#include "pyd_loader.h"
#include "pyd_log.h"
#include "pyd_logstream.h"
#include "pyd_manager.h"
#include "pyd_names.h"
#include "pyd_path.h"
#include "pyd_pydump.h"
#include "pyd_pyerr.h"
#include "pyd_worker.h"
#include "pyd_wsgi.h"

/** What a request thread keeps: made in it, used by it only. */
struct request_thread {
    PyGILState_STATE gil_state;
    PyThreadState *python;
    struct pyd_pydump_thread dump;
};

static PyThreadState *main_thread; /* while the main thread does not hold the GIL */

/* True if env= says it, which wins over lang and locale; an env-file has been applied before exec. */
static int is_set_by_user(const struct pyd_spec *spec, const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < spec->env.count; i++) {
        if (!strncmp(spec->env.items[i], name, size) && spec->env.items[i][size] == '=')
            return 1;
    }
    return spec->env_file && getenv(name);
}

/* httpd runs with LANG=C as a rule: without this, open() and subprocesses would speak ASCII. */
static void set_locale(const struct pyd_spec *spec)
{
    if (spec->lang && !is_set_by_user(spec, "LANG"))
        setenv("LANG", spec->lang, 1);
    if (spec->locale && !is_set_by_user(spec, "LC_ALL"))
        setenv("LC_ALL", spec->locale, 1);
    if (!setlocale(LC_ALL, ""))
        pyd_log(PYD_LOG_WARNING, PYD_LOG_NO_GROUP,
                PYD_LOGNO(1005) "The locale '%s' is not installed on this system (locale -a lists those that are); "
                                "going on with 'C' and UTF-8.",
                getenv("LC_ALL") ? getenv("LC_ALL") : "");
}

static int init_failed(PyStatus status)
{
    pyd_log(PYD_LOG_CRIT, PYD_LOG_NO_GROUP, PYD_LOGNO(1006) "Python %d.%d does not start: %s%s%s.", PY_MAJOR_VERSION,
            PY_MINOR_VERSION, status.func ? status.func : "", status.func ? ": " : "",
            status.err_msg ? status.err_msg : "it wants to exit");
    return PYD_EXIT_PYTHON;
}

/* As the python3 program would start, except that signals are the worker's and text is UTF-8. The interpreter's path
 * makes Python find pyvenv.cfg beside it, and is what multiprocessing and subprocess(sys.executable) run. */
static int init_interpreter(const struct pyd_spec *spec)
{
    const char *executable = spec->python_executable;
    PyPreConfig preconfig;
    PyConfig config;
    PyStatus status;

    PyPreConfig_InitPythonConfig(&preconfig);
    preconfig.parse_argv = 0;
    preconfig.utf8_mode = 1;
    status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status))
        return init_failed(status);
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.install_signal_handlers = 0;
    config.configure_c_stdio = 0;
#ifdef PYD_DEFAULT_PYTHON_EXECUTABLE
    if (!executable)
        executable = PYD_DEFAULT_PYTHON_EXECUTABLE;
#endif
    if (executable)
        status = PyConfig_SetBytesString(&config, &config.program_name, executable);
    if (!PyStatus_Exception(status))
        status = PyWideStringList_Append(&config.argv, L"pydaemon");
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return PyStatus_Exception(status) ? init_failed(status) : 0;
}

/* threading takes the thread that imports it first for the main one; at exit it expects to be called there. */
static int import_threading(void)
{
    PyObject *threading = PyImport_ImportModule("threading");

    Py_XDECREF(threading);
    return threading ? 0 : -1;
}

static int init_modules(const struct pyd_spec *spec)
{
    (void)spec;
    if (pyd_names_init() || pyd_logstream_install() || import_threading() || pyd_forked_init() || pyd_pydump_init())
        return -1;
    pyd_crash_init();
    return 0;
}

/* Folders of python-path may have .pth files, which run code. */
static int init_wsgi(const struct pyd_spec *spec)
{
    return pyd_path_init(spec) || pyd_wsgi_init(spec) ? -1 : 0;
}

/* @param init returns 0, or -1 with an exception set */
static int set_up(const struct pyd_spec *spec, int (*init)(const struct pyd_spec *spec))
{
    PyObject *exception;

    if (!init(spec))
        return 0;
    exception = pyd_pyerr_take();
    pyd_pyerr_report(NULL, exception, PYD_LOGNO(1007) "Python %d.%d cannot be set up for applications:",
                     PY_MAJOR_VERSION, PY_MINOR_VERSION);
    Py_XDECREF(exception);
    return PYD_EXIT_PYTHON;
}

static int load_apps(const struct pyd_spec *spec)
{
    int failed = 0;

    for (size_t i = 0; i < spec->app_count; i++) {
        const struct pyd_spec_app *app = &spec->apps[i];
        const char *callable = app->callable ? app->callable : "";
        struct pyd_target *target =
            pyd_loader_acquire(app->target, strlen(app->target), callable, strlen(callable));

        if (!target)
            return PYD_EXIT_SYSTEM;
        if (!pyd_loader_app(target, NULL))
            failed = PYD_EXIT_IMPORT;
        pyd_loader_release(target);
    }
    return failed;
}

static int python_start(const struct pyd_spec *spec)
{
    int rv;

    /* C code's printf() is to reach the log line by line, not when 4 KiB are full. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    set_locale(spec);
    rv = init_interpreter(spec);
    if (rv)
        return rv;
    rv = set_up(spec, init_modules);
    main_thread = PyEval_SaveThread();
    pyd_logstream_flush();
    return rv;
}

static int python_load(const struct pyd_spec *spec)
{
    int rv;

    PyEval_RestoreThread(main_thread);
    rv = set_up(spec, init_wsgi);
    if (!rv)
        rv = load_apps(spec);
    main_thread = PyEval_SaveThread();
    pyd_logstream_flush();
    return rv;
}

/* The name shows in logging's %(threadName)s and in dumps. It is a nicety: no failure. */
static void name_thread(unsigned number)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *current = threading ? PyObject_CallMethod(threading, "current_thread", NULL) : NULL;
    PyObject *name = PyUnicode_FromFormat("pydaemon-%u", number);

    if (!current || !name || PyObject_SetAttrString(current, "name", name))
        PyErr_Clear();
    Py_XDECREF(name);
    Py_XDECREF(current);
    Py_XDECREF(threading);
}

/* By PyGILState, so that extensions which call PyGILState_Ensure() in this thread find the same state. */
static int python_thread_begin(unsigned number, void **ret_state)
{
    struct request_thread *thread = malloc(sizeof *thread);

    if (!thread)
        return ENOMEM;
    thread->gil_state = PyGILState_Ensure();
    name_thread(number);
    pyd_pydump_thread_add(&thread->dump, number);
    thread->python = PyEval_SaveThread();
    *ret_state = thread;
    return 0;
}

static void python_run(void *state, struct pyd_exchange *exchange)
{
    struct request_thread *thread = state;

    PyEval_RestoreThread(thread->python);
    if (!pyd_exchange_begin(exchange)) {
        pyd_wsgi_run(exchange);
        pyd_forked_check(); /* in a __del__(), say */
    }
    thread->python = PyEval_SaveThread();
    pyd_logstream_flush();
}

static void python_thread_end(void *state)
{
    struct request_thread *thread = state;

    PyEval_RestoreThread(thread->python);
    pyd_pydump_thread_remove(&thread->dump);
    PyGILState_Release(thread->gil_state);
    free(thread);
}

static void call_at_exit(const char *module_name, const char *function)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *result = module ? PyObject_CallMethod(module, function, NULL) : NULL;

    if (!result) {
        PyObject *exception = pyd_pyerr_take();

        pyd_pyerr_report(NULL, exception, PYD_LOGNO(1008) "%s.%s() failed while the worker was stopping:", module_name,
                         function);
        Py_XDECREF(exception);
    }
    Py_XDECREF(result);
    Py_XDECREF(module);
}

/* The order of Py_FinalizeEx(), without its end: a thread that hangs would hang it, and the process ends anyway. */
static void python_stop(void)
{
    PyEval_RestoreThread(main_thread);
    call_at_exit("threading", "_shutdown");
    call_at_exit("atexit", "_run_exitfuncs");
    main_thread = PyEval_SaveThread();
    pyd_logstream_flush();
    fflush(NULL);
}

static const struct pyd_app_ops python_ops = {
    .start = python_start,
    .load = python_load,
    .thread_begin = python_thread_begin,
    .run = python_run,
    .thread_end = python_thread_end,
    .stop = python_stop,
    .dump = pyd_pydump,
};

int main(int argc, char **argv)
{
    _exit(pyd_worker_main(argc, argv, &python_ops));
}
