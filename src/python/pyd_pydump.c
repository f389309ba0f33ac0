/* SPDX-License-Identifier: Apache-2.0 */
#define Py_BUILD_CORE /* before Python.h: the lock on the list of thread states */
#include "pyd_pydump.h"

#include <dlfcn.h>
#include <internal/pycore_runtime.h>
#include <link.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_frames.h"
#include "pyd_plain.h"
#include "pyd_tasks.h"

#define THREADS_MAX 1000

/* For the lock on the list of thread states. The GIL is ours meanwhile. */
#define STATES_LOCK_US INT64_C(100000)

static struct {
    struct pyd_pydump_thread *threads; /* those that execute requests */
    PyObject *active;                  /* threading._active: Thread objects by ident */
    PyObject *name, *native_id;        /* attributes of theirs */
    _PyRuntimeState *runtime;          /* or NULL: it is not the one that the headers describe */
#if PY_VERSION_HEX < 0x030a0000
    PyObject *gc_isenabled, *gc_disable, *gc_enable;
#endif
} python;

/* A thread that is not one of ours. */
struct other_thread {
    PyFrameObject *frame; /* owned */
    unsigned long ident;
    pid_t tid; /* 0: not known */
};

static PyObject *keep_attribute(const char *module_name, const char *attribute)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *object = module ? PyObject_GetAttrString(module, attribute) : NULL;

    Py_XDECREF(module);
    return object;
}

/*
 * Named here, _PyRuntime would be copied into the worker's own memory (a copy relocation) with the size that it has
 * today, and another 3.x.y of the library, where it may be larger, would write beyond it.
 */
static _PyRuntimeState *find_runtime(void)
{
    void *found = dlsym(RTLD_DEFAULT, "_PyRuntime");
#ifdef RTLD_DL_SYMENT
    const ElfW(Sym) *symbol = NULL;
    Dl_info info;

    if (found && dladdr1(found, &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol &&
        symbol->st_size != sizeof(_PyRuntimeState))
        return NULL;
#endif
    return found;
}

int pyd_pydump_init(void)
{
    python.runtime = find_runtime();
    python.name = PyUnicode_InternFromString("_name");
    python.native_id = PyUnicode_InternFromString("_native_id");
    python.active = keep_attribute("threading", "_active");
#if PY_VERSION_HEX < 0x030a0000
    python.gc_isenabled = keep_attribute("gc", "isenabled");
    python.gc_disable = keep_attribute("gc", "disable");
    python.gc_enable = keep_attribute("gc", "enable");
    if (!python.gc_isenabled || !python.gc_disable || !python.gc_enable)
        return -1;
#endif
    return python.name && python.native_id && python.active ? pyd_tasks_init() : -1;
}

void pyd_pydump_thread_add(struct pyd_pydump_thread *thread, unsigned number)
{
    thread->state = PyThreadState_Get();
    thread->tid = (pid_t)syscall(SYS_gettid);
    thread->number = number;
    thread->next = python.threads;
    python.threads = thread;
}

void pyd_pydump_thread_remove(struct pyd_pydump_thread *thread)
{
    struct pyd_pydump_thread **link = &python.threads;

    while (*link && *link != thread)
        link = &(*link)->next;
    if (*link)
        *link = thread->next;
}

/* Objects made here must not set off a collection: finalizers are code of the application. */
#if PY_VERSION_HEX >= 0x030a0000

static int pause_gc(void)
{
    return PyGC_Disable();
}

static void resume_gc(int was_enabled)
{
    if (was_enabled)
        PyGC_Enable();
}

#else

static int pause_gc(void)
{
    PyObject *enabled = PyObject_CallNoArgs(python.gc_isenabled), *none = PyObject_CallNoArgs(python.gc_disable);
    int was_enabled = enabled == Py_True;

    PyErr_Clear();
    Py_XDECREF(none);
    Py_XDECREF(enabled);
    return was_enabled;
}

static void resume_gc(int was_enabled)
{
    PyObject *none = was_enabled ? PyObject_CallNoArgs(python.gc_enable) : NULL;

    PyErr_Clear();
    Py_XDECREF(none);
}

#endif

static int is_own(const PyThreadState *state)
{
    struct pyd_pydump_thread *thread = python.threads;

    while (thread && thread->state != state)
        thread = thread->next;
    return thread != NULL;
}

/* Returns true if it was added: one that is in no Python code is shown by its system call (pyd_stacks_write_proc()). */
static int add_own_thread(struct pyd_frames *frames, const struct pyd_pydump_thread *thread)
{
    PyFrameObject *frame = PyThreadState_GetFrame(thread->state);
    char name[32];

    if (!frame)
        return 0;
    snprintf(name, sizeof name, "pydaemon-%u", thread->number);
    pyd_frames_add_thread(frames, thread->tid, name);
    pyd_frames_add_stack(frames, frame);
    return 1;
}

#if PY_VERSION_HEX >= 0x030d0000

static int try_to_lock_states(void)
{
    uint8_t unlocked = _Py_UNLOCKED;

    return _Py_atomic_compare_exchange_uint8(&python.runtime->interpreters.mutex._bits, &unlocked, _Py_LOCKED);
}

static void unlock_states(void)
{
    PyMutex_Unlock(&python.runtime->interpreters.mutex);
}

#else

static int try_to_lock_states(void)
{
    return PyThread_acquire_lock(python.runtime->interpreters.mutex, NOWAIT_LOCK);
}

static void unlock_states(void)
{
    PyThread_release_lock(python.runtime->interpreters.mutex);
}

#endif

/*
 * The GIL does not keep the list of states as it is: a thread that begins puts its state there without it, and in 3.11
 * completes it only then (Python/pystate.c, PyThreadState_New); PyThreadState_Delete() does not need it either. This is
 * the lock that they take, and sys._current_frames(), which we can't call: it calls audit hooks. Who has it may, in
 * 3.11.4 for one, wait for the GIL (CPython's issue 106883), so there is a limit.
 * `main` tells whether the runtime is laid out as the headers say, which may be those of another 3.x.y.
 */
static int lock_states(void)
{
    const struct timespec pause = {.tv_nsec = 100000};
    int64_t deadline_us = pyd_clock_us() + STATES_LOCK_US;

    if (!python.runtime || python.runtime->interpreters.main != PyInterpreterState_Main())
        return 0;
    while (!try_to_lock_states()) {
        if (pyd_clock_us() >= deadline_us)
            return 0;
        nanosleep(&pause, NULL);
    }
    return 1;
}

static pid_t tid_of(const PyThreadState *state)
{
#if PY_VERSION_HEX >= 0x030b0000
    return (pid_t)state->native_thread_id;
#else
    (void)state;
    return 0;
#endif
}

/* No more than sys._current_frames() does with that lock. @return how many, or -1: it was not to be had */
static int collect_others(struct other_thread *others, int room)
{
    PyThreadState *state;
    int count = 0;

    if (!lock_states())
        return -1;
    state = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; state && count < room; state = PyThreadState_Next(state)) {
        PyFrameObject *frame = is_own(state) ? NULL : PyThreadState_GetFrame(state);

        if (frame)
            others[count++] = (struct other_thread){frame, state->thread_id, tid_of(state)};
    }
    unlock_states();
    return count;
}

/*
 * What threading knows of it. Its entries for threads that C code has started stay when these end (up to 3.12), and a
 * later thread may well have the same ident.
 */
static void look_up(struct other_thread *other, char *name, size_t size)
{
    PyObject *ident = PyLong_FromUnsignedLong(other->ident);
    PyObject *thread = ident && PyDict_CheckExact(python.active) ? PyDict_GetItemWithError(python.active, ident) : NULL;
    PyObject *native_id, *text = NULL;
    pid_t tid;

    PyErr_Clear();
    Py_XDECREF(ident);
    native_id = thread ? pyd_plain_attribute(thread, python.native_id) : NULL;
    tid = (pid_t)pyd_plain_number(native_id);
    if (!other->tid && tid > 0 && !syscall(SYS_tgkill, getpid(), tid, 0))
        other->tid = tid;
    if (thread && tid == other->tid)
        text = pyd_plain_attribute(thread, python.name);
    pyd_plain_text(text, name, size);
    Py_XDECREF(text);
    Py_XDECREF(native_id);
}

/* Returns true if it was added. */
static int add_other_thread(struct pyd_frames *frames, struct other_thread *other, pid_t tid)
{
    char name[128];

    look_up(other, name, sizeof name);
    if (tid && other->tid != tid) {
        Py_DECREF(other->frame);
        return 0;
    }
    pyd_frames_add_thread(frames, other->tid, name);
    pyd_frames_add_stack(frames, other->frame);
    return 1;
}

static int add_others(struct pyd_frames *frames, pid_t tid, int room, unsigned long *ret_ident)
{
    static struct other_thread others[THREADS_MAX];
    int count = collect_others(others, room);

    if (count < 0)
        pyd_frames_add_general(frames, "Python's list of threads is locked: only those of requests are told of");
    for (int i = 0; i < count; i++) {
        if (add_other_thread(frames, &others[i], tid))
            *ret_ident = others[i].ident;
    }
    return count > 0 ? count : 0;
}

static void add_threads(struct pyd_frames *frames, pid_t tid, unsigned long *ret_ident)
{
    int count = 0;

    /* First those that matter most: there may be no room for all. */
    for (struct pyd_pydump_thread *thread = python.threads; thread && count < THREADS_MAX; thread = thread->next) {
        if ((tid && thread->tid != tid) || !add_own_thread(frames, thread))
            continue;
        *ret_ident = thread->state->thread_id;
        count++;
    }
    if (!tid || !*ret_ident)
        count += add_others(frames, tid, THREADS_MAX - count, ret_ident);
    if (count >= THREADS_MAX)
        pyd_frames_add_general(frames, "only the first %d threads are told of", THREADS_MAX);
}

static void gather(struct pyd_frames *frames, pid_t tid)
{
    int gc_was_enabled = pause_gc();
    unsigned long ident = 0;

    add_threads(frames, tid, &ident);
    if (!tid || ident)
        pyd_tasks_add(frames, tid ? ident : 0);
    resume_gc(gc_was_enabled);
}

/* The watch thread's own, made once, by PyGILState so that it is deleted in forked children as those of other threads
 * are. It runs no Python code: no dump and no list of threading shows it. */
static void take_gil(void)
{
    static PyThreadState *state;

    if (state) {
        PyEval_RestoreThread(state);
        return;
    }
    PyGILState_Ensure();
    state = PyThreadState_Get();
}

void pyd_pydump(struct pyd_dump_writer *writer, pid_t tid, void (*had)(void))
{
    struct pyd_frames frames;

    take_gil();
    had();
    if (writer) {
        pyd_frames_init(&frames, writer->limit);
        gather(&frames, tid);
    }
    PyEval_SaveThread();
    if (writer) {
        pyd_frames_write(&frames, writer);
        pyd_frames_done(&frames);
    }
}
