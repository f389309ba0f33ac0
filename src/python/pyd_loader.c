/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyd_exchange.h"
#include "pyd_forked.h"
#include "pyd_path.h"
#include "pyd_pyerr.h"
#include "pyd_pylog.h"
#include "pyd_script.h"

/* How many names an application's module has are worth telling. */
#define NAMES_SHOWN 12

/* What is imported, for all applications in it: a script must not run twice because two callables are used. */
struct source {
    struct source *next;
    char *name;       /* path of a script, or name of a module */
    PyObject *module; /* NULL until loaded */
    PyThread_type_lock loading;
    size_t references;
    int is_script;
};

struct pyd_target {
    struct pyd_target *next;
    struct source *source;
    char *target;
    char *callable; /* dotted names are attributes of attributes */
    PyObject *app;  /* NULL until loaded */
    size_t references;
};

/* Guarded by the GIL. */
static struct source *sources;
static struct pyd_target *targets;

static void destroy_source(struct source *source)
{
    if (!source)
        return;
    if (source->loading)
        PyThread_free_lock(source->loading);
    free(source->name);
    free(source);
}

static void release_source(struct source *source)
{
    if (!source || --source->references || source->module)
        return;
    for (struct source **at = &sources; *at; at = &(*at)->next) {
        if (*at == source) {
            *at = source->next;
            break;
        }
    }
    destroy_source(source);
}

static struct source *acquire_source(const char *name, size_t size)
{
    struct source *source;

    for (source = sources; source; source = source->next) {
        if (strlen(source->name) == size && !memcmp(source->name, name, size)) {
            source->references++;
            return source;
        }
    }
    source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    source->is_script = memchr(name, '/', size) != NULL;
    source->name = strndup(name, size);
    source->loading = PyThread_allocate_lock();
    if (!source->name || !source->loading) {
        destroy_source(source);
        return NULL;
    }
    source->references = 1;
    source->next = sources;
    sources = source;
    return source;
}

static void destroy(struct pyd_target *target)
{
    if (!target)
        return;
    Py_XDECREF(target->app);
    release_source(target->source);
    free(target->target);
    free(target->callable);
    free(target);
}

/* "module:callable" names its own callable; a script, or a bare module, gets the one httpd says. */
static struct pyd_target *create(const char *name, size_t name_bytes, const char *callable, size_t callable_bytes)
{
    struct pyd_target *target = calloc(1, sizeof *target);
    const char *colon = memchr(name, '/', name_bytes) ? NULL : memrchr(name, ':', name_bytes);
    size_t source_bytes = colon ? (size_t)(colon - name) : name_bytes;

    if (!target)
        return NULL;
    if (colon && colon + 1 < name + name_bytes) {
        callable = colon + 1;
        callable_bytes = (size_t)(name + name_bytes - callable);
    }
    target->source = acquire_source(name, source_bytes);
    target->target = strndup(name, name_bytes);
    target->callable = callable_bytes ? strndup(callable, callable_bytes) : strdup("application");
    if (!target->source || !target->target || !target->callable) {
        destroy(target);
        return NULL;
    }
    return target;
}

static int is_same(const struct pyd_target *target, const struct pyd_target *other)
{
    return !strcmp(target->target, other->target) && !strcmp(target->callable, other->callable);
}

struct pyd_target *pyd_loader_acquire(const char *name, size_t name_bytes, const char *callable, size_t callable_bytes)
{
    struct pyd_target *target = create(name, name_bytes, callable, callable_bytes), *found;

    if (!target)
        return NULL;
    for (found = targets; found && !is_same(found, target); found = found->next)
        ;
    if (found) {
        destroy(target);
        target = found;
    } else {
        target->next = targets;
        targets = target;
    }
    target->references++;
    return target;
}

void pyd_loader_release(struct pyd_target *target)
{
    if (!target || --target->references || target->app)
        return;
    for (struct pyd_target **at = &targets; *at; at = &(*at)->next) {
        if (*at == target) {
            *at = target->next;
            break;
        }
    }
    destroy(target);
}

const char *pyd_loader_label(const struct pyd_target *target)
{
    return target->target;
}

static PyObject *import_module(const char *module_name)
{
    PyObject *name, *module;

    if (pyd_path_add_home())
        return NULL;
    name = PyUnicode_DecodeFSDefault(module_name);
    module = name ? PyImport_Import(name) : NULL;
    Py_XDECREF(name);
    return module;
}

/* "app, main, other": public names of the module that could be meant. */
static void append_callables(struct pyd_buf *text, PyObject *module)
{
    PyObject *dict = PyModule_Check(module) ? PyModule_GetDict(module) : NULL;
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int count = 0;

    while (dict && PyDict_Next(dict, &at, &key, &value)) {
        const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : NULL;

        if (!name) {
            PyErr_Clear();
            continue;
        }
        if (*name == '_' || !PyCallable_Check(value))
            continue;
        if (count++ == NAMES_SHOWN) {
            pyd_buf_append_str(text, ", ...");
            break;
        }
        pyd_buf_append_str(text, count > 1 ? ", " : "");
        pyd_buf_append_str(text, name);
    }
    pyd_buf_append_str(text, count ? "" : "none");
    pyd_buf_append(text, "", 1);
}

static void log_message(struct pyd_exchange *exchange, const char *message)
{
    const enum pyd_log_level level = PYD_LOG_ERR; /* message has its number */

    pyd_pylog_lines(exchange, level, message, strlen(message));
}

static void log_missing(const struct pyd_target *target, PyObject *module, struct pyd_exchange *exchange)
{
    struct pyd_buf callables = {0};
    char message[2048];

    append_callables(&callables, module);
    snprintf(message, sizeof message,
             PYD_LOGNO(1003) "'%s' has no '%s'; the callables it does have: %s. Define '%s' there, or name another "
                             "one with PyDaemonCallable or callable=.",
             target->target, target->callable, callables.failed ? "?" : (const char *)callables.data,
             target->callable);
    pyd_buf_done(&callables);
    log_message(exchange, message);
}

static void log_failure(const struct source *source, struct pyd_exchange *exchange)
{
    PyObject *exception = pyd_pyerr_take();

    if (source->is_script && access(source->name, R_OK)) {
        struct pyd_buf reason = {0};
        char message[2048];

        pyd_pyerr_append_summary(&reason, exception);
        pyd_buf_append(&reason, "", 1);
        snprintf(message, sizeof message, PYD_LOGNO(1001) "The script '%s' cannot be read as user id %d: %s.",
                 source->name, (int)geteuid(), reason.failed ? "?" : (const char *)reason.data);
        pyd_buf_done(&reason);
        log_message(exchange, message);
    } else {
        pyd_pyerr_report(exchange, exception, PYD_LOGNO(1002) "The application '%s' cannot be loaded:", source->name);
    }
    Py_XDECREF(exception);
}

/* Follow the dotted callable from the module. Returns owned; NULL: logged. */
static PyObject *find_callable(const struct pyd_target *target, PyObject *module, struct pyd_exchange *exchange)
{
    PyObject *object = module, *next;
    char *names_copy = strdup(target->callable), *rest = names_copy, *name;

    Py_INCREF(object);
    while (object && (name = strsep(&rest, "."))) {
        next = PyObject_GetAttrString(object, name);
        pyd_forked_check();
        Py_DECREF(object);
        object = next;
    }
    free(names_copy);
    if (!object && !PyErr_ExceptionMatches(PyExc_AttributeError)) { /* a module's __getattr__(), a property */
        log_failure(target->source, exchange);
        return NULL;
    }
    if (!object) {
        PyErr_Clear();
        log_missing(target, module, exchange);
        return NULL;
    }
    if (!PyCallable_Check(object)) {
        char message[1024];

        snprintf(message, sizeof message,
                 PYD_LOGNO(1004) "'%s' of '%s' cannot be called: it is of type '%s', not a WSGI application.",
                 target->callable, target->target, Py_TYPE(object)->tp_name);
        log_message(exchange, message);
        Py_CLEAR(object);
    }
    return object;
}

static void load(struct pyd_target *target, struct pyd_exchange *exchange)
{
    struct source *source = target->source;

    if (!source->module)
        source->module = source->is_script ? pyd_script_load(source->name) : import_module(source->name);
    pyd_forked_check();
    if (source->module)
        target->app = find_callable(target, source->module, exchange);
    else
        log_failure(source, exchange);
}

PyObject *pyd_loader_app(struct pyd_target *target, struct pyd_exchange *exchange)
{
    struct source *source = target->source;

    if (target->app)
        return target->app;
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(source->loading, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    if (!target->app)
        load(target, exchange);
    PyThread_release_lock(source->loading);
    return target->app;
}
