# SPDX-License-Identifier: Apache-2.0
"""Forks. The child leaves in the way that the path names; the answer: the query, our pid, and how the child ended.

/raises /returns /exits   the child comes back out of the application, as its author did not mean it
/process                  multiprocessing, in the start method that was the default for long
/holds, /lets-go          the child comes back when the request is over, and its connection serves others
/plain                    no child
"""
import multiprocessing
import os
import sys
import time

TEXT = [("Content-Type", "text/plain")]
fork_context = multiprocessing.get_context("fork")
held = {}


def status_of(pid):
    status = os.waitpid(pid, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def leave(way, token):
    if way == "raises":
        raise ValueError("child of %s" % token)
    if way == "exits":
        sys.exit(3)


def fork(way, token):
    pid = os.fork()
    if pid:
        return status_of(pid)
    leave(way, token)
    return "child"


def process(environ, token):
    receive, send = fork_context.Pipe(duplex=False)

    def work():
        environ["wsgi.errors"].write("process of %s\n" % token)
        send.send(token[::-1])

    child = fork_context.Process(target=work)
    child.start()
    result = receive.recv()
    child.join()
    # start() in another thread reaps all children that have ended (multiprocessing.process._cleanup), and has not stored
    # yet how this one did: until then its status is None.
    while child.exitcode is None:
        time.sleep(0.001)
    return "%s %s" % (result, child.exitcode)


def hold(token):
    receive, send = os.pipe()
    pid = os.fork()
    if pid:
        os.close(receive)
        held[token] = pid, send
        return "held"
    os.read(receive, 1)  # a byte, not its end: other children may have copies of the other side
    leave("raises", token)


def let_go(token):
    pid, send = held.pop(token)
    os.write(send, b"x")
    os.close(send)
    return status_of(pid)


def application(environ, start_response):
    way, token = environ["PATH_INFO"].strip("/"), environ["QUERY_STRING"]
    if way == "plain":
        ended = "none"
    elif way == "process":
        ended = process(environ, token)
    elif way == "holds":
        ended = hold(token)
    elif way == "lets-go":
        ended = let_go(token)
    else:
        ended = fork(way, token)
    start_response("200 OK", TEXT + [("X-Token", token)])
    return [("%s %d %s" % (token, os.getpid(), ended)).encode()]
