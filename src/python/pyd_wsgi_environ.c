/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "pyd_names.h"
#include "pyd_version.h"

/* Values that are the same in every environ of the process. */
static struct {
    PyObject *version, *process_group, *multithread, *wsgi_version;
} common;

/* What connections have dropped, from threads without the GIL. */
static _Atomic(struct pyd_wsgi_const *) dropped;

int pyd_wsgi_environ_init(const struct pyd_spec *spec)
{
    common.version = PyUnicode_FromString(PYD_VERSION);
    common.process_group = PyUnicode_FromString(spec->name ? spec->name : "");
    common.multithread = PyBool_FromLong(spec->threads > 1);
    common.wsgi_version = Py_BuildValue("(ii)", 1, 0);
    return common.version && common.process_group && common.multithread && common.wsgi_version ? 0 : -1;
}

/* HTTP header and URL bytes as PEP 3333 wants them: code points up to 255. */
static int set_pairs(PyObject *dict, struct pyd_wire_reader pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct pyd_wire_pair pair = pyd_wire_read_pair(&pairs);
        PyObject *name = pyd_names_str(pair.name.data, pair.name.size);
        PyObject *value = name ? pyd_names_str(pair.value.data, pair.value.size) : NULL;
        int rv = value ? PyDict_SetItem(dict, name, value) : -1;

        Py_XDECREF(value);
        Py_XDECREF(name);
        if (rv)
            return -1;
    }
    return 0;
}

static int set_name(PyObject *dict, enum pyd_name name, PyObject *value)
{
    return value ? PyDict_SetItem(dict, pyd_names_get(name), value) : -1;
}

/* The same for a new reference, which is consumed. */
static int set_new(PyObject *dict, enum pyd_name name, PyObject *value)
{
    int rv = set_name(dict, name, value);

    Py_XDECREF(value);
    return rv;
}

static PyObject *create_template(const struct pyd_wire_const *set)
{
    PyObject *dict = PyDict_New();

    if (!dict)
        return NULL;
    if (set_pairs(dict, set->pairs, set->pair_count) ||
        set_name(dict, PYD_NAME_WSGI_VERSION, common.wsgi_version) ||
        set_name(dict, PYD_NAME_WSGI_MULTITHREAD, common.multithread) ||
        set_name(dict, PYD_NAME_WSGI_RUN_ONCE, Py_False) ||
        set_name(dict, PYD_NAME_WSGI_INPUT_TERMINATED, Py_True) ||
        set_name(dict, PYD_NAME_WSGI_FILE_WRAPPER, (PyObject *)&pyd_wsgi_file_type) ||
        set_name(dict, PYD_NAME_PYD_VERSION_KEY, common.version) ||
        set_name(dict, PYD_NAME_PYD_PROCESS_GROUP, common.process_group))
        Py_CLEAR(dict);
    return dict;
}

static void drop_const(void *data)
{
    struct pyd_wsgi_const *set = data;

    set->next = atomic_load(&dropped);
    while (!atomic_compare_exchange_weak(&dropped, &set->next, set))
        ;
}

static void free_const(struct pyd_wsgi_const *set)
{
    Py_XDECREF(set->environ);
    pyd_loader_release(set->target);
    free(set);
}

void pyd_wsgi_const_reap(void)
{
    struct pyd_wsgi_const *set, *next;

    if (!atomic_load_explicit(&dropped, memory_order_relaxed))
        return;
    for (set = atomic_exchange(&dropped, NULL); set; set = next) {
        next = set->next;
        free_const(set);
    }
}

struct pyd_wsgi_const *pyd_wsgi_const_get(struct pyd_exchange *exchange)
{
    struct pyd_wsgi_const *set = pyd_exchange_const_data(exchange);
    const struct pyd_wire_const *wire;

    if (set)
        return set;
    wire = pyd_exchange_const(exchange);
    set = calloc(1, sizeof *set);
    if (!set) {
        PyErr_NoMemory();
        return NULL;
    }
    set->environ = create_template(wire);
    if (set->environ) {
        set->target = pyd_loader_acquire(wire->target.data, wire->target.size, wire->callable.data,
                                         wire->callable.size);
        if (!set->target)
            PyErr_NoMemory();
    }
    if (!set->target) {
        free_const(set);
        return NULL;
    }
    pyd_exchange_const_set_data(exchange, set, drop_const);
    return set;
}

static PyObject *seconds(uint64_t us)
{
    return PyFloat_FromDouble((double)us / 1e6);
}

PyObject *pyd_wsgi_environ_create(struct pyd_wsgi_request *request, const struct pyd_wsgi_const *set)
{
    const struct pyd_wire_request *wire = pyd_exchange_request(request->exchange);
    PyObject *dict = PyDict_Copy(set->environ);

    if (!dict)
        return NULL;
    if (set_pairs(dict, wire->pairs, wire->pair_count) ||
        set_name(dict, PYD_NAME_WSGI_MULTIPROCESS, wire->flags & PYD_REQUEST_MULTIPROCESS ? Py_True : Py_False) ||
        set_new(dict, PYD_NAME_WSGI_INPUT, pyd_wsgi_input_create(request)) ||
        set_new(dict, PYD_NAME_WSGI_ERRORS, pyd_wsgi_errors_create(request)) ||
        set_new(dict, PYD_NAME_PYD_REQUEST_START, seconds(wire->request_start_us)) ||
        set_new(dict, PYD_NAME_PYD_QUEUE_START, seconds(wire->queue_start_us)) ||
        set_new(dict, PYD_NAME_PYD_DISCONNECTED, pyd_wsgi_disconnected_create(request)) ||
        set_new(dict, PYD_NAME_PYD_EARLY_HINTS, pyd_wsgi_early_hints_create(request)))
        Py_CLEAR(dict);
    return dict;
}
