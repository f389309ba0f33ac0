# SPDX-License-Identifier: Apache-2.0
"""Ends in many ways. Steps come in the query, in order: "?mark=/file&signal=9".

mark=FILE    create FILE, with this process's pid
wait=FILE    until FILE exists
sleep=N      seconds
signal=N     send oneself a signal
exit=N       os._exit
sysexit=N    sys.exit
abort=1      os.abort
head=N       start the response, with Content-Length N unless N is 0, and send 10 bytes
fork=1       a child process that lives on, with all descriptors this one has
print=TEXT   a line on stderr

Then it answers with the method, its pid and the number of body bytes.
"""
import os
import signal
import sys
import time
from urllib.parse import parse_qsl

OK = [("Content-Type", "text/plain")]


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def mark(path):
    with open(path + ".new", "w") as out:
        out.write("%d\n" % os.getpid())
    os.rename(path + ".new", path)


def fork():
    if os.fork() == 0:
        time.sleep(300)
        os._exit(0)


STEPS = {
    "mark": mark,
    "wait": wait_for,
    "sleep": lambda n: time.sleep(float(n)),
    "signal": lambda n: (os.kill(os.getpid(), int(n)), signal.pause()),
    "exit": lambda n: os._exit(int(n)),
    "sysexit": lambda n: sys.exit(int(n)),
    "abort": lambda n: os.abort(),
    "fork": lambda n: fork(),
    "print": lambda text: print(text, file=sys.stderr, flush=True),
}


def application(environ, start_response):
    headed = False
    for step, value in parse_qsl(environ.get("QUERY_STRING", "")):
        if step == "head":
            headed = True
            start_response("200 OK", OK + ([("Content-Length", value)] if value != "0" else []))
            yield b"0123456789"
        else:
            STEPS[step](value)
    body = environ["wsgi.input"].read()
    if not headed:
        start_response("200 OK", OK)
    yield b"%s %d %d\n" % (environ["REQUEST_METHOD"].encode(), os.getpid(), len(body))
