# SPDX-License-Identifier: Apache-2.0
"""wsgi.file_wrapper: the path says of what, the query how (size=N of the file, at=N offset, length=N Content-Length)."""
import gzip
import io
import os
import tempfile
from urllib.parse import parse_qs

TEXT = [("Content-Type", "application/octet-stream")]
closed = {}


def content(size):
    return bytes(bytearray(range(251))) * (size // 251 + 1)


def regular(size, opener=lambda name: open(name, "rb")):
    file = tempfile.NamedTemporaryFile()
    file.write(content(size)[:size])
    file.flush()
    return opener(file.name)


class Counting:
    """A file-like object of the least kind."""

    def __init__(self, size, key, close=True):
        self.data, self.key = io.BytesIO(content(size)[:size]), key
        if close:
            self.close = self.count

    def read(self, size):
        return self.data.read(size)

    def count(self):
        closed[self.key] = closed.get(self.key, 0) + 1


class Broken(Counting):
    def read(self, size):
        data = self.data.read(size)
        if not data:
            raise OSError("the disk is gone")
        return data


def zipped(size):
    file = tempfile.TemporaryFile()
    with gzip.open(file, "wb") as out:
        out.write(content(size)[:size])
    file.seek(0)
    return gzip.open(file, "rb")


def pipe(size):
    reading, writing = os.pipe()
    os.write(writing, content(size)[:size])
    os.close(writing)
    return os.fdopen(reading, "rb")


KINDS = {
    "regular": lambda size, key: regular(size),
    "unbuffered": lambda size, key: regular(size, io.FileIO),
    "bytesio": lambda size, key: io.BytesIO(content(size)[:size]),
    "counting": Counting,
    "no-close": lambda size, key: Counting(size, key, False),
    "broken": Broken,
    "zipped": lambda size, key: zipped(size),
    "half": lambda size, key: regular(size // 2),
    "pipe": lambda size, key: pipe(size),
    "temporary": lambda size, key: tempfile.TemporaryFile(),
}


def application(environ, start_response):
    kind = environ["PATH_INFO"].strip("/")
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    key = query.get("key", "")
    if kind == "closed":
        start_response("200 OK", TEXT)
        return [str(closed.get(key, 0)).encode()]
    size = int(query.get("size", "1000"))
    file = KINDS[kind](size, key)
    if kind == "temporary":
        file.write(content(size)[:size])  # left in the buffer, at the end of the file
        file.seek(0)
    if "at" in query:
        file.seek(int(query["at"]))
    headers = [("Content-Length", query["length"])] if "length" in query else []
    start_response(query.get("status", "200 OK"), TEXT + headers)
    wrapper = environ["wsgi.file_wrapper"](file, *([int(query["block"])] if "block" in query else []))
    if "iterate" in query:
        return iter(list(wrapper))
    return wrapper
