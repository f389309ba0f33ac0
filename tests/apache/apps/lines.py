# SPDX-License-Identifier: Apache-2.0
"""Sends each line of the body back as soon as it has come."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    for line in environ["wsgi.input"]:
        yield b"got " + line
