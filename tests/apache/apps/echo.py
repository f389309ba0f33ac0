# SPDX-License-Identifier: Apache-2.0
"""Sends the request body back as it comes, without a Content-Length unless the request had one."""


def application(environ, start_response):
    headers = [("Content-Type", environ.get("CONTENT_TYPE") or "application/octet-stream")]
    if environ.get("CONTENT_LENGTH"):
        headers.append(("Content-Length", environ["CONTENT_LENGTH"]))
    start_response("200 OK", headers)
    return iter(lambda: environ["wsgi.input"].read(65536), b"")
