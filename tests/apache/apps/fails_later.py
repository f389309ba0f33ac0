# SPDX-License-Identifier: Apache-2.0
"""Goes wrong as the query says, in order: run=FILE adds a line to FILE, read=1 reads the body and takes an error for its
end, hint=NAME sends early hints with that header, line=N and part=N give N bytes of body with and without a newline,
wait=FILE waits for it, status=N answers so, raise=1 and exit=N end the request and the worker."""
import os
import time
from urllib.parse import parse_qsl


def application(environ, start_response):
    status, started = "200 OK", False
    for step, value in parse_qsl(environ["QUERY_STRING"]):
        if step == "run":
            with open(value, "a") as out:
                out.write(environ["PATH_INFO"] + "\n")
        elif step == "read":
            try:
                environ["wsgi.input"].read()
            except OSError:
                pass
        elif step == "hint":
            environ["pydaemon.early_hints"]([("Link", "</a.css>; rel=preload"), (value, "3")])
        elif step == "status":
            status = value + " Its Own"
        elif step == "wait":
            while not os.path.exists(value):
                time.sleep(0.01)
        elif step == "raise":
            raise ValueError("as told")
        elif step == "exit":
            os._exit(int(value))
        elif step in ("line", "part"):
            if not started:
                start_response(status, [("Content-Type", "text/plain")])
            started = True
            yield b"x" * int(value) + (b"\n" if step == "line" else b"")
    if not started:
        start_response(status, [("Content-Type", "text/plain")])
        yield b"of the application\n"
