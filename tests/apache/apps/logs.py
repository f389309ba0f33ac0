# SPDX-License-Identifier: Apache-2.0
"""Writes TOKEN (the query string) to where the path says, in each of the ways in which applications write."""
import ctypes
import logging
import os
import subprocess
import sys
import threading

FLOOD_THREADS, FLOOD_LINES = 20, 40
libc = ctypes.CDLL(None)
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter("%(levelname)s from %(name)s: %(message)s"))
log = logging.getLogger("shop")
log.addHandler(handler)


def text_of(thread, number):
    """Line `number` of a thread of the flood: its length is 1 to 5000 bytes beside a head and an end."""
    size = (thread * 7919 + number * 1231) % 5000 + 1
    return "flood %d/%d %s;" % (thread, number, chr(ord("a") + thread) * size)


def flood(write):
    start = threading.Barrier(FLOOD_THREADS)

    def run(thread):
        start.wait()
        for number in range(FLOOD_LINES):
            write(text_of(thread, number))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(FLOOD_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def pieces(stream, token):
    """A line in many writes, as print(a, b, sep=...) makes it."""
    for piece in (token, " in ", "pie", "ces", "\n"):
        stream.write(piece)


def long_line(token):
    return token + " " + "x" * 20000 + " end of " + token


def c_stdout(token):
    libc.printf(b"%s\n", token.encode())
    libc.fflush(None)


def from_thread(environ, token):
    thread = threading.Thread(target=lambda: print(token, file=environ["wsgi.errors"]))
    thread.start()
    thread.join()


def unraisable(token):
    class Broken:
        def __del__(self):
            raise RuntimeError(token)

    Broken()


def thread_dies(token):
    def run():
        raise RuntimeError(token)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def late(environ, token):
    """wsgi.errors after the request's end."""
    errors = environ["wsgi.errors"]
    threading.Timer(0.2, lambda: print(token, file=errors)).start()


WAYS = {
    "stdout": lambda environ, token: print(token),
    "stdout-flushed": lambda environ, token: print(token, flush=True),
    "stdout-unfinished": lambda environ, token: print(token, end=""),
    "stdout-pieces": lambda environ, token: pieces(sys.stdout, token),
    "stdout-buffer": lambda environ, token: sys.stdout.buffer.write(token.encode() + b"\n"),
    "stderr": lambda environ, token: print(token, file=sys.stderr),
    "stderr-pieces": lambda environ, token: pieces(sys.stderr, token),
    "errors": lambda environ, token: print(token, file=environ["wsgi.errors"]),
    "errors-unfinished": lambda environ, token: environ["wsgi.errors"].write(token),
    "errors-pieces": lambda environ, token: pieces(environ["wsgi.errors"], token),
    "errors-thread": from_thread,
    "errors-late": late,
    "errors-long": lambda environ, token: print(long_line(token), file=environ["wsgi.errors"]),
    "errors-late-long": lambda environ, token: late(environ, long_line(token)),
    "stdout-long": lambda environ, token: print(long_line(token)),
    "errors-nul": lambda environ, token: print("\0before " + token + " after\0", file=environ["wsgi.errors"]),
    "errors-bytes": lambda environ, token: environ["wsgi.errors"].buffer.write(
        b"\x1b[31m\xff\xfe " + token.encode() + b"\r\x01 end\n"),
    "logging": lambda environ, token: log.warning("%s", token),
    "fd1": lambda environ, token: os.write(1, token.encode() + b"\n"),
    "fd2": lambda environ, token: os.write(2, token.encode() + b"\n"),
    "fd1-unfinished": lambda environ, token: os.write(1, token.encode()),
    "c-stdout": lambda environ, token: c_stdout(token),
    "child-stdout": lambda environ, token: subprocess.run(["echo", token], check=True),
    "child-stderr": lambda environ, token: subprocess.run(["sh", "-c", 'echo "$0" >&2', token], check=True),
    "fork": lambda environ, token: os.waitpid(os.fork() or (print(token, flush=True), os._exit(0)), 0),
    "bytes": lambda environ, token: os.write(2, b"\x1b[31m\xff\xfe " + token.encode() + b"\r\x00 end\n"),
    "surrogate": lambda environ, token: print(token + " \udcff end"),
    "latin": lambda environ, token: print(token + " na\u00efve \u20ac end"),
    "unraisable": lambda environ, token: unraisable(token),
    "thread-dies": lambda environ, token: thread_dies(token),
    "flood-stdout": lambda environ, token: flood(print),
    "flood-errors": lambda environ, token: [environ["wsgi.errors"].write(text_of(0, i) + "\n") for i in range(40)],
}


def application(environ, start_response):
    WAYS[environ["PATH_INFO"][1:]](environ, environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"done\n"]
