# SPDX-License-Identifier: Apache-2.0
"""Who this process is, and what it gets when it tries to get at others: JSON. "?pid=N" is the victim, several may be."""
import ctypes
import json
import os
import signal
from urllib.parse import parse_qs

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
PR_GET_DUMPABLE = 3


def attempt(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"


def attach(pid):
    if LIBC.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0)
    LIBC.ptrace(PTRACE_DETACH, pid, None, None)


def read(path):
    with open(path, "rb") as file:
        file.read(1)


def pidfd_steal(pid):
    fd = os.pidfd_open(pid)
    try:
        if LIBC.syscall(438, fd, 1, 0) < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
    finally:
        os.close(fd)


def attack(pid):
    return {
        "fds": attempt(os.listdir, "/proc/%d/fd" % pid),
        "open_fd": attempt(os.open, "/proc/%d/fd/3" % pid, os.O_RDWR),
        "mem": attempt(read, "/proc/%d/mem" % pid),
        "environ": attempt(read, "/proc/%d/environ" % pid),
        "maps": attempt(read, "/proc/%d/maps" % pid),
        "ptrace": attempt(attach, pid),
        "pidfd_getfd": attempt(pidfd_steal, pid),
        "signal": attempt(os.kill, pid, 0),
    }


def application(environ, start_response):
    facts = {
        "pid": os.getpid(),
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": sorted(os.getgroups()),
        "cwd": os.getcwd(),
        "environ": dict(os.environ),
        "dumpable": LIBC.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
        "session": os.getsid(0) == os.getpid(),
        "ignored": [n.name for n in signal.Signals
                    if n.name not in ("SIGPIPE", "SIGXFSZ") and signal.getsignal(n) == signal.SIG_IGN],
        "blocked": sorted(n.name for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "back_to_root": [attempt(call, 0) for call in (os.setuid, os.seteuid, os.setgid, os.setegid)],
        "set_groups": attempt(os.setgroups, [0]),
        "attacks": {pid: attack(int(pid)) for pid in parse_qs(environ["QUERY_STRING"]).get("pid", ())},
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts).encode()]
