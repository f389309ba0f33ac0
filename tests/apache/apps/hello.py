# SPDX-License-Identifier: Apache-2.0
"""The smallest application."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]
