# SPDX-License-Identifier: Apache-2.0
"""For AddHandler: tells which callable answered, and where it was found."""


def answer(name, environ, start_response):
    start_response("200 OK", [("Content-Length", "0")] if environ["QUERY_STRING"] == "bare" else [("Content-Type", "text/plain")])
    if environ["QUERY_STRING"] == "bare":
        return []
    return [("%s|%s|%s|%s|%s" % (name, environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["SCRIPT_FILENAME"], __file__)).encode()]


def application(environ, start_response):
    return answer("application", environ, start_response)


def other(environ, start_response):
    return answer("other", environ, start_response)


number = 5
