# SPDX-License-Identifier: Apache-2.0
"""Reads the body when told to. Query, in order: mark=FILE creates FILE, wait=FILE waits for it, read=N reads N bytes
(0: all), start=1 starts the response and sends "begun ", catch=1 takes OSError of the following reads for an end,
status=N is the answer's (of no body if there is no more to send)."""
import os
import time
from urllib.parse import parse_qsl


def application(environ, start_response):
    status, catch, started, got = "200 OK", False, False, b""
    for step, value in parse_qsl(environ["QUERY_STRING"]):
        if step == "mark":
            open(value, "w").close()
        elif step == "wait":
            while not os.path.exists(value):
                time.sleep(0.01)
        elif step == "status":
            status = value
        elif step == "catch":
            catch = True
        elif step == "start":
            started = True
            start_response(status, [("Content-Type", "text/plain")])
            yield b"begun "
        elif step == "read":
            try:
                got += environ["wsgi.input"].read(int(value) or -1)
            except OSError as error:
                if not catch:
                    raise
                got += b"<" + str(error).encode() + b">"
    if not started:
        start_response(status, [("Content-Type", "text/plain")])
    yield b"got " + got[-200:]
