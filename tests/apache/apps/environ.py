# SPDX-License-Identifier: Apache-2.0
"""Answers with its environ, one "KEY=repr" a line, then facts about the process as "process.KEY=repr"."""
import os
import sys
import threading


def application(environ, start_response):
    facts = dict(environ)
    facts.update({
        "process.pid": os.getpid(),
        "process.uid": os.getuid(),
        "process.gid": os.getgid(),
        "process.groups": sorted(os.getgroups()),
        "process.cwd": os.getcwd(),
        "process.thread": threading.get_ident(),
        "process.python": "%d.%d" % sys.version_info[:2],
        "process.environ": dict(os.environ),
        "process.path": sys.path,
    })
    body = "".join("%s=%r\n" % (key, facts[key]) for key in sorted(facts)).encode("utf-8", "backslashreplace")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
