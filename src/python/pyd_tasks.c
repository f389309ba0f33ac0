/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_tasks.h"

#include <string.h>

#include "pyd_plain.h"

/* Where tasks are, and where a coroutine stands, differs from version to version; what comes is not known. */
#if PY_VERSION_HEX < 0x030e0000

#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
/* In 3.11 nothing public leads there but cr_frame, which is audited: hooks are code of the application. */
#define Py_BUILD_CORE
#include <internal/pycore_frame.h>
#endif

#define TASKS_MAX 200
/* Beyond them so many are counted: other threads wait meanwhile. */
#define MORE_MAX 10000

#define NAMES(X)                                                                                                       \
    X(data)             /* of weakref.WeakSet: a set of weak references */                                             \
    X(_all_tasks)       /* of asyncio.tasks: a WeakSet, up to 3.11 */                                                  \
    X(_scheduled_tasks) /* the same, from 3.12 on */                                                                   \
    X(_eager_tasks)     /* a set of tasks that have not waited yet */                                                  \
    X(_thread_id)       /* of loops: who runs it, or None */                                                           \
    X(_name)            /* these four: of tasks.Task where it is not _asyncio.Task */                                  \
    X(_coro)                                                                                                           \
    X(_loop)                                                                                                           \
    X(_state)                                                                                                          \
    X(cr_await)                                                                                                        \
    X(gi_yieldfrom)                                                                                                    \
    X(ag_await)

static struct {
#define X(name) PyObject *name;
    NAMES(X)
#undef X
    PyObject *tasks_module, *c_module, *c_type;
} names;

/* _asyncio.Task, once it has been imported: its own accessors, which subclasses and instances can't replace. */
static struct {
    PyTypeObject *type;
    PyObject *get_name, *coro, *loop, *state;
} c_task;

/* What is told of a task. */
struct task {
    PyObject *name, *coro, *loop; /* owned, may be NULL */
    int done;
};

struct gathering {
    struct pyd_frames *frames;
    unsigned long ident;
    unsigned listed, more, strange;
};

int pyd_tasks_init(void)
{
    int rv = 0;

#define X(attribute)                                                                                                   \
    names.attribute = PyUnicode_InternFromString(#attribute);                                                          \
    rv |= !names.attribute;
    NAMES(X)
#undef X
    names.tasks_module = PyUnicode_InternFromString("asyncio.tasks");
    names.c_module = PyUnicode_InternFromString("_asyncio");
    names.c_type = PyUnicode_InternFromString("Task");
    return rv || !names.tasks_module || !names.c_module || !names.c_type ? -1 : 0;
}

/* Of a module that has been imported; borrowed, or NULL. */
static PyObject *module_dict(PyObject *name)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *module = modules && PyDict_CheckExact(modules) ? PyDict_GetItemWithError(modules, name) : NULL;

    PyErr_Clear();
    return module && PyModule_Check(module) ? PyModule_GetDict(module) : NULL;
}

/* A type of CPython's by its name, not one that the application has called so; it can't be changed either. */
static int is_builtin(const PyTypeObject *type, const char *name)
{
    unsigned long flags = type->tp_flags;

    if (strcmp(type->tp_name, name))
        return 0;
#ifdef Py_TPFLAGS_IMMUTABLETYPE
    if (flags & Py_TPFLAGS_IMMUTABLETYPE)
        return 1;
#endif
    return !(flags & Py_TPFLAGS_HEAPTYPE);
}

static void find_c_task(void)
{
    PyObject *type = pyd_plain_item(module_dict(names.c_module), names.c_type);

    if (c_task.type || !type || !PyType_Check(type) || !is_builtin((PyTypeObject *)type, "_asyncio.Task"))
        return;
    c_task.get_name = PyObject_GetAttrString(type, "get_name");
    c_task.coro = PyObject_GetAttrString(type, "_coro");
    c_task.loop = PyObject_GetAttrString(type, "_loop");
    c_task.state = PyObject_GetAttrString(type, "_state");
    PyErr_Clear();
    if (!c_task.get_name || !c_task.coro || !c_task.loop || !c_task.state)
        return;
    Py_INCREF(type);
    c_task.type = (PyTypeObject *)type;
}

static PyObject *get(PyObject *descriptor, PyObject *object)
{
    descrgetfunc function = Py_TYPE(descriptor)->tp_descr_get;
    PyObject *value = function ? function(descriptor, object, (PyObject *)Py_TYPE(object)) : NULL;

    PyErr_Clear();
    return value;
}

static int is_pending(PyObject *state)
{
    return PyUnicode_Check(state) && !PyUnicode_CompareWithASCIIString(state, "PENDING");
}

static void look_at_c_task(PyObject *object, struct task *task)
{
    PyObject *state = get(c_task.state, object);

    task->name = PyObject_CallOneArg(c_task.get_name, object);
    PyErr_Clear();
    task->coro = get(c_task.coro, object);
    task->loop = get(c_task.loop, object);
    task->done = !state || !is_pending(state);
    Py_XDECREF(state);
}

/* Where _asyncio is missing. Its state is an attribute of the class while it is pending. */
static void look_at_python_task(PyObject *object, struct task *task)
{
    PyObject *state = pyd_plain_attribute(object, names._state);

    task->name = pyd_plain_attribute(object, names._name);
    task->coro = pyd_plain_attribute(object, names._coro);
    task->loop = pyd_plain_attribute(object, names._loop);
    task->done = state && !is_pending(state);
    Py_XDECREF(state);
}

/* Loops that are not written in Python do not tell who runs them: they count as running. */
static int is_wanted(PyObject *loop, unsigned long ident)
{
    PyObject *runner = loop ? pyd_plain_attribute(loop, names._thread_id) : NULL;
    int wanted = !runner ? !ident : runner != Py_None && (!ident || pyd_plain_number(runner) == ident);

    Py_XDECREF(runner);
    return wanted;
}

#if PY_VERSION_HEX < 0x030b0000

/* Where a generator, or what is like one, stands. Returns its code, owned, or NULL: it has ended. */
static PyCodeObject *position(PyGenObject *generator, int *ret_line)
{
    PyFrameObject *frame = generator->gi_frame;

    if (!frame)
        return NULL;
    *ret_line = PyFrame_GetLineNumber(frame);
    return PyFrame_GetCode(frame);
}

#else

static PyCodeObject *position(PyGenObject *generator, int *ret_line)
{
    struct _PyInterpreterFrame *frame = (struct _PyInterpreterFrame *)(void *)generator->gi_iframe;
    PyObject *code;

    if (generator->gi_frame_state > 0) /* completed or cleared */
        return NULL;
#if PY_VERSION_HEX >= 0x030c0000
    code = PyUnstable_InterpreterFrame_GetCode(frame);
    *ret_line = PyUnstable_InterpreterFrame_GetLine(frame);
#else
    code = (PyObject *)frame->f_code;
    Py_INCREF(code);
    *ret_line = PyCode_Addr2Line(frame->f_code, _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT));
#endif
    if (PyCode_Check(code))
        return (PyCodeObject *)code;
    Py_DECREF(code);
    return NULL;
}

#endif

static int is_generator(PyObject *object)
{
    return PyCoro_CheckExact(object) || PyGen_CheckExact(object) || PyAsyncGen_CheckExact(object);
}

/* What stands between two of them: __await__() of a coroutine, and what async generators are waited for with. */
static int is_link(PyObject *object)
{
    static const char *const NAMES_OF_LINKS[] = {"coroutine_wrapper", "async_generator_asend",
                                                 "async_generator_athrow", "anext_awaitable"};

    for (size_t i = 0; i < sizeof NAMES_OF_LINKS / sizeof NAMES_OF_LINKS[0]; i++) {
        if (is_builtin(Py_TYPE(object), NAMES_OF_LINKS[i]))
            return 1;
    }
    return 0;
}

static int note_first(PyObject *object, void *baton)
{
    PyObject **found = baton;

    if (!*found && (is_generator(object) || is_link(object))) {
        Py_INCREF(object);
        *found = object;
    }
    return 0;
}

/* What `awaitable` waits for; owned, or NULL. Links tell it to the garbage collector only. */
static PyObject *awaited(PyObject *awaitable)
{
    PyTypeObject *type = Py_TYPE(awaitable);
    PyObject *next = NULL;

    if (PyCoro_CheckExact(awaitable))
        next = PyObject_GetAttr(awaitable, names.cr_await);
    else if (PyGen_CheckExact(awaitable))
        next = PyObject_GetAttr(awaitable, names.gi_yieldfrom);
    else if (PyAsyncGen_CheckExact(awaitable))
        next = PyObject_GetAttr(awaitable, names.ag_await);
    else if (is_link(awaitable) && type->tp_traverse)
        type->tp_traverse(awaitable, note_first, &next);
    PyErr_Clear();
    return next;
}

/* A chain leads from the outermost to the innermost; a stack is told the other way round. */
static void add_chain(struct pyd_frames *frames, PyObject *coro)
{
    struct {
        PyCodeObject *code;
        int line;
    } chain[PYD_FRAMES_MAX];
    int count = 0;

    Py_XINCREF(coro);
    for (int steps = 0; coro && count < PYD_FRAMES_MAX && steps < 2 * PYD_FRAMES_MAX; steps++) {
        PyObject *next = awaited(coro);

        if (is_generator(coro))
            chain[count].code = position((PyGenObject *)coro, &chain[count].line);
        if (is_generator(coro) && chain[count].code)
            count++;
        Py_DECREF(coro);
        coro = next;
    }
    Py_XDECREF(coro);
    while (count--) {
        pyd_frames_add(frames, chain[count].code, chain[count].line);
        Py_DECREF(chain[count].code);
    }
}

static void add_task(struct gathering *gathering, PyObject *object)
{
    struct task task = {0};
    char name[128];

    if (c_task.type && PyObject_TypeCheck(object, c_task.type))
        look_at_c_task(object, &task);
    else
        look_at_python_task(object, &task);
    if (!task.done && (!task.coro || !task.loop)) {
        gathering->strange++;
    } else if (!task.done && is_wanted(task.loop, gathering->ident)) {
        if (gathering->listed >= TASKS_MAX || pyd_frames_full(gathering->frames)) {
            gathering->more++;
        } else {
            gathering->listed++;
            pyd_plain_text(task.name, name, sizeof name);
            pyd_frames_add_task(gathering->frames, name);
            add_chain(gathering->frames, task.coro);
        }
    }
    Py_XDECREF(task.loop);
    Py_XDECREF(task.coro);
    Py_XDECREF(task.name);
}

/* Owned, or NULL: it is about to go. */
static PyObject *referent(PyObject *reference)
{
    PyObject *object = NULL;

#if PY_VERSION_HEX >= 0x030d0000
    PyWeakref_GetRef(reference, &object);
    PyErr_Clear();
#else
    object = PyWeakref_GET_OBJECT(reference);
    if (object == Py_None)
        return NULL;
    Py_INCREF(object);
#endif
    return object;
}

/* A set of tasks or of weak references to tasks. */
static void add_set(struct gathering *gathering, PyObject *set)
{
    PyObject *iterator = set && PyAnySet_CheckExact(set) ? PyObject_GetIter(set) : NULL, *item;

    while (iterator && gathering->more < MORE_MAX && (item = PyIter_Next(iterator))) {
        PyObject *task = PyWeakref_CheckRefExact(item) ? referent(item) : item;

        if (task)
            add_task(gathering, task);
        if (task != item)
            Py_XDECREF(task);
        Py_DECREF(item);
    }
    PyErr_Clear();
    Py_XDECREF(iterator);
}

static void add_weak_set(struct gathering *gathering, PyObject *weak_set)
{
    PyObject *set = weak_set ? pyd_plain_attribute(weak_set, names.data) : NULL;

    add_set(gathering, set);
    Py_XDECREF(set);
}

void pyd_tasks_add(struct pyd_frames *frames, unsigned long ident)
{
    struct gathering gathering = {.frames = frames, .ident = ident};
    PyObject *module = module_dict(names.tasks_module);

    if (!module)
        return;
    find_c_task();
    add_weak_set(&gathering, pyd_plain_item(module, names._all_tasks));
    add_weak_set(&gathering, pyd_plain_item(module, names._scheduled_tasks));
    add_set(&gathering, pyd_plain_item(module, names._eager_tasks));
    if (gathering.more)
        pyd_frames_add_general(frames, "%u%s more tasks of asyncio are left out", gathering.more,
                               gathering.more < MORE_MAX ? "" : " or");
    if (gathering.strange)
        pyd_frames_add_general(frames, "%u tasks of asyncio are of unknown kinds and left out", gathering.strange);
}

#else

int pyd_tasks_init(void)
{
    return 0;
}

void pyd_tasks_add(struct pyd_frames *frames, unsigned long ident)
{
    (void)ident;
    if (PyImport_GetModuleDict() && PyDict_GetItemString(PyImport_GetModuleDict(), "asyncio.tasks"))
        pyd_frames_add_general(frames, "the tasks of asyncio are not listed with this version of Python");
}

#endif
