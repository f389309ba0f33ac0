# SPDX-License-Identifier: Apache-2.0
"""Takes a few milliseconds, as a database does; says how long the request waited for a thread, and in which process."""
import os
import time


def application(environ, start_response):
    waited = time.time() - environ["pydaemon.queue_start"]
    time.sleep(0.005)
    body = b"waited %d ms in %d\n" % (waited * 1000, os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
