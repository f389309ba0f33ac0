# SPDX-License-Identifier: Apache-2.0
"""WSGI applications for test_pydump.py: what hangs, crashes, or looks harmless and is not."""
import _thread
import asyncio
import ctypes
import faulthandler
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time

TEXT = [("Content-Type", "text/plain")]
gates = {}
kept = []
strangers = []  # what should not run on account of a dump, and did
watch_tid = 0


def gate(name):
    return gates.setdefault(name, threading.Event())


def application(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]


def evaluate(environ, start_response):
    """The value of the expression in QUERY_STRING."""
    value = eval(environ["QUERY_STRING"], globals(), {"environ": environ})
    start_response("200 OK", TEXT)
    return [repr(value).encode()]


def execute(environ, start_response):
    """The statements in QUERY_STRING, as a module's."""
    exec(environ["QUERY_STRING"], globals())
    start_response("200 OK", TEXT)
    return [b"done"]


def blocked(environ, start_response):
    """Until the gate QUERY_STRING opens."""
    wait_for_gate(environ["QUERY_STRING"])
    start_response("200 OK", TEXT)
    return [b"done"]


def wait_for_gate(name):
    assert gate(name).wait(40)  # the line that is seen


def holds_gil(environ, start_response):
    """C code that does not give up the GIL for QUERY_STRING seconds, and waits for a lock meanwhile, as it happens."""
    clib, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    until = (ctypes.c_long * 2)(int(time.time()) + int(environ["QUERY_STRING"]), 0)
    clib.pthread_mutex_lock(mutex)
    clib.pthread_mutex_timedlock(mutex, until)
    start_response("200 OK", TEXT)
    return [b"done"]


first, second, both = threading.Lock(), threading.Lock(), threading.Barrier(2)


def cycle(environ, start_response):
    """Two of these wait for each other, until one of them has waited long enough."""
    mine, other = (first, second) if environ["QUERY_STRING"] == "1" else (second, first)
    with mine:
        both.wait(40)
        take_other(other)
    start_response("200 OK", TEXT)
    return [b"done"]


def take_other(other):
    while not other.acquire(timeout=40 if other is second else 0.01):
        if gate("cycle").is_set():
            return
    other.release()


def deep(environ, start_response):
    """QUERY_STRING calls deep."""
    descend(int(environ["QUERY_STRING"]))
    start_response("200 OK", TEXT)
    return [b"done"]


def descend(levels):
    if levels:
        descend(levels - 1)
    else:
        wait_for_gate("deep")


def crash(environ, start_response):
    """By what QUERY_STRING says."""
    fall(environ["QUERY_STRING"])


def fall(how):
    if how == "overflow":
        overflow()
    elif how == "abort":
        ctypes.CDLL(None).abort()
    elif how == "read":
        ctypes.string_at(8)
    elif how == "fork":
        if not os.fork():
            os.kill(os.getpid(), signal.SIGSEGV)
    else:
        signal.pthread_kill(threading.get_ident(), getattr(signal, how))
        time.sleep(40)


def overflow():
    """C code that calls itself without end: qsort(3) on its own stack, from its own callback."""
    libc = ctypes.CDLL(None)
    compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    array = (ctypes.c_int * 2)(2, 1)

    @compare_type
    def compare(a, b):
        libc.qsort(array, 2, 4, compare)
        return 0

    sys.setrecursionlimit(1 << 30)
    libc.qsort(array, 2, 4, compare)


def multiprocess_crash(environ, start_response):
    """A child of multiprocessing that crashes. @return its exit code"""
    process = multiprocessing.get_context("fork").Process(target=fall, args=("SIGSEGV",))
    process.start()
    process.join(40)
    start_response("200 OK", TEXT)
    return [b"%d" % process.exitcode]


# ---- what must not run ----

def tell(what):
    """That code of the application has run in the thread that makes dumps."""
    if threading.get_native_id() == watch_tid:
        strangers.append(what)


class Stranger(threading.Thread):
    """Its properties are code of the application."""

    @property
    def name(self):
        tell("name")
        return "told by the application"

    @property
    def native_id(self):
        tell("native_id")
        return 1

    def __getattribute__(self, attribute):
        tell(attribute)
        return super().__getattribute__(attribute)

    def __repr__(self):
        tell("repr")
        return "told by the application"


def start_stranger():
    thread = Stranger(target=wait_for_gate, args=("stranger",), daemon=True)
    thread.start()
    kept.append(thread)


class Node:
    def __init__(self):
        self.itself = self

    def __del__(self):
        tell("finalizer")


def hold_garbage(environ, start_response):
    """The next object that is made, wherever that is, sets off a collection."""
    acquire, enable = garbage_lock.acquire, gc.enable
    acquire()
    gc.disable()
    thresholds = gc.get_threshold()
    for _ in range(1000):
        Node()
    gc.set_threshold(1)
    enable()
    acquire()
    garbage_lock.release()
    gc.set_threshold(*thresholds)
    start_response("200 OK", TEXT)
    return [b"done"]


garbage_lock = threading.Lock()


def audit(event, arguments):
    tell(event)


# ---- asyncio ----

class Wrapped:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


async def leaf(event):
    await event.wait()


async def leaf_alone():
    await leaf(asyncio.Event())


async def numbers(event):
    yield 1
    await leaf(event)
    yield 2


async def consume(event):
    async for number in numbers(event):
        kept.append(number)


async def middle(event):
    await Wrapped(leaf(event))


async def quick():
    return 1


class StrangeTask(asyncio.Task):
    def get_name(self):
        tell("get_name")
        return "told by the application"

    get_coro = _coro = _state = property(get_name)


def loop_main(count):
    asyncio.run(serve_tasks(count))


async def serve_tasks(count):
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    tasks = [asyncio.ensure_future(middle(event)), asyncio.ensure_future(consume(event)), asyncio.ensure_future(quick()),
             StrangeTask(leaf(event), loop=loop)]
    for task, name in zip(tasks, ("the middle one", "the consumer", "the quick one", "the strange one")):
        task.set_name(name)
    if hasattr(asyncio, "eager_task_factory"):
        tasks.append(asyncio.eager_task_factory(loop, leaf(event), name="the eager one"))
    tasks += [asyncio.ensure_future(leaf(event)) for _ in range(count)]
    await tasks[2]
    kept.append(tasks)
    while not gate("loop").is_set():
        await asyncio.sleep(0.01)
    event.set()
    await asyncio.gather(*tasks)


def asynchronous(environ, start_response):
    """A loop with QUERY_STRING more tasks, in this request's thread."""
    loop_main(int(environ["QUERY_STRING"]))
    start_response("200 OK", TEXT)
    return [b"done"]


def leave_tasks_behind():
    """A loop that does not run, with a task that waits."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(leaf_alone())
    task.set_name("left behind")
    loop.call_soon(loop.stop)
    loop.run_forever()
    kept.append((loop, task))


# ---- unrest ----

importing = threading.Lock()


def busy(environ, start_response):
    """Until the gate `busy` opens: frames, generators and exceptions come and go."""
    stop, count = gate("busy"), 0
    while not stop.is_set():
        count += sum(number for number in (value * value for value in range(50)))
        try:
            descend_and_raise(20)
        except ValueError:
            count += 1
        if count % 7 == 0:
            start_threads()
        if count % 11 == 0:
            import_anew()
        if count % 13 == 0:
            asyncio.run(some_tasks())
        if count % 17 == 0:
            fork()
    start_response("200 OK", TEXT)
    return [b"done"]


def fork():
    pid = os.fork()
    if not pid:
        gc.collect()
        os._exit(len(threading.enumerate()) - 1)
    assert os.waitpid(pid, 0)[1] == 0


def import_anew():
    with importing:
        sys.modules.pop("colorsys", None)
        import colorsys  # noqa: F401


def descend_and_raise(levels):
    if not levels:
        raise ValueError
    for _ in generate(levels):
        descend_and_raise(levels - 1)


def generate(levels):
    yield from range(levels)


def start_threads():
    threads = [threading.Thread(target=sum, args=(range(100),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    _thread.start_new_thread(sum, ((1, 2),))
    foreign = ctypes.c_ulong()
    assert not libc.pthread_create(ctypes.byref(foreign), None, run_foreign, None)
    libc.pthread_join(foreign, None)
    for thread in threads:
        thread.join()


libc = ctypes.CDLL(None)


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def run_foreign(_):
    """A thread that Python does not know before it calls."""
    descend_and_return(10)


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def run_known(_):
    """Such a thread that asks for its Thread object: threading keeps one, for good in some versions."""
    threading.current_thread()


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def run_unknown(_):
    kept.append(threading.get_native_id())
    wait_for_gate("unknown")


def start_unknown():
    """@return whether the thread has the ident of one that has ended"""
    ended, alive = ctypes.c_ulong(), ctypes.c_ulong()
    assert not libc.pthread_create(ctypes.byref(ended), None, run_known, None)
    libc.pthread_join(ended, None)
    kept.clear()
    assert not libc.pthread_create(ctypes.byref(alive), None, run_unknown, None)
    libc.pthread_detach(alive)
    return ended.value == alive.value


def descend_and_return(levels):
    return levels and descend_and_return(levels - 1)


async def some_tasks():
    event = asyncio.Event()
    tasks = [asyncio.ensure_future(leaf(event)) for _ in range(3)] + [asyncio.ensure_future(consume_some())]
    await asyncio.sleep(0)
    event.set()
    await asyncio.gather(*tasks)


async def consume_some():
    async for _ in numbers_of(3):
        await asyncio.sleep(0)


async def numbers_of(count):
    for number in range(count):
        yield number
