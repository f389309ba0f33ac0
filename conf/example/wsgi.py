# SPDX-License-Identifier: Apache-2.0
"""The application of `./bootstrap run`: plain WSGI, nothing but the standard library."""
import html
import os
import sys
import threading
import time

STARTED = time.time()

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>mod_pydaemon works</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; }}
td {{ padding: .1em 1em .1em 0; vertical-align: top; font-family: monospace; word-break: break-all; }}
</style></head>
<body>
<h1>mod_pydaemon works</h1>
<p>This page was made by <code>application()</code> in <code>{file}</code>, in a process that httpd's manager started
and looks after. Reload it: there are two such processes. Kill one: another one takes its place.</p>
<table>
<tr><td>process</td><td>{pid}, up for {age:.1f} s</td></tr>
<tr><td>thread</td><td>{thread}</td></tr>
<tr><td>Python</td><td>{python}</td></tr>
<tr><td>request body</td><td>{body}</td></tr>
</table>
<form method="post" action=""><input name="text" value="hello"> <button>Send</button></form>
<h2>environ</h2>
<table>{environ}</table>
</body>
</html>
"""


def application(environ, start_response):
    """Answer every request with a page about itself."""
    body = environ["wsgi.input"].read(4096)
    rows = "".join("<tr><td>%s</td><td>%s</td></tr>\n" % (html.escape(key), html.escape(str(environ[key])))
                   for key in sorted(environ))
    page = PAGE.format(file=html.escape(__file__), pid=os.getpid(), age=time.time() - STARTED,
                       thread=html.escape(threading.current_thread().name), python=html.escape(sys.version),
                       body=html.escape(body.decode("utf-8", "replace")), environ=rows).encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page)))])
    return [page]
