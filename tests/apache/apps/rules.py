# SPDX-License-Identifier: Apache-2.0
"""PEP 3333, kept and broken: the path names what to do. "/closed/NAME" tells how often /NAME?... was closed."""
import sys
from urllib.parse import unquote

TEXT = [("Content-Type", "text/plain")]
closed = {}


class Body:
    """An iterable that counts its close() under the request's query, and has no other help to offer."""

    def __init__(self, environ, items):
        self.key = environ["QUERY_STRING"]
        self.items = iter(items)
        closed.setdefault(self.key, 0)

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.items)
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self):
        closed[self.key] += 1


def error():
    try:
        raise LookupError("caught by the application")
    except LookupError:
        return sys.exc_info()


def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never"]


def exc_info_before(environ, start_response):
    start_response("200 OK", TEXT + [("X-Old", "1")])
    start_response("503 Changed", TEXT + [("X-New", "1")], error())
    return [b"changed"]


def exc_info_after(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun "
    start_response("500 Too Late", TEXT, error())
    yield b"never"


def exc_info_after_write(environ, start_response):
    start_response("200 OK", TEXT)(b"begun ")
    start_response("500 Too Late", TEXT, error())
    return [b"never"]


def write(environ, start_response):
    send = start_response("200 OK", TEXT)
    send(b"one ")
    send(b"")
    send(b"two ")
    return Body(environ, [b"three"])


def write_str(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


def write_too_much(environ, start_response):
    send = start_response("200 OK", TEXT + [("Content-Length", "4")])
    send(b"four")
    send(b"more")
    return []


def late_start(environ, start_response):
    """PEP 3333: start_response may be called as late as in the first next(), and empty strings before are nothing."""
    yield b""
    start_response("200 OK", TEXT)
    yield b""
    yield b"late"


def no_start_empty(environ, start_response):
    return []


def body_first(environ, start_response):
    yield b"body"
    start_response("200 OK", TEXT)


def raises(environ, start_response):
    raise ValueError("before start_response")


def raises_after_start(environ, start_response):
    start_response("200 OK", TEXT)
    raise ValueError("after start_response")


def base_exception(environ, start_response):
    raise KeyboardInterrupt("not an Exception")


def responds(environ, start_response):
    """Status, headers and result as Python expressions: ?s=...&h=...&b=..."""
    names = dict(part.split("=", 1) for part in environ["QUERY_STRING"].split("&") if part)
    status, headers, body = (unquote(names.get(key, default)) for key, default in (
        ("s", "'200 OK'"), ("h", "TEXT"), ("b", "[b'body']")))
    start_response(eval(status), eval(headers))
    return eval(body)


def long_body(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "5")])
    return Body(environ, [b"12", b"34", b"56", b"78"])


def short_body(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "100")])
    return Body(environ, [b"12", b"34"])


def half(environ, start_response):
    start_response("200 OK", TEXT)
    return Body(environ, [b"one", b"two", ValueError("half-way")])


def half_length(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "100")])
    return Body(environ, [b"one", b"two", ValueError("half-way")])


def first_raises(environ, start_response):
    start_response("200 OK", TEXT)
    return Body(environ, [ValueError("at once"), b"never"])


def bad_item(environ, start_response):
    start_response("200 OK", TEXT)
    return Body(environ, [b"one", "text"])


def fine(environ, start_response):
    start_response("200 OK", TEXT)
    return Body(environ, [b"one", b"", b"two"])


def unstarted(environ, start_response):
    return Body(environ, [b"one"])


def close_raises(environ, start_response):
    class Closing(Body):
        def close(self):
            super().close()
            raise ValueError("in close()")

    start_response("200 OK", TEXT)
    return Closing(environ, [b"fine"])


class Class:
    """PEP 3333's AppClass: the class is the application, its instance the iterable."""

    def __init__(self, environ, start_response):
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", TEXT)
        yield b"from a class"


def application(environ, start_response):
    path = environ["PATH_INFO"].lstrip("/")
    if path == "closed":
        start_response("200 OK", TEXT)
        return [str(closed.get(environ["QUERY_STRING"], "never")).encode()]
    return globals()[path](environ, start_response)
