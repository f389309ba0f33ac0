# SPDX-License-Identifier: Apache-2.0
"""wsgiref.validate around an application that reads and sends in many ways: any complaint is a 500."""
import os
import tempfile
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]


def sends(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"a", b"b"]


def generates(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"a"
    yield b"b"


def starts_late(environ, start_response):
    def body():
        yield b"ab"
    start_response("200 OK", TEXT)
    return body()


def writes(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"a")
    return [b"b"]


def reads(environ, start_response):
    stream = environ["wsgi.input"]
    got = stream.readline(), stream.read(3), stream.readlines(2), stream.read(100000)
    start_response("200 OK", TEXT)
    return [b"ab" if got else b""]


def iterates(environ, start_response):
    for line in environ["wsgi.input"]:
        pass
    start_response("200 OK", TEXT)
    return [b"ab"]


def logs(environ, start_response):
    environ["wsgi.errors"].write("one line\n")
    environ["wsgi.errors"].writelines(["and ", "another\n"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", TEXT)
    return [b"ab"]


def empty(environ, start_response):
    start_response("204 No Content", [])
    return []


def unmodified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def fails(environ, start_response):
    try:
        raise ValueError("handled")
    except ValueError:
        import sys
        start_response("500 Handled", TEXT, sys.exc_info())
    return [b"ab"]


def sends_file(environ, start_response):
    file = tempfile.TemporaryFile()
    file.write(b"ab")
    file.seek(0)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](file)


def dispatch(environ, start_response):
    # wsgiref.validate says so itself: os.environ is not environ.
    assert environ is not os.environ
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


application = validator(dispatch)
