# SPDX-License-Identifier: Apache-2.0
"""Writes to connections that belong to no request of its own, as a process with a wild descriptor would.

/first?mark=FILE&wait=FILE   remembers the connections there are, creates FILE, waits for the other FILE; "first"
/stray                       a whole response, "stray", to all connections that were there at the first; "second"
else                         "right"
"""
import os
import socket
import struct
import time
from urllib.parse import parse_qsl

OK = [("Content-Type", "text/plain")]
BODY, HEAD, END = 5, 8, 10  # include/pyd_wire.h
seen = set()


def frame(kind, payload):
    return struct.pack(">IBBH", len(payload), kind, 0, 0) + payload


STRAY = (frame(HEAD, struct.pack(">HII", 200, 0, 0)) + frame(BODY, b"stray\n") + frame(END, struct.pack(">BQ", 0, 0)))


def connections():
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as there:
                if there.family == socket.AF_UNIX and there.type & socket.SOCK_STREAM and there.getpeername() == "":
                    yield int(name)
        except OSError:
            pass


def application(environ, start_response):
    body = b"right\n"
    if environ["PATH_INFO"] == "/first":
        steps = dict(parse_qsl(environ["QUERY_STRING"]))
        seen.update(connections())
        with open(steps["mark"], "w") as out:
            out.write("%d\n" % len(seen))
        while not os.path.exists(steps["wait"]):
            time.sleep(0.01)
        body = b"first\n"
    elif environ["PATH_INFO"] == "/stray":
        for fd in seen:
            os.write(fd, STRAY)
        body = b"second\n"
    start_response("200 OK", OK)
    return [body]
