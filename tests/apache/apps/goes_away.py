# SPDX-License-Identifier: Apache-2.0
"""For clients that go away. The path names what to do, the query a key; "/seen?KEY" tells what the application saw.

/waits    works until environ['pydaemon.disconnected']() is true
/streams  sends without end; the exception or close() ends it
/writes   the same by write()
/reads    reads the body
/answers  creates the file KEY.begun, waits for the file KEY, then answers
/early    sends 103, then waits for the file KEY and answers
/items    sends an item, waits for the file KEY, sends another one
/pushed   the same by write()
"""
import os
import time

TEXT = [("Content-Type", "text/plain")]
seen = {}


def note(environ, what):
    seen.setdefault(environ["QUERY_STRING"], []).append(what)


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


class Noted:
    def __init__(self, environ, items):
        self.environ, self.items = environ, items

    def __iter__(self):
        return self.items

    def close(self):
        note(self.environ, "closed")


def waits(environ, start_response):
    note(environ, "begun")
    end = time.monotonic() + 30
    while not environ["pydaemon.disconnected"]() and time.monotonic() < end:
        time.sleep(0.01)
    note(environ, "disconnected" if environ["pydaemon.disconnected"]() else "in vain")
    start_response("200 OK", TEXT)
    return Noted(environ, iter([b"nobody"]))


def streams(environ, start_response):
    start_response("200 OK", TEXT)
    note(environ, "begun")

    def items():
        try:
            while True:
                yield b"x" * 100000
        except GeneratorExit:
            note(environ, "generator closed")
            raise
    return Noted(environ, items())


def writes(environ, start_response):
    write = start_response("200 OK", TEXT)
    note(environ, "begun")
    try:
        while True:
            write(b"x" * 100000)
    except OSError as error:
        note(environ, type(error).__name__)
    return []


def reads(environ, start_response):
    note(environ, "begun")
    try:
        while environ["wsgi.input"].read(1000):
            pass
        note(environ, "end of the body")
    except OSError as error:
        note(environ, type(error).__name__)
        raise
    start_response("200 OK", TEXT)
    return Noted(environ, iter([b"read"]))


def answers(environ, start_response):
    note(environ, "begun")
    open(environ["QUERY_STRING"] + ".begun", "w").close()
    wait_for(environ["QUERY_STRING"])
    note(environ, "disconnected" if environ["pydaemon.disconnected"]() else "connected")
    start_response("200 OK", TEXT)
    return Noted(environ, iter([b"answer"]))


def early(environ, start_response):
    environ["pydaemon.early_hints"]([("Link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")])
    wait_for(environ["QUERY_STRING"])
    environ["pydaemon.early_hints"]([("X-Second", "1")])
    start_response("200 OK", TEXT + [("X-Final", "1"), ("Content-Length", "5")])
    yield b"hin"
    try:
        environ["pydaemon.early_hints"]([("X-Third", "1")])
        yield b"!!"
    except AssertionError:  # too late
        yield b"ts"


def items(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"first "
    wait_for(environ["QUERY_STRING"])
    yield b"second"


def pushed(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"first ")
    wait_for(environ["QUERY_STRING"])
    return [b"second"]


def application(environ, start_response):
    path = environ["PATH_INFO"].strip("/")
    if path == "seen":
        start_response("200 OK", TEXT)
        return [", ".join(seen.get(environ["QUERY_STRING"], [])).encode()]
    return globals()[path](environ, start_response)
