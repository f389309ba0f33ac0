# SPDX-License-Identifier: Apache-2.0
"""Reads wsgi.input as the path says and tells what it got, one repr a line."""
import hashlib


def lengths(pieces):
    return ["%d %s" % (len(piece), hashlib.sha256(piece).hexdigest()[:16]) for piece in pieces]


WAYS = {
    "read": lambda i: [i.read()],
    "read-none": lambda i: [i.read(None)],
    "read-minus": lambda i: [i.read(-1)],
    "read-0": lambda i: [i.read(0), i.read()],
    "read-5": lambda i: [i.read(5), i.read(5), i.read()],
    "read-huge": lambda i: [i.read(10 ** 9)],
    "after-end": lambda i: [i.read(), i.read(), i.read(5), i.readline(), b"".join(i.readlines()), b"".join(i)],
    "readline": lambda i: list(iter(i.readline, b"")),
    "readline-3": lambda i: list(iter(lambda: i.readline(3), b"")),
    "readline-none": lambda i: [i.readline(None), i.readline(-1), i.read()],
    "readlines": lambda i: i.readlines(),
    "readlines-hint": lambda i: [b"|".join(i.readlines(4)), i.read()],
    "iterate": lambda i: list(i),
    "mixed": lambda i: [i.readline(), i.read(2), next(i), i.read(1), i.readline(), i.read()],
    "hash": lambda i: [hashlib.sha256(i.read()).hexdigest().encode()],
    "hash-pieces": lambda i: [piecewise(i)],
    "nothing": lambda i: [],
    "some": lambda i: [i.read(10)],
}


def piecewise(stream):
    digest = hashlib.sha256()
    for piece in iter(lambda: stream.read(10007), b""):
        digest.update(piece)
    return digest.hexdigest().encode()


def application(environ, start_response):
    facts = ["%s=%r" % (key, environ.get(key)) for key in (
        "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH", "HTTP_EXPECT", "wsgi.input_terminated")]
    try:
        got = WAYS[environ["PATH_INFO"].strip("/")](environ["wsgi.input"])
    except OSError as error:
        got = [b"error"]
        facts.append(str(error))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("\n".join(facts + [repr(piece) for piece in got]) + "\n").encode()]
