# SPDX-License-Identifier: Apache-2.0
"""Plays httpd and its manager for one worker program: descriptors and frames as include/pyd_manager.h and pyd_wire.h say."""
import atexit
import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import termios
import threading
import time
import traceback

HELLO, CONST, REQUEST, BODY_FAIL, BODY, READ, EARLY, HEAD, LOG, END, FAIL, REFUSE = range(1, 13)
HAS_BODY, INLINE, MULTIPROCESS = 1, 2, 4
FAIL_EXCEPTION, FAIL_PROTOCOL, FAIL_LOAD = range(3)
LEVEL_ERR, LEVEL_WARNING, LEVEL_NOTICE = 3, 4, 5
DEADLINE = 30.0
SANITIZERS = ("ASAN_OPTIONS", "UBSAN_OPTIONS")
TIER_GIL, TIER_NO_GIL = 1, 2
HOLDS_GIL = 1
# include/pyd_status.h, of a group with one slot: its record is below 64 KiB, where the areas begin.
AREA_AT, AREA_BYTES, TEXT_AT, CRASH_AT = 1 << 16, 16 << 20, 4096, 1 << 20


def encode_str(text):
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return struct.pack(">I", len(data)) + data


def encode_pairs(pairs):
    return struct.pack(">I", len(pairs)) + b"".join(encode_str(name) + encode_str(value) for name, value in pairs)


def frame(kind, payload=b"", flags=0):
    return struct.pack(">IBBH", len(payload), kind, flags, 0) + payload


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, code):
        value, = struct.unpack_from(">" + code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def text(self):
        size = self.number("I")
        self.at += size
        return self.data[self.at - size:self.at].decode("latin-1")

    def pairs(self):
        return [(self.text(), self.text()) for _ in range(self.number("I"))]


class Response:
    """What came back for one request."""

    def __init__(self):
        self.status = self.reason = self.end = self.fail = self.rule = None
        self.headers, self.pieces, self.logs, self.early, self.frames = [], [], [], [], []
        self.sends = 0  # recv() calls it took

    body = property(lambda self: b"".join(self.pieces))
    log = property(lambda self: "\n".join(text for _, text in self.logs))

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None

    def take(self, kind, payload):
        reader = Reader(payload)
        self.frames.append(kind)
        if kind == HEAD:
            self.status, self.reason, self.headers = reader.number("H"), reader.text(), reader.pairs()
        elif kind == BODY:
            self.pieces.append(payload)
        elif kind == LOG:
            self.logs.append((payload[0], payload[1:].decode()))
        elif kind == EARLY:
            self.early.append(reader.pairs())
        elif kind == END:
            self.end = "cut" if reader.number("B") else "ok"
        elif kind == FAIL:
            self.fail, self.rule = reader.number("B"), reader.text()
        elif kind == REFUSE:
            self.end = "refused"
        return kind in (END, FAIL, REFUSE)


class Connection:
    """One pooled connection; a request at a time."""

    def __init__(self, worker):
        self.worker, self.buffer, self.at, self.sets, self.sends, self.claim = worker, b"", 0, {}, 0, None
        self.socket, other = socket.socketpair()
        self.socket.settimeout(DEADLINE)
        self.socket.sendall(frame(HELLO, struct.pack(">III", 1, 1, worker.epoch)))
        socket.send_fds(worker.rendezvous, [b"c"], [other.fileno()])
        other.close()

    def close(self):
        self.socket.close()

    def const_id(self, target, callable_name, pairs):
        key = (target, callable_name, tuple(pairs))
        if key not in self.sets:
            self.sets[key] = len(self.sets) % 8
            self.sets = {k: v for k, v in self.sets.items() if v != self.sets[key] or k == key}
            self.socket.sendall(frame(CONST, struct.pack(">H", self.sets[key]) + encode_str(target) +
                                      encode_str(callable_name) + encode_pairs(pairs)))
        return self.sets[key]

    def start(self, callable_name="application", method="GET", body=None, inline=False, target=None, path="/",
              query="", pairs=(), content_bytes=None, flags=0):
        const = self.const_id(target or self.worker.script, callable_name,
                              [("SERVER_NAME", "localhost"), ("SERVER_PORT", "80"), ("SCRIPT_NAME", ""),
                               ("SERVER_PROTOCOL", "HTTP/1.1"), ("wsgi.url_scheme", "http")])
        if body is not None:
            flags |= HAS_BODY | (INLINE if inline else 0)
            content_bytes = len(body) if content_bytes is None else content_bytes
        length = [("CONTENT_LENGTH", str(content_bytes))] if content_bytes not in (None, -1) else []
        every = [("REQUEST_METHOD", method), ("REQUEST_URI", path), ("PATH_INFO", path), ("QUERY_STRING", query),
                 ("HTTP_HOST", "localhost"), ("pydaemon.request_id", "WxYz")] + length + list(pairs)
        self.worker.seq += 1
        if self.claim is None and self.worker.claims: # of two requests on one claim, the older one may be refused
            self.claim = self.worker.claims.pop()
        payload = struct.pack(">IQHBqQQ", self.claim or 0, self.worker.seq, const, flags,
                              -1 if content_bytes is None else content_bytes, 1500000, 2500000) + encode_pairs(every)
        self.socket.sendall(frame(REQUEST, payload + (body if inline else b"")))
        self.body, self.body_at, self.sends = (body or b""), 0, 0

    def receive(self, size):
        while len(self.buffer) - self.at < size:
            data = self.socket.recv(1 << 18)
            self.sends += 1
            if not data:
                raise EOFError("the worker closed the connection")
            self.buffer, self.at = self.buffer[self.at:] + data, 0
        self.at += size
        return self.buffer[self.at - size:self.at]

    def next_frame(self):
        size, kind, _, _ = struct.unpack(">IBBH", self.receive(8))
        return kind, self.receive(size)

    def answer_read(self, payload, largest=1 << 16):
        wanted = min(struct.unpack(">I", payload)[0], largest)
        piece = self.body[self.body_at:self.body_at + wanted]
        self.body_at += len(piece)
        self.socket.sendall(frame(BODY, piece, 1 if self.body_at == len(self.body) else 0))

    def finish(self, response=None, fail_status=None, largest=1 << 16):
        """Relay until the response has ended."""
        response = response or Response()
        while True:
            kind, payload = self.next_frame()
            if response.take(kind, payload):
                response.sends = self.sends
                if self.claim is not None:
                    self.worker.claims.append(self.claim)
                self.claim = None
                return response
            if kind == READ and fail_status is not None:
                self.socket.sendall(frame(BODY_FAIL, struct.pack(">H", fail_status)))
            elif kind == READ:
                self.answer_read(payload, largest)

    def request(self, callable_name="application", fail_status=None, largest=1 << 16, **options):
        self.start(callable_name, **options)
        return self.finish(fail_status=fail_status, largest=largest)


class LogPipe(threading.Thread):
    """Collects what the worker writes to its log pipe: (level, text), level None for raw output."""

    def __init__(self):
        super().__init__(daemon=True)
        self.read_fd, self.write_fd = os.pipe()
        self.lines, self.longest, self.changed = [], 0, threading.Condition()
        self.open = threading.Event()
        self.open.set()
        self.start()

    def run(self):
        rest = b""
        while True:
            self.open.wait()
            data = os.read(self.read_fd, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            with self.changed:
                for line in lines:
                    self.longest = max(self.longest, len(line) + 1)
                    tagged = line[:1] == b"\x01"
                    self.lines.append((line[1] - 48, line[2:].decode()) if tagged else (None, line.decode("latin-1")))
                self.changed.notify_all()

    @contextlib.contextmanager
    def unread(self):
        """A reader that does not come: one read at most may still be under way."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    def wait_full(self):
        """Until there is no room for another line of some 100 bytes."""
        deadline = time.monotonic() + DEADLINE
        while struct.unpack("i", fcntl.ioctl(self.read_fd, termios.FIONREAD, b"    "))[0] < 60000:
            if time.monotonic() > deadline:
                raise AssertionError("the log pipe does not get full")
            time.sleep(0.001)

    def wait_for(self, text):
        """The level of the first line with text in it."""
        with self.changed:
            found = self.changed.wait_for(lambda: [line for line in self.lines if text in line[1]], DEADLINE)
        if not found:
            raise AssertionError("no line with %r in %r" % (text, self.lines))
        return found[0][0]

    def count(self, text):
        with self.changed:
            return sum(text in line[1] for line in self.lines)


class Stack:
    """A thread or a task of a dump."""

    def __init__(self, name, tid=None, flags=0):
        self.name, self.tid, self.flags, self.frames, self.native, self.remarks = name, tid, flags, [], [], []

    functions = property(lambda self: [function for _, _, function, _ in self.frames])

    def __repr__(self):
        return "%s %r: %r" % (self.tid, self.name, self.frames + self.native + self.remarks)


class Dump:
    """What include/pyd_dump.h describes."""

    def __init__(self, epoch, number, tier, text):
        self.epoch, self.number, self.tier = epoch, number, tier
        self.threads, self.tasks, self.remarks, self.left_out, self.text = [], [], [], 0, text
        last = None
        for line in text.decode("utf-8", "surrogateescape").split("\n")[:-1]:
            kind, _, rest = line.partition("\t")
            fields = rest.split("\t")
            if kind == "T":
                last = Stack(fields[2], int(fields[0]), int(fields[1]))
                self.threads.append(last)
            elif kind == "A":
                last = Stack(fields[0])
                self.tasks.append(last)
            elif kind == "F":
                last.frames.append((fields[0], int(fields[1]), fields[2], fields[3]))
            elif kind == "N":
                last.native.append(tuple(fields))
            elif kind == "X":
                (last.remarks if last else self.remarks).append(rest)
            elif kind == "E":
                self.left_out = int(rest)
            else:
                raise AssertionError("bad line %r" % line)

    def find(self, function):
        """The threads that are in it."""
        return [thread for thread in self.threads if function in thread.functions]

    def task(self, name):
        found = [task for task in self.tasks if task.name == name]
        return found[0] if found else None


class Worker:
    """A worker program with the descriptors its manager would give it."""
    epoch = 7

    def __init__(self, program, script="", apps=(), options=(), threads=4, env=None, cwd="/"):
        self.program, self.script, self.seq, self.log, self.connections, self.dumps = program, script, 0, LogPipe(), [], 0
        self.claims = list(range(threads))
        self.rendezvous, rendezvous = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        rendezvous.setblocking(False)
        self.status = os.memfd_create("status")
        os.ftruncate(self.status, AREA_AT + AREA_BYTES)
        lock, job = os.memfd_create("lock"), os.memfd_create("job")
        lifeline, lifeline_write = os.pipe()
        lines = [".generation=1", ".group=0", ".slot=0", ".slots=1", ".threads=%d" % threads,
                 ".epoch=%d" % self.epoch, ".number=1", ".name=blog", "threads=%d" % threads]
        lines += list(options) + [".app=%s" % (app if "\t" in app else app + "\tapplication") for app in apps]
        os.write(job, ("\n".join(lines) + "\n").encode())
        self.lifeline = lifeline_write
        given = [rendezvous.fileno(), self.status, control.fileno(), lifeline, lock, job]
        self.pid = self.spawn(program, given, env or {}, cwd)
        self.exit_status = None
        for fd in (lifeline, lock, job, self.log.write_fd):
            os.close(fd)
        rendezvous.close()
        control.close()

    def spawn(self, program, given, env, cwd):
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_DUP2, self.log.write_fd, 1), (os.POSIX_SPAWN_DUP2, self.log.write_fd, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, 3 + i) for i, fd in enumerate(high)]
        before = os.getcwd()
        os.chdir(cwd)
        try:
            inherited = {key: os.environ[key] for key in ("PATH", "PYTHONMALLOC") + SANITIZERS
                         if key in os.environ}
            return os.posix_spawn(program, [program], dict(inherited, HOME=cwd, **env), file_actions=actions)
        finally:
            os.chdir(before)
            for fd in high:
                os.close(fd)

    def state(self):
        """(epoch, state, finished requests) as its status says; states as in pyd_board.h."""
        return struct.unpack("=IIQ", os.pread(self.status, 16, 0))

    def gil_asked_us(self):
        """Since when its watch thread waits for the GIL; 0: it does not."""
        return struct.unpack("=q", os.pread(self.status, 8, 24))[0]

    def wait_control(self, deadline):
        """What it says on its control socket: b"l": the status has changed, b"D": there is a dump; b"": it has ended."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.control], [], [], left)[0]:
            raise AssertionError("the worker says nothing: %r" % self.log.lines)
        return self.control.recv(16)

    def wait_ready(self):
        deadline = time.monotonic() + DEADLINE
        while self.state()[1] != 2:
            if not self.wait_control(deadline):
                raise AssertionError("not ready: %r" % self.log.lines)
        return self

    def ask_dump(self, tid=0, no_signals=False):
        self.dumps += 1
        self.control.send(struct.pack("=c?xxIi", b"d", no_signals, self.dumps, tid))

    def wait_dump(self):
        deadline = time.monotonic() + DEADLINE
        while True:
            said = self.wait_control(deadline)
            if said == b"D":
                break
            if not said:
                raise AssertionError("ended: %r" % self.log.lines)
        epoch, number, tier, size = struct.unpack("=IIII", os.pread(self.status, 16, AREA_AT))
        return Dump(epoch, number, tier, os.pread(self.status, size, AREA_AT + TEXT_AT))

    def dump(self, **options):
        """Ask for the stacks and wait for them."""
        self.ask_dump(**options)
        dump = self.wait_dump()
        assert (dump.epoch, dump.number) == (self.epoch, self.dumps), (dump.epoch, dump.number)
        return dump

    def dump_until(self, condition, **options):
        """Until what is to be seen in it has come about. @return the dump"""
        deadline = time.monotonic() + DEADLINE
        while True:
            dump = self.dump(**options)
            if condition(dump):
                return dump
            assert time.monotonic() < deadline, dump.text.decode("utf-8", "backslashreplace")

    def crash_text(self):
        return os.pread(self.status, 1 << 20, AREA_AT + CRASH_AT).partition(b"\0")[0].decode()

    def connect(self):
        connection = Connection(self)
        self.connections.append(connection)
        return connection

    def wait_exit(self):
        if self.exit_status is None:
            pidfd = os.pidfd_open(self.pid)
            ended = select.select([pidfd], [], [], DEADLINE)[0]
            os.close(pidfd)
            if not ended:
                os.kill(self.pid, signal.SIGKILL)
            status = os.waitpid(self.pid, 0)[1]
            self.exit_status = os.waitstatus_to_exitcode(status)
            self.log.join(DEADLINE)
        return self.exit_status

    def stop(self):
        with contextlib.suppress(OSError):
            self.control.send(b"s")
        return self.wait_exit()

    def is_older_than(self, *version):
        return tuple(int(part) for part in self.program.rpartition("-")[2].split(".")) < version

    def is_sanitized(self):
        """AddressSanitizer keeps what is freed for a while: its memory says nothing."""
        with open(self.program, "rb") as program:
            return b"__asan_init" in program.read()

    def resident_bytes(self):
        with open("/proc/%d/statm" % self.pid) as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.exit_status is None:
            self.stop()
        for connection in self.connections:
            connection.close()


def script_file(text, name="wsgi.py"):
    """A directory with one script in it. @return its path"""
    directory = tempfile.mkdtemp(prefix="pyd-wsgi-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = os.path.join(directory, name)
    with open(path, "w") as script:
        script.write(text)
    return path


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def run(self, name, function, *arguments):
        self.number += 1
        try:
            directive = function(*arguments)
            print("ok %d - %s%s" % (self.number, name, " # " + directive if directive else ""), flush=True)
        except Exception:
            self.failed = 1
            print("not ok %d - %s" % (self.number, name))
            print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), flush=True)


def check_end(worker):
    assert worker.stop() == 0, worker.exit_status


def run_worker(tap, program, cases, apps):
    label = os.path.basename(program)[len("pydaemon-worker-"):]
    shared = [(name, function) for name, function in cases if name.startswith("test_")]
    with contextlib.ExitStack() as stack:
        if shared:
            worker = stack.enter_context(Worker(program, apps, [apps], [".home-dir=/"])).wait_ready()
        for name, function in shared:
            tap.run("%s %s" % (label, name[5:]), function, worker.connect())
        if shared:
            tap.run("%s exit status" % label, check_end, worker)
    for name, function in cases:
        if name.startswith("alone_"):
            tap.run("%s %s" % (label, name[6:]), function, program)


def main(namespace, apps):
    """Run test_*(connection), which share a worker, and alone_*(program). @return the exit status"""
    programs = [argument for argument in sys.argv[1:] if "/" in argument] or os.environ["PYDAEMON_WORKERS"].split()
    wanted = [argument for argument in sys.argv[1:] if "/" not in argument] or [""]
    cases = [(name, value) for name, value in namespace.items() if any(text in name for text in wanted)]
    tap = Tap()
    for program in programs:
        run_worker(tap, os.path.abspath(program), cases, apps)
    print("1..%d" % tap.number)
    return tap.failed
