# SPDX-License-Identifier: Apache-2.0
"""Facts about this process as one JSON object; "?file=PATH" makes a file first."""
import ctypes
import json
import locale
import os
import resource
import sys
import threading
from urllib.parse import parse_qs

LIMITS = {name: getattr(resource, name) for name in ("RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_STACK")}
AT_IMPORT = {"thread": threading.current_thread().name, "cwd": os.getcwd(), "environ": dict(os.environ)}


def stack_bytes():
    """What the system says of this thread's stack, as pthread_create was asked for it."""
    libc = ctypes.CDLL(None)
    libc.pthread_self.restype = ctypes.c_void_p
    attributes = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t()
    libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes)
    libc.pthread_attr_getstacksize(attributes, ctypes.byref(size))
    libc.pthread_attr_destroy(attributes)
    return size.value


def facts():
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "environ": dict(os.environ),
        "at_import": AT_IMPORT,
        "path": sys.path,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "executable": sys.executable,
        "version": "%d.%d" % sys.version_info[:2],
        "argv": sys.argv,
        "utf8_mode": sys.flags.utf8_mode,
        "filesystem_encoding": sys.getfilesystemencoding(),
        "stdout_encoding": sys.stdout.encoding,
        "locale": locale.setlocale(locale.LC_CTYPE),
        "preferred_encoding": locale.getpreferredencoding(False),
        "nice": os.nice(0),
        "limits": {name: resource.getrlimit(number) for name, number in LIMITS.items()},
        "stack": stack_bytes(),
    }


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    for path in query.get("file", ()):
        with open(path, "w"):
            pass
    body = json.dumps(facts(), default=str).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
