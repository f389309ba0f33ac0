# SPDX-License-Identifier: Apache-2.0
"""Takes too long in many ways. Steps come in the query, in order: "?log=/file&head=0&wait=/go".

log=FILE   add a line with this process's pid to FILE: one for each time it was executed
wait=FILE  until FILE exists
head=N     start the response, with Content-Length N unless N is 0, and send 10 bytes
read=1     read the body, byte by byte
send=N     send N times 64 KiB
flood=1    send without end, as fast as it goes
babble=1   send frames that say nothing without end, faster than httpd can read them
lie=WHAT   say in the worker's status that this request has "ended", or was never "begun"
drip=N     send N bytes, one each 0.1 s
refuse=N   after N seconds, say to httpd that this worker is stopping and has not begun the request
hold=N     N seconds in a C function that keeps the interpreter's lock
raise=1    raise an exception
fail=1     answer 503 of its own

Then it answers with its pid and the number of body bytes.
"""
import ctypes
import os
import socket
import struct
import threading
import time
from urllib.parse import parse_qsl

OK = [("Content-Type", "text/plain")]
PIECE = b"x" * 65536


def log(path):
    with open(path, "a") as out:
        out.write("%d\n" % os.getpid())


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def read_bytes(stream):
    count = 0
    while stream.read(1):
        count += 1
    return count


def connections():
    for name in os.listdir("/proc/self/fd"):
        try:
            connection = socket.socket(fileno=os.dup(int(name)))
            if (connection.family, connection.type) == (socket.AF_UNIX, socket.SOCK_STREAM):
                connection.setblocking(True)
                yield connection
        except OSError:  # no socket, or closed
            pass


# Frames: include/pyd_wire.h
def babble():
    frames = struct.pack(">IBBHB", 1, 9, 0, 0, 3) * 100000  # LOG, of no line
    for connection in connections():
        while True:
            connection.sendall(frames)


def refuse(seconds):
    time.sleep(seconds)
    for connection in connections():
        connection.sendall(struct.pack(">IBBH", 0, 12, 0, 0))


# The record of this thread's request: include/pyd_status.h
def lie(what):
    for line in open("/proc/self/maps"):
        if "pydaemon status" not in line:
            continue
        first, last = (int(number, 16) for number in line.split()[0].split("-"))
        words = (ctypes.c_uint64 * ((last - first) // 8)).from_address(first)
        for i in range(len(words) - 2):
            if words[i] & 1 and words[i] > 1 and words[i + 2] & 0xFFFFFFFF == threading.get_native_id():
                words[i] -= 1 if what == "ended" else 3
                return
    raise RuntimeError("no record of this request")


def application(environ, start_response):
    headed, count = False, 0
    for step, value in parse_qsl(environ.get("QUERY_STRING", "")):
        if step == "log":
            log(value)
        elif step == "wait":
            wait_for(value)
        elif step == "read":
            count = read_bytes(environ["wsgi.input"])
        elif step == "hold":
            ctypes.PyDLL(None).sleep(int(value))
        elif step == "babble":
            babble()
        elif step == "refuse":
            refuse(float(value))
        elif step == "lie":
            lie(value)
        elif step == "drip":
            headed = headed or start_response("200 OK", OK) or True
            for _ in range(int(value)):
                time.sleep(0.1)
                yield b"."
        elif step == "raise":
            raise RuntimeError("on purpose")
        elif step == "head":
            headed = True
            start_response("200 OK", OK + ([("Content-Length", value)] if value != "0" else []))
            yield b"0123456789"
        elif step == "fail":
            headed = True
            start_response("503 Service Unavailable", OK)
        elif step in ("send", "flood"):
            headed = headed or start_response("200 OK", OK) or True
            sent = 0
            while step == "flood" or sent < int(value):
                sent += 1
                yield PIECE
    if not headed:
        start_response("200 OK", OK)
    yield b"%d %d\n" % (os.getpid(), count)
