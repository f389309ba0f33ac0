# SPDX-License-Identifier: Apache-2.0
"""Stacks of Python threads, alive and dying, from the worker programs of this build. Prints TAP.

test_pydump.py [WORKER...] [PART_OF_NAME...]; without a worker those of PYDAEMON_WORKERS.
"""
import os
import shlex
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import wsgi_driver as driver
from wsgi_driver import DEADLINE, HOLDS_GIL, TIER_GIL, TIER_NO_GIL, Worker, script_file

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dump_apps.py")
with open(APPS) as apps:
    LINES = [line.strip() for line in apps]


def line_of(text):
    found, = [number for number, line in enumerate(LINES, 1) if line == text]
    return found


def evaluate(connection, expression):
    response = connection.request("evaluate", query=expression)
    assert response.end == "ok", vars(response)
    return eval(response.body)


def execute(connection, statements):
    response = connection.request("execute", query=statements)
    assert response.body == b"done", response.log


def start(connection, name, query=""):
    """A request of its own. @return its connection, to be finished"""
    other = connection.worker.connect()
    other.start(name, query=query)
    return other


def open_gate(connection, name, *others):
    execute(connection, "gate(%r).set()" % name)
    for other in others:
        response = other.finish()
        assert response.body == b"done", vars(response)
    execute(connection, "gates.pop(%r)" % name)


def tids(worker):
    """Of the worker's threads, by name."""
    found = {}
    for tid in os.listdir("/proc/%d/task" % worker.pid):
        with open("/proc/%d/task/%s/comm" % (worker.pid, tid)) as comm:
            found.setdefault(comm.read().strip(), int(tid))
    return found


# ---- with the GIL ----

def test_blocked_request(c):
    other = start(c, "blocked", "one")
    dump = c.worker.dump_until(lambda dump: dump.find("wait_for_gate"))
    thread, = dump.find("wait_for_gate")
    assert dump.tier == TIER_GIL and thread.name.startswith("pydaemon-"), thread
    assert thread.tid == tids(c.worker)[thread.name]
    at = thread.functions.index("wait_for_gate")
    text = "assert gate(name).wait(40)  # the line that is seen"
    assert thread.frames[at] == (APPS, line_of(text), "wait_for_gate", text), thread.frames[at]
    assert thread.functions[at + 1:] == ["blocked"], thread
    if sys.version_info >= (3, 11) and "-3.9" not in c.worker.program and "-3.10" not in c.worker.program:
        assert "Event.wait" in thread.functions, thread
    open_gate(c, "one", other)


def test_two_requests(c):
    others = [start(c, "blocked", "two"), start(c, "blocked", "two")]
    dump = c.worker.dump_until(lambda dump: len(dump.find("wait_for_gate")) == 2)
    names = {thread.name for thread in dump.find("wait_for_gate")}
    assert len(names) == 2, dump.threads
    open_gate(c, "two", *others)


def test_one_thread(c):
    others = [start(c, "blocked", "one") for _ in range(2)]
    wanted = c.worker.dump_until(lambda dump: len(dump.find("wait_for_gate")) == 2).find("wait_for_gate")[1]
    dump = c.worker.dump(tid=wanted.tid)
    assert [thread.tid for thread in dump.threads] == [wanted.tid] and not dump.tasks, dump.threads
    assert dump.find("wait_for_gate") and dump.tier == TIER_GIL
    main = c.worker.dump(tid=c.worker.pid)
    assert [(thread.tid, thread.frames) for thread in main.threads] == [(c.worker.pid, [])], main.threads
    open_gate(c, "one", *others)


def test_other_threads(c):
    execute(c, "thread = threading.Thread(target=wait_for_gate, args=('other',), name='caf\\u00e9 \\udc80\\ud800\\tx')\n"
               "thread.start()\n_thread.start_new_thread(wait_for_gate, ('other',))\nkept[:] = [thread]")
    dump = c.worker.dump_until(lambda dump: len(dump.find("wait_for_gate")) == 2)
    named, unnamed = sorted(dump.find("wait_for_gate"), key=lambda thread: thread.name, reverse=True)
    assert named.name == "caf\xe9 \udc80\\ud800?x" and named.tid == evaluate(c, "kept[0].native_id"), named
    is_old = c.worker.is_older_than(3, 11)
    assert unnamed.tid == 0 if is_old else str(unnamed.tid) in os.listdir("/proc/%d/task" % c.worker.pid), unnamed
    one = c.worker.dump(tid=named.tid)
    assert [thread.name for thread in one.threads] == [named.name]
    open_gate(c, "other")
    execute(c, "kept.pop().join()")


def test_thread_that_threading_takes_for_another(c):
    """The ident of a thread of C code that has ended is that of one that lives."""
    assert evaluate(c, "start_unknown()") is True
    dump = c.worker.dump_until(lambda dump: dump.find("wait_for_gate"))
    thread, = dump.find("wait_for_gate")
    tid = 0 if c.worker.is_older_than(3, 11) else evaluate(c, "kept[0]")
    assert (thread.tid, thread.name) == (tid, ""), (thread, tid)
    open_gate(c, "unknown")
    execute(c, "kept.clear()")


def test_names(c):
    """Of files and functions, as Python can have them."""
    execute(c, "scope = dict(wait_for_gate=wait_for_gate)\n"
               "exec(compile('def caf\\u00e9(): wait_for_gate(\"names\")', 'a\\tb\\udcff\\u20ac\\U0001f600', 'exec'), scope)\n"
               "kept[:] = [threading.Thread(target=scope['caf\\u00e9'])]\nkept[0].start()")
    dump = c.worker.dump_until(lambda dump: dump.find("caf\xe9"))
    frames = [frame for frame in dump.find("caf\xe9")[0].frames if frame[2] == "caf\xe9"]
    assert frames == [("a?b\udcff\u20ac\U0001f600", 1, "caf\xe9", "")], frames
    open_gate(c, "names")
    execute(c, "kept.pop().join()")


def test_source_that_is_no_utf8(c):
    script = script_file("", "caf\udce9.py")
    with open(script, "wb") as file:
        file.write(b"# -*- coding: latin-1 -*-\nimport dump_gates\n"
                   b"def application(environ, start_response):\n    dump_gates.wait('caf\xe9')\n")
    execute(c, "import types\nsys.modules['dump_gates'] = types.SimpleNamespace(wait=wait_for_gate)")
    other = c.worker.connect()
    other.start(target=os.fsencode(script))
    dump = c.worker.dump_until(lambda dump: dump.find("wait_for_gate"))
    frame = dump.find("wait_for_gate")[0].frames[-1]
    assert frame[:2] == (script, 4) and frame[3].startswith("dump_gates.wait('caf"), frame
    execute(c, "gate('caf\\xe9').set()")
    other.finish()


def test_deep_recursion(c):
    other = start(c, "deep", "700")
    dump = c.worker.dump_until(lambda dump: dump.find("wait_for_gate"))
    thread, = dump.find("wait_for_gate")
    assert len(thread.frames) == 200 and thread.functions[10:] == ["descend"] * 190, thread
    assert thread.remarks == ["what called that is left out"], thread
    open_gate(c, "deep", other)


def test_nothing_of_the_applications_runs(c):
    execute(c, "watch_tid = %d\nsys.addaudithook(audit)\nstart_stranger()" % tids(c.worker)["pydaemon-watch"])
    others = [start(c, "asynchronous", "3"), start(c, "hold_garbage")]
    dump = c.worker.dump_until(lambda dump: dump.task("the middle one") and dump.find("wait_for_gate") and
                               dump.find("hold_garbage"))
    for _ in range(5):
        c.worker.dump()
    execute(c, "watch_tid = 0\ngarbage_lock.release()")
    assert evaluate(c, "strangers") == [], evaluate(c, "strangers")
    stranger, = dump.find("wait_for_gate")
    assert stranger.name.startswith("Thread-") and stranger.tid > 1, stranger
    assert "told by the application" not in dump.text.decode()
    open_gate(c, "loop", *others)
    execute(c, "gate('stranger').set()\nkept.clear()")


def test_collection_stays_as_it_was(c):
    c.worker.dump()
    assert evaluate(c, "gc.isenabled()") is True
    execute(c, "gc.disable()")
    c.worker.dump()
    assert evaluate(c, "gc.isenabled()") is False
    execute(c, "gc.enable()")


def test_watch_thread_is_not_seen(c):
    dump = c.worker.dump()
    watch = tids(c.worker)["pydaemon-watch"]
    assert not [thread for thread in dump.threads if thread.tid == watch and thread.frames]
    seen = evaluate(c, "[thread.native_id for thread in threading.enumerate()]")
    assert watch not in seen and evaluate(c, "len(sys._current_frames())") <= len(seen)


def test_tasks(c):
    execute(c, "leave_tasks_behind()")
    other = start(c, "asynchronous", "0")
    dump = c.worker.dump_until(lambda dump: dump.task("the middle one") and not dump.task("the quick one"))
    wait = "wait" if c.worker.is_older_than(3, 11) else "Event.wait"
    assert dump.task("the middle one").functions == [wait, "leaf", "middle"], dump.tasks
    assert dump.task("the consumer").functions == [wait, "leaf", "numbers", "consume"], dump.tasks
    assert dump.task("the strange one").functions == [wait, "leaf"], dump.tasks
    assert c.worker.is_older_than(3, 12) or dump.task("the eager one").functions == [wait, "leaf"], dump.tasks
    frame = dump.task("the middle one").frames[1]
    assert frame == (APPS, line_of("await event.wait()"), "leaf", "await event.wait()"), frame
    main, = [task for task in dump.tasks if "serve_tasks" in task.functions]
    assert main.name.startswith("Task-"), main
    assert not dump.task("left behind") and "told by the application" not in dump.text.decode(), dump.tasks
    thread, = dump.find("loop_main")
    assert c.worker.dump(tid=thread.tid).task("the middle one")
    assert not c.worker.dump(tid=c.worker.pid).tasks
    open_gate(c, "loop", other)
    execute(c, "kept.clear()")


def test_many_tasks(c):
    other = start(c, "asynchronous", "1000")
    total = 1004 + (not c.worker.is_older_than(3, 12))
    dump = c.worker.dump_until(lambda dump: "%d more tasks of asyncio are left out" % (total - 200) in dump.remarks)
    assert len(dump.tasks) == 200, len(dump.tasks)
    open_gate(c, "loop", other)
    execute(c, "kept.clear()")


def test_too_much(c):
    execute(c, "name = 'x' * 900\nscope = dict(wait_for_gate=wait_for_gate)\n"
               "exec(compile('def %s(n):\\n    wait_for_gate(\"much\") if not n else %s(n - 1)' % (name, name),"
               " 'y' * 900, 'exec'), scope)\n"
               "kept[:] = [threading.Thread(target=scope[name], args=(250,)) for _ in range(10)]\n"
               "for thread in kept: thread.start()")
    dump = c.worker.dump_until(lambda dump: "the stacks are too long: some are left out" in dump.remarks)
    assert len(dump.text) <= 512 << 10 and len(dump.threads) > 1, (len(dump.text), dump.threads)
    open_gate(c, "much")
    execute(c, "for thread in kept: thread.join()\nkept.clear()")


def test_sigusr2(c):
    other = start(c, "blocked", "signal")
    deadline = time.monotonic() + DEADLINE
    while True:
        os.kill(c.worker.pid, signal.SIGUSR2)
        dump = c.worker.wait_dump()
        assert dump.number == 0 and dump.tier == TIER_GIL
        if dump.find("wait_for_gate"):
            break
        assert time.monotonic() < deadline
    open_gate(c, "signal", other)


def test_lock_cycle(c):
    others = [start(c, "cycle", number) for number in "12"]
    dump = c.worker.dump_until(lambda dump: len(dump.find("take_other")) == 2)
    source = "while not other.acquire(timeout=40 if other is second else 0.01):"
    for thread in dump.find("take_other"):
        assert "cycle" in thread.functions, thread
    assert [frame for thread in dump.find("take_other") for frame in thread.frames if frame[3] == source], dump.threads
    open_gate(c, "cycle", *others)
    execute(c, "both.reset()")


def test_unrest(c):
    """Threads, frames, tasks and modules come and go: any moment will do, and none costs memory."""
    others = [start(c, "busy") for _ in range(2)]
    dumps = int(os.environ.get("PYD_TEST_DUMPS", "300"))

    def burst(count):
        for _ in range(count):
            assert c.worker.dump().tier in (TIER_GIL, TIER_NO_GIL)
        return c.worker.resident_bytes()

    before = burst(dumps // 3)
    after = burst(dumps)
    open_gate(c, "busy", *others)
    assert c.worker.is_sanitized() or after - before < 4 << 20, (before, after)


HALTING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/syscall.h>

extern int PyGILState_Ensure(void);
extern void PyGILState_Release(int);
static __thread int halting;
static sem_t halted, may_go;
static pthread_t thread;

long syscall(long number, ...)
{
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"), a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_gettid && halting) {
        halting = 0;
        sem_post(&halted);
        sem_wait(&may_go);
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void *call(void *unused)
{
    halting = 1;
    PyGILState_Release(PyGILState_Ensure());
    sem_post(&halted);
    return unused;
}

void halt(void)
{
    pthread_create(&thread, NULL, call, NULL);
    sem_wait(&halted);
}

void go_on(void)
{
    sem_post(&may_go);
    pthread_join(thread, NULL);
}
"""


def alone_thread_that_begins(program):
    """It stands still where Python asks for its number: its state is in the list by then, and in 3.11 not complete."""
    source = script_file(HALTING, "halting.c")
    library = source[:-1] + "so"
    subprocess.run(shlex.split(os.environ.get("CC", "cc")) + ["-shared", "-fPIC", "-o", library, source, "-ldl",
                                                              "-lpthread"], check=True)
    env = {"LD_PRELOAD": library,
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "abort_on_error=1") + ":verify_asan_link_order=0"}
    with Worker(program, APPS, [APPS], env=env).wait_ready() as w:
        c = w.connect()
        other = start(c, "blocked", "one")
        w.dump_until(lambda dump: dump.find("wait_for_gate"))
        execute(c, "halting = ctypes.CDLL(%r)\nhalting.halt()" % library)
        locked = "Python's list of threads is locked: only those of requests are told of"
        dump = w.dump_until(lambda dump: dump.tier == TIER_GIL and dump.find("wait_for_gate"))
        assert (locked in dump.remarks) == program.endswith("-3.11"), dump.remarks
        execute(c, "halting.go_on()")
        w.dump_until(lambda dump: dump.tier == TIER_GIL and locked not in dump.remarks)
        open_gate(c, "one", other)
        assert w.stop() == 0


# ---- without the GIL ----

def test_gil_is_held(c):
    others = [start(c, "blocked", "held"), start(c, "blocked", "held")]
    c.worker.dump_until(lambda dump: len(dump.find("wait_for_gate")) == 2)
    holder = start(c, "holds_gil", "3")
    dump = c.worker.dump_until(lambda dump: dump.tier == TIER_NO_GIL)
    assert c.worker.gil_asked_us() > 0
    thread, = dump.find("holds_gil")
    assert thread.name.startswith("pydaemon-") and thread.tid == tids(c.worker)[thread.name], thread
    assert thread.frames[0][:2] == (APPS, line_of("clib.pthread_mutex_timedlock(mutex, until)")), thread
    assert [other.tid for other in dump.threads if other.flags == HOLDS_GIL] == [thread.tid], dump.text
    assert thread.native[0][2].startswith(("libc.", "ld-musl")), thread.native
    assert len(dump.find("wait_for_gate")) == 2, dump.threads
    assert holder.finish().body == b"done"
    open_gate(c, "held", *others)
    assert c.worker.dump_until(lambda dump: dump.tier == TIER_GIL) and not c.worker.gil_asked_us()


def test_gil_is_held_and_no_signals(c):
    holder = start(c, "holds_gil", "3")
    dump = c.worker.dump_until(lambda dump: dump.tier == TIER_NO_GIL, no_signals=True)
    assert not [thread for thread in dump.threads if thread.frames], dump.threads
    assert holder.finish().body == b"done"


def alone_import_hangs(program):
    """It has the GIL like anything else, and loses it."""
    script = script_file("import os, sys, time\nsys.stderr.write('importing\\n')\n"
                         "while not os.path.exists(__file__ + '.go'):\n    time.sleep(0.01)\n"
                         "def application(environ, start_response): pass\n", "hangs.py")
    with Worker(program, script, [script]) as w:
        w.log.wait_for("importing")
        frame = (script, 4, "<module>", "time.sleep(0.01)")
        dump = w.dump_until(lambda dump: [thread for thread in dump.threads if frame in thread.frames])
        assert dump.tier == TIER_GIL and [thread.tid for thread in dump.find("<module>")] == [w.pid], dump.text
        open(script + ".go", "w").close()
        w.wait_ready()
        assert w.stop() == 0


def test_faulthandler_of_the_application(c):
    """It may use it as it likes."""
    execute(c, "file = open(os.devnull, 'w')\nfaulthandler.register(signal.SIGUSR1, file=file, all_threads=True)\n"
               "faulthandler.dump_traceback_later(1000, file=file)\nfaulthandler.dump_traceback(file=file)\n"
               "signal.raise_signal(signal.SIGUSR1)\nfaulthandler.cancel_dump_traceback_later()\n"
               "faulthandler.unregister(signal.SIGUSR1)\nfaulthandler.enable(file=file)\nfaulthandler.disable()")
    holder = start(c, "holds_gil", "3")
    dump = c.worker.dump_until(lambda dump: dump.tier == TIER_NO_GIL)
    assert dump.find("holds_gil"), dump.threads
    assert holder.finish().body == b"done"


# ---- crashes; each of these has a worker of its own ----

def dies(program, how, number):
    with Worker(program, APPS, [APPS]).wait_ready() as w:
        w.connect().start("blocked", query="never")
        w.dump_until(lambda dump: dump.find("wait_for_gate"))
        w.connect().start("crash", query=how)
        sanitized = w.is_sanitized()
        assert w.wait_exit() == -number or sanitized, (w.exit_status, w.log.lines)
        text = w.crash_text()
        assert text.startswith("Fatal Python error: ") and "Current thread 0x" in text, text
        current = text.partition("Current thread 0x")[2].partition("\n\n")[0]
        assert 'File "%s", line ' % APPS in current and " in fall\n" in current and " in crash" in current, text
        assert " in wait_for_gate\n" in text.replace(current, ""), text
        assert not w.log.count("Current thread 0x"), w.log.lines


def alone_segmentation_fault(program):
    dies(program, "SIGSEGV", signal.SIGSEGV)


def alone_bad_address(program):
    dies(program, "read", signal.SIGSEGV)


def alone_abort(program):
    dies(program, "abort", signal.SIGABRT)


def alone_bus_error(program):
    dies(program, "SIGBUS", signal.SIGBUS)


def alone_floating_point_exception(program):
    dies(program, "SIGFPE", signal.SIGFPE)


def alone_illegal_instruction(program):
    dies(program, "SIGILL", signal.SIGILL)


def alone_stack_overflow(program):
    with Worker(program, APPS, [APPS], ["stack-size=1M"]).wait_ready() as w:
        if w.is_sanitized():
            return "SKIP the sanitizer has its own stack for that signal"
        w.connect().start("crash", query="overflow")
        assert w.wait_exit() == -signal.SIGSEGV, (w.exit_status, w.log.lines)
        text = w.crash_text()
        assert text.startswith("Fatal Python error: Segmentation fault") and " in compare\n" in text, text


def alone_crash_at_import(program):
    script = script_file("import ctypes\nctypes.string_at(8)\n")
    with Worker(program, script, [script]) as w:
        w.wait_exit()
        assert w.crash_text().startswith("Fatal Python error: Segmentation fault"), w.log.lines
        assert 'File "%s", line 2 in <module>' % script in w.crash_text(), w.crash_text()


def alone_forked_crash(program):
    """A child's crash is not the worker's: it is told of in the log, and the worker goes on."""
    with Worker(program, APPS, [APPS]).wait_ready() as w:
        c = w.connect()
        sanitized = w.is_sanitized()
        body = c.request("multiprocess_crash").body
        assert body == b"-%d" % signal.SIGSEGV or sanitized, body
        w.log.wait_for("Fatal Python error: Segmentation fault")
        w.log.wait_for("in multiprocess_crash")
        assert w.crash_text() == "" and c.request().body == b"hello"
        c.request("crash", query="fork")
        assert w.crash_text() == "" and w.dump().tier == TIER_GIL
        assert w.stop() == 0


def alone_forked_crash_without_stderr(program):
    with Worker(program, APPS, [APPS]).wait_ready() as w:
        c = w.connect()
        execute(c, "os.close(2)")
        assert c.request("multiprocess_crash").body.startswith(b"-") and w.crash_text() == ""


def alone_crash_descriptor_closed(program):
    """What the application has opened under its number stays as it is in a child."""
    with Worker(program, APPS, [APPS]).wait_ready() as w:
        execute(w.connect(), "_, found = [fd for fd in range(3, 30) if os.path.islink('/proc/self/fd/%d' % fd)"
                " and 'memfd:status' in os.readlink('/proc/self/fd/%d' % fd)]\n"
                "inner, outer = os.pipe()\nos.dup2(outer, found)\npid = os.fork()\n"
                "if not pid:\n    os.write(found, b'mine')\n    os._exit(0)\n"
                "os.waitpid(pid, 0)\nassert os.read(inner, 4) == b'mine'")


def alone_faulthandler_enabled_by_the_application(program):
    with Worker(program, APPS, [APPS]).wait_ready() as w:
        c = w.connect()
        execute(c, "faulthandler.enable()")
        w.connect().start("crash", query="SIGSEGV")
        w.wait_exit()
        assert w.log.count("Fatal Python error: Segmentation fault") == 1 and w.crash_text() == "", w.log.lines


def alone_without_faulthandler(program):
    directory = os.path.dirname(script_file("import sys\nsys.modules['faulthandler'] = None\n", "sitecustomize.py"))
    script = script_file("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n")
    with Worker(program, script, [script], env={"PYTHONPATH": directory}).wait_ready() as w:
        assert w.log.wait_for("PYD1017") == driver.LEVEL_WARNING
        assert w.connect().request().body == b"hello"


def alone_runtime_is_the_librarys(program):
    """Copied into the program, with the size of today, it would be overrun by that of a later library."""
    relocations = subprocess.run(["readelf", "-rW", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "PyTuple_Type" in relocations or "PyTuple_New" in relocations, relocations
    assert not [line for line in relocations.splitlines() if "_COPY" in line and "_PyRuntime" in line]


def alone_dump_while_importing(program):
    """There is no watch thread yet: the stacks come without the lock."""
    script = script_file("import ctypes\nprint('importing')\nctypes.PyDLL(None).sleep(2)\n"
                         "def application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n")
    with Worker(program, script, [script]) as w:
        w.log.wait_for("importing")
        dump = w.dump_until(lambda dump: (script, 3) in [frame[:2] for thread in dump.threads for frame in thread.frames])
        assert dump.tier == TIER_NO_GIL, dump.tier
        w.wait_ready()


def alone_exit_handler_that_hangs(program):
    script = script_file("import atexit, threading\nheld = threading.Event()\n"
                         "def hang():\n    held.wait(40)\natexit.register(hang)\n"
                         "def application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n")
    with Worker(program, script, [script], ["shutdown-timeout=30"]).wait_ready() as w:
        w.control.send(b"s")
        dump = w.dump_until(lambda dump: dump.find("hang"))
        thread, = dump.find("hang")
        assert (thread.tid, thread.name) == (w.pid, "MainThread"), thread
        os.kill(w.pid, signal.SIGKILL)
        w.wait_exit()


if __name__ == "__main__":
    sys.exit(driver.main(globals(), APPS))
