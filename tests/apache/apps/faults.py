# SPDX-License-Identifier: Apache-2.0
"""Goes wrong in the way its path names, with what the query says: "/sleep_in_python?seconds=600".

mark=FILE in the query: before anything else FILE is written, with "PID TID NATIVE-TID TIME" of who executes the request
from TIME (seconds, time.time()) on. What comes back to here answers with the path, the pid and the query.

FAULT_AT_IMPORT=FILE in the environment: FILE has the name of a fault that happens while this module is imported.
STUCK_LIBRARY is what stuck.c was made to.
"""
import ctypes
import os
import re
import signal
import sys
import threading
import time
from urllib.parse import parse_qsl

kept = []


def seconds(query, default="600"):
    return float(query.get("seconds", default))


# ---- what works


def fine(query):
    pass


def slow(query):
    time.sleep(seconds(query, "1"))


def until(query):
    while not os.path.exists(query["file"]):
        time.sleep(0.01)


def works(query):
    end = time.process_time() + seconds(query, "1")
    while time.process_time() < end:
        sum(range(1000))


def grows(query):
    """The memory is in use, and stays."""
    kept.append(bytearray(b"x") * (int(query["mebibytes"]) << 20))


def grows_and_waits(query):
    grows(query)
    until(query)


# ---- what hangs


def sleep_in_python(query):
    time.sleep(seconds(query))


def sleep_in_c(query):
    ctypes.CDLL(None).sleep(int(seconds(query)))


def hold_the_gil(query):
    ctypes.PyDLL(os.environ["STUCK_LIBRARY"]).stuck_sleep(int(seconds(query)))


def spin_in_python(query):
    while True:
        pass


def spin_in_c(query):
    re.match(r"(a+)+$", "a" * 60 + "b")


def deadlock(query):
    ours, theirs = threading.Lock(), threading.Lock()
    other_has_it = threading.Event()

    def other():
        with theirs:
            other_has_it.set()
            ours.acquire()

    with ours:
        threading.Thread(target=other, name="other-one", daemon=True).start()
        other_has_it.wait()
        theirs.acquire()


def stop(query):
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def full_pipe(query):
    """More than a pipe can have: it blocks while nobody reads."""
    line = b"x" * 4095 + b"\n"
    for _ in range(512):
        os.write(1, line)
    time.sleep(600)


def sleep_uninterruptibly(query):
    """vfork(2): until the child ends, the thread does not react to any signal but SIGKILL."""
    ctypes.CDLL(os.environ["STUCK_LIBRARY"]).stuck_vfork(int(seconds(query)))


def sleep_uninterruptibly_with_the_gil(query):
    ctypes.PyDLL(os.environ["STUCK_LIBRARY"]).stuck_vfork(int(seconds(query)))


def fork_children(query):
    for _ in range(int(query["children"])):
        if os.fork() == 0:
            time.sleep(300)
            os._exit(0)
    time.sleep(600)


# ---- what dies


def segfault(query):
    ctypes.string_at(0)


def overflow_the_stack(query):
    ctypes.CDLL(os.environ["STUCK_LIBRARY"]).stuck_recursion(1)


def abort(query):
    os.abort()


def leave(query):
    os._exit(int(query.get("status", "3")))


def kill_itself(query):
    os.kill(os.getpid(), int(query["signal"]))
    signal.pause()


def exhaust_memory(query):
    """Not at once, and not without end: other processes are here, too."""
    for _ in range(int(query["mebibytes"]) // 4):
        kept.append(bytearray(b"x") * (4 << 20))
        time.sleep(0.005)
    time.sleep(600)


# ---- stacks to look at


def descend(depth, bottom):
    return descend(depth - 1, bottom) if depth else bottom()


def crowd(query):
    """Many threads, all at the same place or each in a stack of its own, as deep as wanted."""
    count, depth = int(query["threads"]), int(query.get("depth", "0"))
    sys.setrecursionlimit(depth + 500)
    threading.stack_size(16 << 20)
    there = threading.Barrier(count + 1)
    ended = threading.Event()

    def bottom():
        there.wait()
        ended.wait()

    for i in range(count):
        levels = depth + (i if query.get("each") else 0)
        threading.Thread(target=descend, args=(levels, bottom), name="crowd-%d" % i, daemon=True).start()
    threading.stack_size(0)
    there.wait()
    until(query)
    ended.set()


def asyncio_tasks(query):
    import asyncio

    async def wait_for_nothing():
        await asyncio.Event().wait()

    async def tasks():
        waiting = [asyncio.ensure_future(wait_for_nothing()) for _ in range(3)]
        while not os.path.exists(query["file"]):
            await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()

    asyncio.run(tasks())


def sends_and_hangs():
    yield b"the beginning, "
    time.sleep(600)
    yield b"never the end"


# ---- the application


def mark(path):
    with open(path + ".new", "w") as out:
        out.write("%d %d %d %.6f\n" % (os.getpid(), threading.get_native_id(), threading.get_ident(), time.time()))
    os.rename(path + ".new", path)


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    if "mark" in query:
        mark(query["mark"])
    if name == "sends_and_hangs":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return sends_and_hangs()
    globals()[name](query)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("%s %d %s\n" % (name, os.getpid(), environ["QUERY_STRING"])).encode()]


def while_imported():
    path = os.environ.get("FAULT_AT_IMPORT")
    if path and os.path.exists(path):
        with open(path) as text:
            globals()[text.read().strip()]({})


while_imported()
