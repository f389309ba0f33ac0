# SPDX-License-Identifier: Apache-2.0
"""WSGI applications for test_wsgi.py: each of them keeps, or breaks, one rule of PEP 3333."""
import contextlib
import gc
import io
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import wsgiref.validate

TEXT = [("Content-Type", "text/plain")]
closed = []
kept = {}


class Body:
    """An iterable that counts what is done to it."""

    def __init__(self, items, fail_at=None, fail_close=False):
        self.items, self.fail_at, self.fail_close, self.at = list(items), fail_at, fail_close, 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.at == self.fail_at:
            raise ValueError("half-way")
        if self.at == len(self.items):
            raise StopIteration
        self.at += 1
        return self.items[self.at - 1]

    def close(self):
        closed.append(self)
        if self.fail_close:
            raise RuntimeError("close failed")


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return True


def application(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]


def closed_count(environ, start_response):
    start_response("200 OK", TEXT)
    count = len(closed)
    closed.clear()
    return [b"%d" % count]


def environment(environ, start_response):
    plain = {key: value for key, value in environ.items() if isinstance(value, (str, bool, float, tuple))}
    assert type(environ) is dict
    start_response("200 OK", TEXT)
    return [repr(plain).encode("ascii", "backslashreplace")]


def evaluate(environ, start_response):
    """The value of the expression in QUERY_STRING."""
    value = eval(environ["QUERY_STRING"], globals(), {"environ": environ, "start_response": start_response})
    start_response("200 OK", TEXT)
    return [repr(value).encode()]


def status_and_headers(environ, start_response):
    """start_response(*QUERY_STRING)"""
    start_response(*eval(environ["QUERY_STRING"], globals()))
    return [b"x"]


def returns(environ, start_response):
    """return QUERY_STRING, evaluated"""
    start_response("200 OK", TEXT)
    return eval(environ["QUERY_STRING"], globals(), {"environ": environ})


def status_and_body(environ, start_response):
    """QUERY_STRING is headers, body"""
    headers, body = eval(environ["QUERY_STRING"], globals())
    start_response("200 OK", headers)
    return body


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b""
    yield b"one"
    environ["wsgi.input"].read(1)
    yield b"two"


def late_start(environ, start_response):
    yield b""
    start_response("201 Created", TEXT)
    yield b"late"


def writer(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"")
    write(b"a")
    write(b"b")
    return [b"c"]


def write_str(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


def write_too_much(environ, start_response):
    write = start_response("200 OK", TEXT + [("Content-Length", "3")])
    write(b"abc")
    write(b"def")
    return []


def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"x"]


def twice_caught(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        start_response("404 Not Found", TEXT)
    except AssertionError as error:
        return [type(error).__name__.encode()]
    return [b"no error"]


def replaced(environ, start_response):
    start_response("200 OK", TEXT + [("X-Old", "1")])
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("500 Oops", [("X-New", "1")], sys.exc_info())
    return [b"error page"]


def replaced_too_late(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"begun")
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("500 Oops", TEXT, sys.exc_info())
    return [b"never"]


def no_start(environ, start_response):
    return [b"x"]


def no_start_empty(environ, start_response):
    return []


def raises(environ, start_response):
    raise {"exit": SystemExit(3), "keyboard": KeyboardInterrupt(), "": ValueError("früh")}[environ["QUERY_STRING"]]


class BadException(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raises_bad(environ, start_response):
    raise BadException


async def asynchronous(environ, start_response):
    return [b"x"]


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT + [("X-Size", str(len(body)))])
    return [body]


def echo_pieces(environ, start_response):
    start_response("200 OK", TEXT)
    return iter(lambda: environ["wsgi.input"].read(1000), b"")


def reads(environ, start_response):
    """A list of calls on wsgi.input: QUERY_STRING is like "read(3); readline(); list()"."""
    source = environ["wsgi.input"]
    results = [eval("list(source)" if call == "list()" else "source." + call, {"source": source})
               for call in environ["QUERY_STRING"].split("; ")]
    start_response("200 OK", TEXT)
    return [repr(results).encode()]


def read_fails(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        start_response("200 OK", TEXT)
        return [repr(error).encode()]


def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("one\ntwo")
    stream.write(" halves\n")
    stream.writelines(["a\n", "b\n"])
    print("printed", file=stream)
    stream.buffer.write(b"bytes\n")
    stream.write("sürrogate \udcff\n")
    stream.write("unfinished")
    assert isinstance(stream, io.TextIOBase) and stream.encoding == "utf-8"
    start_response("200 OK", TEXT)
    return [b"x"]


def errors_bad(environ, start_response):
    environ["wsgi.errors"].write(b"bytes")


def errors_keep(environ, start_response):
    kept.update(errors=environ["wsgi.errors"], input=environ["wsgi.input"], write=start_response("200 OK", TEXT),
                start=start_response, hints=environ["pydaemon.early_hints"],
                disconnected=environ["pydaemon.disconnected"])
    return [b"x"]


def errors_kept(environ, start_response):
    """Objects of a request that has ended: errors, but no crash."""
    kept["errors"].write("after the end\n")
    outcomes = [kept["disconnected"]()]
    for call in (lambda: kept["input"].read(), lambda: kept["write"](b"x"), lambda: kept["start"]("200 OK", TEXT, (
            ValueError, ValueError(), None)), lambda: kept["hints"]([])):
        try:
            call()
            outcomes.append(None)
        except Exception as error:
            outcomes.append(type(error).__name__)
    start_response("200 OK", TEXT)
    return [repr(outcomes).encode()]


def output(environ, start_response):
    print("on", "stdout")
    print("on stderr", file=sys.stderr)
    sys.stderr.buffer.write(b"raw bytes\n")
    os.write(1, b"C code\n")
    print("x" * 9000)
    print("surrogate \udc80")
    assert isinstance(sys.stdout, io.TextIOBase) and sys.stdout.fileno() == 1 and not sys.stdout.isatty()
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write("half a ")
    sys.stdout.write("line")
    start_response("200 OK", TEXT)
    return [b"x"]


def output_threads(environ, start_response):
    def work(number):
        for _ in range(200):
            for piece in ("thread ", str(number), " is ", "whole", "\n"):
                sys.stdout.write(piece)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    start_response("200 OK", TEXT)
    return [b"x"]


def hints(environ, start_response):
    environ["pydaemon.early_hints"]([("Link", "</style.css>; rel=preload")])
    start_response("200 OK", TEXT)
    return [b"x"]


def hints_late(environ, start_response):
    start_response("200 OK", TEXT)(b"begun")
    environ["pydaemon.early_hints"]([("Link", "</style.css>")])
    return []


def waits_for_disconnect(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun"
    wait_until(environ["pydaemon.disconnected"])
    kept["seen"] = True
    yield b"never"


def endless(environ, start_response):
    start_response("200 OK", TEXT)
    return Body([b"x" * 65536] * 10000)


def other_thread(environ, start_response):
    """Django's async views read the body, and log, in a thread of their own while this one waits."""
    result = []

    def work():
        environ["wsgi.errors"].write("from another thread\n")
        result.append(environ["wsgi.input"].read())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    start_response("200 OK", TEXT)
    return result


def left_reading(environ, start_response):
    """A thread still reads when the request is over."""
    def read():
        with contextlib.suppress(OSError):
            environ["wsgi.input"].read()

    threading.Thread(target=read, daemon=True).start()
    start_response("200 OK", TEXT)
    return [b"x"]


def crowded(environ, start_response):
    """Other threads use every object of the request while its own sends, and do not stop when it ends."""
    write = start_response("200 OK", TEXT)
    threads = []

    def hammer(number):
        try:
            while not environ["pydaemon.disconnected"]():
                environ["wsgi.errors"].write("crowd %d\n" % number)
                if number % 2:
                    write(b"w" * 3000)
                else:
                    environ["wsgi.input"].read(100)
        except (OSError, RuntimeError):
            pass

    def body():
        for _ in range(20):
            yield b"i" * 30000
        kept["crowd"] = threads

    threads += [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    return body()


def crowd_left(environ, start_response):
    for thread in kept.pop("crowd"):
        thread.join()
    start_response("200 OK", TEXT)
    return [b"gone"]


def read_in_a_thread(environ, then):
    """then(body) is called in a thread that is in the exchange until the client has sent the four bytes of the body."""
    thread = threading.Thread(target=lambda: then(environ["wsgi.input"].read(4)))
    thread.start()
    return thread


def replaced_while_sent(environ, start_response):
    """Another thread changes status and headers while the first item waits for its turn."""
    def replace(_):
        with contextlib.suppress(KeyError):  # raised again if the head has been sent
            try:
                raise KeyError
            except KeyError:
                start_response("500 " + "N" * 300, [("X-Head", "new")], sys.exc_info())
        kept["junk"] = [("Z%03d" % number) * 88 for number in range(2000)]  # where the old status was

    start_response("200 " + "O" * 300, [("X-Head", "old")])
    thread = read_in_a_thread(environ, replace)
    wait_until(lambda: kept.pop("go", None))
    kept["waits"] = True
    yield b"item"
    thread.join()


def length_shared(environ, start_response):
    """Two threads that wait for their turn have a body for the same Content-Length each."""
    write = start_response("200 OK", [("Content-Length", "100001")])
    write(b"x")
    reader = read_in_a_thread(environ, lambda body: None)
    wait_until(lambda: kept.pop("go", None))

    def second():
        with contextlib.suppress(AssertionError):
            kept["second"] = True
            write(b"w" * 100000)

    writer_thread = threading.Thread(target=second)
    writer_thread.start()
    wait_until(lambda: kept.pop("second", None))
    kept["waits"] = True
    yield b"i" * 100000
    reader.join()
    writer_thread.join()


def throw(error):
    raise error


class Forking:
    """Forks in one of its methods, or in none. What the child then does there is an expression."""

    def __init__(self, where, expression):
        self.where, self.expression, self.left = where, expression, [b"parent"]

    def fork(self, where):
        if where != self.where:
            return
        pid = os.fork()
        if pid:
            kept["status"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            return
        signal.alarm(20)
        self.left = [b"child"] * 3
        sys.stdout.write("half a line of %s" % where)
        eval(self.expression)

    def __iter__(self):
        self.fork("iter")
        return self

    def __next__(self):
        self.fork("step" if self.left else "end")
        if not self.left:
            raise StopIteration
        return self.left.pop()

    def close(self):
        self.fork("close")


def forks(environ, start_response):
    """A child comes back where, and with what, QUERY_STRING says."""
    body = Forking(*environ["QUERY_STRING"].split(" ", 1))
    body.fork("call")
    start_response("200 OK", TEXT)
    return body


def error_of(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__


def fork_uses_request(environ, start_response):
    """A child uses the objects of its parent's request; with a QUERY_STRING while a thread of the parent does."""
    write = start_response("200 OK", TEXT)
    reader = read_in_a_thread(environ, lambda body: None) if environ["QUERY_STRING"] else None
    wait_until(lambda: not reader or kept.pop("go", None))
    receive, send = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        environ["wsgi.errors"].write("written by the child %s\n" % environ["QUERY_STRING"])
        environ["wsgi.errors"].flush()
        outcomes = [error_of(environ["wsgi.input"].read), error_of(environ["wsgi.input"].readline),
                    error_of(write, b"child"), error_of(environ["pydaemon.early_hints"], []),
                    environ["pydaemon.disconnected"]()]
        os.write(send, repr(outcomes).encode())
        os._exit(0)
    os.close(send)
    outcomes = os.read(receive, 1000)
    os.close(receive)
    kept["waits"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    yield outcomes
    if reader:
        reader.join()


def multiprocess(environ, start_response):
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def work():
        environ["wsgi.errors"].write("written by a process\n")
        send.send(6 * 7)

    process = context.Process(target=work)
    process.start()
    result = receive.recv()
    process.join()
    start_response("200 OK", TEXT)
    return [b"%d %d" % (result, process.exitcode)]


def flood_late(environ, start_response):
    """A thread writes to wsgi.errors when the request is over: to the log pipe, more than fits there."""
    def flood():
        for number in range(2500):  # the driver may still read once what fits
            environ["wsgi.errors"].write("flood %4d %s\n" % (number, "f" * 90))

    kept["flood"] = threading.Thread(target=flood, daemon=True)
    start_response("200 OK", TEXT)
    return [b"x"]


def big(environ, start_response):
    start_response("200 OK", TEXT)
    return [bytes(bytearray(range(256))) * (int(environ["QUERY_STRING"]) // 256)]


def temporary(content, offset=0):
    stream = tempfile.TemporaryFile()
    stream.write(content)
    stream.seek(offset)
    return stream


def file_wrapper(environ, start_response):
    """QUERY_STRING evaluates to (file, headers)."""
    stream, headers = eval(environ["QUERY_STRING"], globals())
    start_response("200 OK", TEXT + headers)
    kept["file"] = stream
    return environ["wsgi.file_wrapper"](stream, 1024)


def file_closed(environ, start_response):
    start_response("200 OK", TEXT)
    return [repr(kept.pop("file").closed).encode()]


def counters(environ, start_response):
    gc.collect()
    start_response("200 OK", TEXT)
    return [b"%d" % len(gc.get_objects())]


@wsgiref.validate.validator
def validated(environ, start_response):
    size = int(environ.get("CONTENT_LENGTH") or 0)
    lines = [environ["wsgi.input"].readline(), environ["wsgi.input"].read(size)] if size else []
    environ["wsgi.errors"].write("validated\n")
    environ["wsgi.errors"].flush()
    start_response("200 OK", TEXT)
    return lines or [b"valid"]
