# SPDX-License-Identifier: Apache-2.0
"""PEP 3333, rule by rule, against the worker programs of this build. Prints TAP.

test_wsgi.py [WORKER...] [PART_OF_NAME...]; without a worker those of PYDAEMON_WORKERS.
"""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import wsgi_driver as driver
from wsgi_driver import Response, Worker, script_file

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wsgi_apps.py")


def is_failure(response, kind, *texts):
    assert response.fail == kind and response.status is None, vars(response)
    for text in texts:
        assert text in response.rule or text in response.log, (text, response.rule, response.log)


def breaks_rule(response, *texts):
    is_failure(response, driver.FAIL_PROTOCOL, *texts)


def is_closed_once(connection):
    assert connection.request("closed_count").body == b"1"


def evaluate(connection, expression, **options):
    response = connection.request("evaluate", query=expression, **options)
    assert response.end == "ok", vars(response)
    return eval(response.body)


# ---- responses that keep the rules ----

def test_list_in_one_send(c):
    c.request()
    response = c.request()
    assert (response.status, response.reason, response.body, response.end) == (200, "OK", b"hello", "ok")
    assert response.header("Content-Length") == "5" and response.frames == [driver.HEAD, driver.BODY, driver.END]
    assert response.sends == 1, response.sends


def test_head_is_treated_alike(c):
    response = c.request(method="HEAD")
    assert response.header("Content-Length") == "5" and response.end == "ok"
    response = c.request("status_and_headers", method="HEAD", query="'200 OK', [('Content-Length', '1000')]")
    assert response.end == "ok" and not response.logs


def test_empty_bodies(c):
    for expression in ("[]", "()", "[b'']", "iter([])", "[b'', b'']", "Body([])"):
        response = c.request("returns", query=expression)
        assert (response.status, response.body, response.end) == (200, b"", "ok"), expression
    assert c.request("returns", query="[b'']").header("Content-Length") == "0"
    assert c.request("returns", query="[b'']", method="HEAD").header("Content-Length") is None


def test_several_items(c):
    for expression in ("[b'a', b'b', b'c']", "(b'a', b'', b'bc')", "iter([b'ab', b'c'])", "Body([b'a', b'b', b'c'])",
                       "{b'a': 1, b'bc': 2}"):
        response = c.request("returns", query=expression)
        assert (response.body, response.end) == (b"abc", "ok") and not response.header("Content-Length"), expression


def test_length_of_one_item(c):
    class_with_len = "type('B', (Body,), {'__len__': lambda self: len(self.items)})([b'abc'])"
    assert c.request("returns", query=class_with_len).header("Content-Length") == "3"
    assert c.request("status_and_headers", query="'204 No Content', []").header("Content-Length") is None


def test_generator_is_flushed_per_item(c):
    c.start("generator", body=b"x")
    response = Response()
    while driver.READ not in response.frames:
        kind, payload = c.next_frame()
        response.take(kind, payload)
    assert response.pieces == [b"one"]
    c.answer_read(payload)
    assert c.finish(response).pieces == [b"one", b"two"]


def test_start_response_by_a_generator(c):
    response = c.request("late_start")
    assert (response.status, response.reason, response.body) == (201, "Created", b"late")


def test_write(c):
    response = c.request("writer")
    assert response.pieces == [b"a", b"b", b"c"] and response.end == "ok"


def test_headers_stay_as_they_are(c):
    headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9"), ("X-Tab", "a\tb"), ("X-Empty", "")]
    response = c.request("status_and_headers", query="'299 \\xe9t\\xe9', %r" % headers)
    assert response.headers[:5] == headers and (response.status, response.reason) == (299, "\xe9t\xe9")


def test_subclasses_of_str(c):
    response = c.request("status_and_headers", query="S('200 Fine'), [(S('A'), S('b'))]".replace("S(", "type('S', (str,), {})("))
    assert (response.status, response.reason, response.headers[0]) == (200, "Fine", ("A", "b"))


def test_status_without_reason(c):
    for status in ("200", "200 "):
        response = c.request("status_and_headers", query="%r, []" % status)
        assert (response.status, response.reason, response.end) == (200, "", "ok")


def test_bodiless_statuses(c):
    for status in ("204 No Content", "304 Not Modified"):
        response = c.request("status_and_headers", query="%r, [('Content-Length', '100')]" % status)
        assert response.body == b"" and response.end == "ok" and not response.logs


def test_big_body(c):
    response = c.request("big", query=str(8 << 20))
    assert response.body == bytes(range(256)) * ((8 << 20) // 256) and response.end == "ok"


def test_exc_info_replaces_headers(c):
    response = c.request("replaced")
    assert (response.status, response.body) == (500, b"error page")
    assert response.header("X-New") == "1" and response.header("X-Old") is None


def test_early_hints(c):
    response = c.request("hints")
    assert response.early == [[("Link", "</style.css>; rel=preload")]] and response.frames[0] == driver.EARLY
    assert (response.status, response.end) == (200, "ok")
    response = c.request("hints_late")
    assert response.end == "cut" and "early hints must come before the response" in response.log


def test_close_is_called_once(c):
    c.request("closed_count")
    for expression in ("Body([b'a'])", "Body([])", "Body(['str'])", "Body([b'a', b'b'], fail_at=0)",
                       "Body([b'a', b'b'], fail_at=1)"):
        c.request("returns", query=expression)
        is_closed_once(c)


def test_close_that_raises(c):
    response = c.request("returns", query="Body([b'abc'], fail_close=True)")
    assert (response.body, response.end) == (b"abc", "ok")
    assert "PYD1012" in response.log and "RuntimeError: close failed" in response.log
    assert response.frames.index(driver.BODY) < response.frames.index(driver.LOG) < response.frames.index(driver.END)


# ---- the application fails ----

def test_exception_before_the_response(c):
    response = c.request("raises", path="/früh".encode("utf-8").decode("latin-1"))
    is_failure(response, driver.FAIL_EXCEPTION, "ValueError: fr", "Traceback (most recent call last)", "in raises")
    assert all(level == driver.LEVEL_ERR for level, _ in response.logs)


def test_exits_do_not_kill_the_worker(c):
    is_failure(c.request("raises", query="exit"), driver.FAIL_EXCEPTION, "SystemExit: 3")
    is_failure(c.request("raises", query="keyboard"), driver.FAIL_EXCEPTION, "KeyboardInterrupt")
    assert c.request().end == "ok"


def test_exception_without_text(c):
    is_failure(c.request("raises_bad"), driver.FAIL_EXCEPTION, "BadException")


def test_exception_half_way_cuts(c):
    c.request("closed_count")
    response = c.request("returns", query="Body([b'abc', b'd'], fail_at=1)", path="/cut")
    assert (response.status, response.body, response.end) == (200, b"abc", "cut")
    for text in ("PYD1010", APPS, "GET /cut", "ValueError: half-way"):
        assert text in response.log, response.log
    is_closed_once(c)


def test_exception_in_the_first_step(c):
    is_failure(c.request("returns", query="Body([b'abc'], fail_at=0)"), driver.FAIL_EXCEPTION, "ValueError: half-way")


def test_exc_info_after_headers_is_raised(c):
    response = c.request("replaced_too_late")
    assert (response.status, response.body, response.end) == (200, b"begun", "cut")
    assert "ValueError: too late" in response.log


# ---- the application breaks a rule ----

def test_start_response_missing(c):
    breaks_rule(c.request("no_start"), "start_response was not called before the first item")
    breaks_rule(c.request("no_start_empty"), "has not called start_response")


def test_start_response_twice(c):
    breaks_rule(c.request("twice"), "start_response was called again without exc_info", "in twice")
    assert c.request("twice_caught").body == b"ProtocolError"


def test_body_types(c):
    for expression, text in (("['str']", "must be bytes, not str: encode()"), ("[b'', 1]", "must be bytes, not int"),
                             ("Body([bytearray(b'x')])", "not bytearray"), ("None", "iterable of bytes, not NoneType"),
                             ("b'abc'", "not bytes: put it into a list"), ("'abc'", "not str"),
                             ("application", "'function' object is not iterable")):
        response = c.request("returns", query=expression)
        assert text in response.rule and response.status is None, (expression, vars(response))
    breaks_rule(c.request("asynchronous"), "not coroutine: an async application needs ASGI")


def test_str_after_the_first_item(c):
    response = c.request("returns", query="[b'abc', 'str']")
    assert (response.body, response.end) == (b"abc", "cut")
    assert "PYD1011" in response.log and "must be bytes, not str" in response.log and APPS in response.log


def test_bad_statuses(c):
    for status in ("200OK", "", "20", "abc OK", "099 X", "100 Continue", "1000 X", "200 a\nb", "200 \0", "200 \u20ac",
                   b"200 OK", 200, None):
        breaks_rule(c.request("status_and_headers", query="%a, []" % (status,)), "status", "in status_and_headers")


def test_bad_headers(c):
    cases = [("()", "must be a list"), ("[['A', 'b']]", "tuple"), ("[('A',)]", "tuple"), ("[('A', 'b', 'c')]", "tuple"),
             ("[(b'A', 'b')]", "name must be a str, not bytes"), ("[('A', b'b')]", "value of the header 'A' must be a str"),
             ("[('A', 1)]", "must be a str, not int"), ("[('A', None)]", "not NoneType"),
             ("[('', 'b')]", "empty name"), ("[('A B', 'b')]", "names may not have"), ("[('A:', 'b')]", "names may not"),
             ("[('A\\n', 'b')]", "names may not"), ("[('\\xe9', 'b')]", "names may not"),
             ("[('\\u20ac', 'b')]", "names may not"), ("[('A', 'b\\r\\nC: d')]", "control character"),
             ("[('A', '\\0')]", "control character"), ("[('A', '\\x7f')]", "control character"),
             ("[('A', '\\u20ac')]", "above U+00FF"), ("[('A', '\\udcff')]", "above U+00FF"),
             ("[('Status', '200')]", "Status"), ("[('Content-Length', 'x')]", "decimal number"),
             ("[('Content-Length', '-1')]", "decimal number"), ("[('Content-Length', '9' * 30)]", "decimal number"),
             ("[('Content-Length', '1'), ('content-length', '1')]", "given twice"),
             ("[('A', 'b' * 10000000)]", "too long")]
    cases += [("[(%r, 'x')]" % name, "hop-by-hop") for name in
              ("Connection", "keep-alive", "Proxy-Authenticate", "TE", "Trailer", "Transfer-Encoding", "UPGRADE")]
    for headers, text in cases:
        breaks_rule(c.request("status_and_headers", query="'200 OK', %s" % headers), text)


def test_bad_arguments(c):
    for arguments in ("'200 OK',", "'200 OK', [], None, 1", "'200 OK', [], (1, 2)", "'200 OK', [], 5"):
        breaks_rule(c.request("status_and_headers", query=arguments))
    assert c.request("status_and_headers", query="'200 OK', [], None").end == "ok"
    breaks_rule(c.request("write_str"), "write() must be given bytes, not str")


def test_body_longer_than_its_length(c):
    for expression in ("[b'abcdef']", "[b'ab', b'cdef']", "Body([b'ab', b'cd', b'ef'])"):
        response = c.request("status_and_body", query="[('Content-Length', '3')], %s" % expression)
        assert (response.body, response.end) == (b"abc", "ok"), vars(response)
        assert "PYD1013" in response.log and response.log.count("\n") == 0, response.log
    response = c.request("write_too_much")
    assert response.body == b"abc" and response.end == "cut" and "more than the Content-Length says" in response.log


def test_body_shorter_than_its_length(c):
    for expression in ("[b'abc']", "Body([b'ab', b'c'])", "[]"):
        response = c.request("status_and_body", query="[('Content-Length', '5')], %s" % expression)
        assert response.end == "cut" and response.body == (b"" if expression == "[]" else b"abc")
        assert "PYD1014" in response.log


# ---- environ ----

def test_environ(c):
    environ = eval(c.request("environment", path="/a", query="q=1", flags=driver.MULTIPROCESS,
                             pairs=[("HTTP_X_RAW", "\xff\x80"), ("SETENV", "1")]).body)
    expected = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "QUERY_STRING": "q=1", "SCRIPT_NAME": "",
                "SERVER_NAME": "localhost", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
                "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
                "wsgi.input_terminated": True, "pydaemon.process_group": "blog", "pydaemon.request_id": "WxYz",
                "pydaemon.request_start": 1.5, "pydaemon.queue_start": 2.5, "HTTP_X_RAW": "\xff\x80", "SETENV": "1"}
    for key, value in expected.items():
        assert environ.get(key) == value and type(environ[key]) is type(value), (key, environ.get(key))
    assert environ["pydaemon.version"][0].isdigit()
    assert eval(c.request("environment").body)["wsgi.multiprocess"] is False


def test_environ_is_new_each_time(c):
    assert evaluate(c, "environ.setdefault('seen', 0)") == 0
    assert evaluate(c, "'seen' in environ") is False


def test_environ_survives_any_bytes(c):
    every = bytes(range(1, 256)).decode("latin-1")
    pairs = [("HTTP_X_ALL", every), ("HTTP_X_LONG", "x" * 100000), (every, "name"), ("", "empty name"), ("Z", "")]
    assert evaluate(c, "environ['HTTP_X_ALL'] == bytes(range(1, 256)).decode('latin-1')", pairs=pairs, path=every) is True


def test_other_constant_sets(c):
    script = script_file("def application(environ, start_response):\n"
                         "    start_response('200 OK', [])\n    return [__file__.encode()]\n")
    for _ in range(3):
        for number in range(12):
            assert c.request(callable_name="application", target=script).body == script.encode()
            assert c.request("evaluate", query=str(number)).body == str(number).encode()
            assert c.request(["generator", "writer", "twice_caught"][number % 3], body=b"x").status == 200


# ---- wsgi.input ----

def test_input_whole(c):
    for body in (b"", b"x", b"line\n" * 100, os.urandom(300000)):
        for inline in (False, True):
            response = c.request("echo", body=body, inline=inline)
            assert response.body == body and response.end == "ok"
    assert c.request("echo", body=b"x" * 100, content_bytes=-1, largest=7).body == b"x" * 100
    assert c.request("echo").body == b""


def test_input_in_pieces(c):
    body = os.urandom(50000)
    assert c.request("echo_pieces", body=body, largest=777).body == body


def test_input_methods(c):
    def reads(calls, body, **options):
        return eval(c.request("reads", query=calls, body=body, **options).body)

    for options in ({}, {"inline": True}, {"largest": 3}):
        assert reads("read(3); read(0); read(3); read(3)", b"abcdefgh", **options) == [b"abc", b"", b"def", b"gh"]
        assert reads("read(None); read(); read(-1)", b"abc", **options) == [b"abc", b"", b""]
        assert reads("readline(); readline(2); readline(); readline(); readline()", b"ab\ncdef\n\ng", **options) == [
            b"ab\n", b"cd", b"ef\n", b"\n", b"g"]
        assert reads("readline(); read(2); readline(None); read()", b"ab\ncdef\ng", **options) == [
            b"ab\n", b"cd", b"ef\n", b"g"]
        assert reads("readlines()", b"a\nb\nc", **options) == [[b"a\n", b"b\n", b"c"]]
        assert reads("readlines(3); readlines(0)", b"a\nb\nc\nd", **options) == [[b"a\n", b"b\n"], [b"c\n", b"d"]]
        assert reads("list(); list()", b"a\nb", **options) == [[b"a\n", b"b"], []]
        assert reads("readline(0); readline(-1); read(10**12)", b"a\nb", **options) == [b"", b"a\n", b"b"]
    assert reads("readline()", b"x" * 100000 + b"\n") == [b"x" * 100000 + b"\n"]
    assert reads("read(1); readline(5)", None) == [b"", b""]
    is_failure(c.request("reads", query="read('x')", body=b"x"), driver.FAIL_EXCEPTION, "TypeError")
    is_failure(c.request("reads", query="read(1, 2)", body=b"x"), driver.FAIL_EXCEPTION, "TypeError")


def test_input_fails(c):
    for status, text in ((408, "too slow"), (413, "LimitRequestBody"), (400, "malformed")):
        response = c.request("read_fails", body=b"x", fail_status=status)
        assert b"OSError" in response.body and text.encode() in response.body, response.body
        response = c.request("echo", body=b"x", fail_status=status)
        assert response.fail == driver.FAIL_EXCEPTION and not response.logs, response.logs
    response = c.request("read_fails", body=b"x", fail_status=0)
    assert response.fail is not None or response.end == "cut"


def test_input_of_another_thread(c):
    response = c.request("other_thread", body=b"body")
    assert response.body == b"body" and "from another thread" in response.log


def test_input_still_read_at_the_end(c):
    response = c.request("left_reading", body=b"body")
    assert response.end == "ok"


def test_crowd_of_threads(c):
    for _ in range(3):
        response = c.request("crowded", body=b"x" * 1000000)
        assert response.end == "ok" and response.body.count(b"i") == 20 * 30000
        assert set(response.body) <= set(b"iw") and ("crowd 1" in response.log or c.worker.log.count("crowd 1"))
        assert c.request("crowd_left").body == b"gone"


def until_read(c, name, **options):
    """Start a request; until its application is in the exchange, waiting for the body. @return what has come"""
    other, response = c.worker.connect(), Response()
    c.start(name, body=b"body", **options)
    while driver.READ not in response.frames:
        kind, payload = c.next_frame()
        response.take(kind, payload)
    assert evaluate(other, "kept.update(go=True)") is None
    waits = evaluate(other, "wait_until(lambda: 'waits' in kept) and kept.pop('waits')")
    c.answer_read(payload)
    return c.finish(response), waits


def test_head_replaced_by_another_thread(c):
    for _ in range(5):
        response, _ = until_read(c, "replaced_while_sent")
        head = (response.status, response.reason, response.header("X-Head"))
        assert head in ((200, "O" * 300, "old"), (500, "N" * 300, "new")), head
        assert (response.body, response.end) == (b"item", "ok")


def test_length_shared_by_threads(c):
    for _ in range(20):
        response, _ = until_read(c, "length_shared")
        assert len(response.body) == 100001 and response.end == "ok", (len(response.body), vars(response)["end"])


# ---- processes that the application forks ----

def test_forked_process_comes_back(c):
    log, finished = c.worker.log, c.worker.state()[2]
    cases = [("None", 0), ("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit('exit of %s')", 1),
             ("throw(ValueError('error of %s'))", 1)]
    places = ["call", "iter", "step", "end", "close"]
    for where in places:
        for expression, status in cases:
            query = "%s %s" % (where, expression % where if "%" in expression else expression)
            response = c.request("forks", query=query)
            assert (response.body, response.end) == (b"parent", "ok"), (query, vars(response))
            assert response.frames == [driver.HEAD, driver.BODY, driver.END], (query, response.frames)
            assert evaluate(c, "kept.pop('status')") == status, query
    assert evaluate(c, "print('end of the forks')") is None
    log.wait_for("end of the forks")
    for where in places:
        assert log.wait_for("ValueError: error of " + where) == driver.LEVEL_WARNING
        assert log.count("ValueError: error of " + where) == log.count("exit of " + where) == 1
        assert log.count("half a line of " + where) == len(cases)
    assert c.worker.state()[2] == finished + 2 * len(places) * len(cases) + 1, c.worker.state()


def test_forked_process_uses_its_parents_request(c):
    outcomes = ["ConnectionResetError"] * 4 + [True]
    response = c.request("fork_uses_request", body=b"body")
    assert eval(response.body) == outcomes and response.end == "ok", vars(response)
    assert evaluate(c, "kept.pop('waits')") == 0
    response, status = until_read(c, "fork_uses_request", query="beside a thread")
    assert eval(response.body) == outcomes and status == 0 and response.end == "ok", vars(response)
    for text in ("written by the child ", "written by the child beside a thread"):
        assert c.worker.log.wait_for(text) == driver.LEVEL_ERR and text not in response.log


def test_multiprocessing(c):
    response = c.request("multiprocess")
    assert (response.body, response.end) == (b"42 0", "ok"), vars(response)
    assert c.worker.log.wait_for("written by a process") == driver.LEVEL_ERR


# ---- wsgi.errors ----

def test_errors_lines(c):
    response = c.request("errors")
    lines = [line for level, text in response.logs for line in text.split("\n")]
    assert lines == ["one", "two halves", "a", "b", "printed", "bytes", "sürrogate \\udcff", "unfinished"], lines
    assert {level for level, _ in response.logs} == {driver.LEVEL_ERR} and response.end == "ok"
    is_failure(c.request("errors_bad"), driver.FAIL_EXCEPTION, "must be str, not bytes")


def test_objects_outlive_their_request(c):
    c.request("errors_keep", body=b"x")
    response = c.request("errors_kept")
    assert eval(response.body) == [True, "OSError", "OSError", "ValueError", "OSError"], vars(response)
    assert c.worker.log.wait_for("after the end") == driver.LEVEL_ERR


def test_others_run_while_the_log_is_not_read(c):
    """Not held up until the thread that writes has waited in vain and lines are lost."""
    assert c.request("flood_late").end == "ok"
    with c.worker.log.unread():
        c.start("evaluate", query="kept['flood'].start()")
        c.worker.log.wait_full()
        assert evaluate(c.worker.connect(), "kept['flood'].is_alive()") is True
    assert c.finish().end == "ok"
    assert evaluate(c, "kept['flood'].join() or print('end of the flood')") is None
    c.worker.log.wait_for("end of the flood")
    assert c.worker.log.count("flood ") == 2500 and c.worker.log.wait_for("flood    0") == driver.LEVEL_ERR


# ---- the client goes away ----

def test_client_goes_away(c):
    w = c.worker
    before = len(w.log.lines)
    c.request("closed_count")
    for name in ("waits_for_disconnect", "endless"):
        other = w.connect()
        other.start(name)
        while other.next_frame()[0] != driver.BODY:
            pass
        other.close()
        w.connections.remove(other)
    assert evaluate(c, "wait_until(lambda: closed and kept.get('seen'))") is True
    is_closed_once(c)
    assert evaluate(c, "kept.get('seen')") is True
    lines = w.log.lines[before:]
    assert not [line for line in lines if "Traceback" in line[1]], lines


# ---- file_wrapper ----

def test_file_wrapper(c):
    cases = [("io.BytesIO(b'memory')", b"memory", None), ("temporary(b'x' * 300000)", b"x" * 300000, "300000"),
             ("temporary(b'0123456789', 4)", b"456789", "6"), ("temporary(b'')", b"", None),
             ("type('F', (), {'read': lambda self, size, left=[b'c', b'b', b'a']: left.pop() if left else b''})()",
              b"abc", None)]
    for expression, body, length in cases:
        response = c.request("file_wrapper", query="%s, []" % expression)
        assert (response.body, response.end) == (body, "ok"), (expression, vars(response))
        assert response.header("Content-Length") == length, (expression, response.headers)
    response = c.request("file_wrapper", query="open('/proc/self/status', 'rb'), []")
    assert b"\nPid:" in response.body and response.header("Content-Length") is None and response.end == "ok"
    assert c.request("file_wrapper", query="temporary(b'abc'), []").end == "ok"
    assert c.request("file_closed").body == b"True"


def test_file_wrapper_with_length(c):
    response = c.request("file_wrapper", query="temporary(b'0123456789', 2), [('Content-Length', '3')]")
    assert (response.body, response.end) == (b"234", "ok") and not response.logs
    response = c.request("file_wrapper", query="temporary(b'0123456789'), [('Content-Length', '20')]")
    assert (response.body, response.end) == (b"0123456789", "cut") and "PYD1014" in response.log
    response = c.request("file_wrapper", method="HEAD", query="temporary(b'0123456789'), []")
    assert response.header("Content-Length") == "10" and response.end == "ok" and not response.logs


def test_file_wrapper_misuse(c):
    response = c.request("file_wrapper", query="io.StringIO('text'), []")
    breaks_rule(response, "must be bytes, not str")
    is_failure(c.request("file_wrapper", query="5, []"), driver.FAIL_EXCEPTION, "'read'")
    assert evaluate(c, "list(environ['wsgi.file_wrapper'](io.BytesIO(b'abcde'), 2))") == [b"ab", b"cd", b"e"]


# ---- sys.stdout and sys.stderr ----

def test_output(c):
    log = c.worker.log
    assert c.request("output").end == "ok"
    assert log.wait_for("on stdout") == driver.LEVEL_NOTICE and log.wait_for("on stderr") == driver.LEVEL_WARNING
    assert log.wait_for("raw bytes") == driver.LEVEL_WARNING and log.wait_for("C code") is None
    assert log.wait_for("surrogate \\udc80") == driver.LEVEL_NOTICE
    assert log.wait_for("half a line") == driver.LEVEL_NOTICE
    assert sum(len(text) for _, text in log.lines if set(text) == {"x"}) == 9000 and log.longest <= 7703
    assert not [line for line in log.lines if line[1] == ""]


def test_output_of_threads_is_not_mixed(c):
    assert c.request("output_threads").end == "ok"
    c.request("evaluate", query="print('end of threads')")
    c.worker.log.wait_for("end of threads")
    lines = [text for _, text in c.worker.log.lines if "thread " in text and "whole" in text]
    assert len(lines) == 1600 and set(lines) == {"thread %d is whole" % number for number in range(8)}


# ---- the validator of the standard library ----

def test_validator(c):
    for options in ({}, {"body": b"a\nbody"}, {"method": "HEAD"}):
        response = c.request("validated", **options)
        assert response.end == "ok" and response.status == 200, vars(response)
        assert response.body == options.get("body", b"valid")
        assert [text for _, text in response.logs] == ["validated"], response.logs


def test_memory_is_flat(c):
    names = [("application", {}), ("echo", {"body": b"x" * 5000}), ("generator", {"body": b"x"}), ("errors", {}),
             ("writer", {}), ("twice", {}), ("returns", {"query": "Body([b'a'], fail_at=1)"}),
             ("file_wrapper", {"query": "temporary(b'x' * 5000), []"}), ("hints", {}), ("raises", {})]

    def burst(count):
        for number in range(count):
            name, options = names[number % len(names)]
            c.request(name, pairs=[("HTTP_X_%d" % number, "v")], **options)
            if number % 50 == 0:
                other = c.worker.connect()
                other.request(name, **options)
                other.close()
                c.worker.connections.remove(other)
        c.request("closed_count")
        return int(c.request("counters").body), c.worker.resident_bytes()

    burst(2200)
    objects, resident = burst(1100)
    objects_later, resident_later = burst(int(os.environ.get("PYD_TEST_REQUESTS", "4400")))
    assert abs(objects_later - objects) < 30, (objects, objects_later)
    assert c.worker.is_sanitized() or resident_later - resident < 1 << 20, (resident, resident_later)


# ---- loading; each of these has a worker of its own ----

def alone_loading(program):
    script = script_file("app = 1\ndef main(environ, start_response): pass\nclass Factory: pass\n"
                         "class package:\n    class inner:\n        @staticmethod\n"
                         "        def app(environ, start_response):\n"
                         "            start_response('200 OK', [])\n            return [__name__.encode()]\n")
    broken, missing = script_file("import no_such_module\n"), script_file("") + ".not"
    with Worker(program, script).wait_ready() as w:
        c = w.connect()
        is_failure(c.request(), driver.FAIL_LOAD, "PYD1003", script, "'application'", "main, Factory, package")
        is_failure(c.request("app"), driver.FAIL_LOAD, "PYD1004", "type 'int'")
        first = c.request("package.inner.app")
        assert first.body.startswith(b"_pydaemon_") and len(first.body) == 26
        is_failure(c.request(target=broken), driver.FAIL_LOAD, "PYD1002", broken, "ModuleNotFoundError", "line 1")
        is_failure(c.request(target=missing), driver.FAIL_LOAD, "PYD1001", missing, "No such file")
        is_failure(c.request(target="no_such:app"), driver.FAIL_LOAD, "PYD1002", "ModuleNotFoundError")
        with open(broken, "w") as repaired:
            repaired.write("# -*- coding: latin-1 -*-\nimport sys, pickle\n"
                           "assert sys.modules[__name__].__file__ == __file__ == __spec__.origin\n"
                           "class Local: pass\npickle.loads(pickle.dumps(Local()))\n"
                           "def application(environ, start_response):\n"
                           "    start_response('200 OK', [])\n    return [b'repaired']\n")
        assert c.request(target=broken).body == b"repaired"
        assert not os.path.exists(os.path.join(os.path.dirname(broken), "__pycache__"))


def alone_lookup_fails(program):
    """The name is there in principle: what keeps it from being had is told, not that it is missing."""
    script = script_file("def __getattr__(name):\n    raise RuntimeError('SECRET_KEY is not set')\n")
    with Worker(program, script).wait_ready() as w:
        response = w.connect().request()
        is_failure(response, driver.FAIL_LOAD, "PYD1002", script, "in __getattr__", "RuntimeError: SECRET_KEY is")
        assert "PYD1003" not in response.log


def alone_path_that_is_not_utf8(program):
    script = script_file("def application(environ, start_response):\n"
                         "    start_response('200 OK', [])\n    return [ascii(__file__).encode()]\n", "caf\udce9.py")
    with Worker(program, os.fsencode(script)).wait_ready() as w:
        response = w.connect().request()
        assert response.body.endswith(b"caf\\udce9.py'") and response.end == "ok", vars(response)


def alone_forked_import(program):
    """A child that comes out of an import does not become a worker, neither at the start nor in a request."""
    text = ("import os, signal, sys\npid = os.fork()\nif not pid:\n    signal.alarm(20)\n    %s\n    a = 1\n"
            "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 99\n"
            "def application(environ, start_response):\n"
            "    start_response('200 OK', [])\n    return [b'%%d' %% status]\n")
    for number, statement in enumerate(("pass", "raise ValueError('forked import')", "sys.exit(7)")):
        script, later = script_file(text % statement), script_file(text % statement)
        with Worker(program, script, [script]).wait_ready() as w:
            expected = b"%d" % [0, 1, 7][number]
            assert [w.connect().request(target=target).body for target in (script, later)] == [expected] * 2
            assert w.stop() == 0
            assert w.log.count("ValueError: forked import") == (2 if number == 1 else 0), w.log.lines


def alone_start(program):
    """Applications named in the job are loaded before the worker is ready; the path, argv and streams are there by then."""
    home = os.path.dirname(script_file("import sys\nprint('imported', sys.argv, sys.path[:2])\n"
                                       "class deep:\n    def application(environ, start_response):\n"
                                       "        start_response('200 OK', [])\n        return [b'module']\n",
                                       "site_module.py"))
    extra = os.path.dirname(script_file("", "extra.py"))
    with open(os.path.join(extra, "more.pth"), "w") as pth:
        pth.write(home + "/more\n")
    os.mkdir(home + "/more")
    options = [".home-dir=" + home, "python-path=" + extra, "home=" + home]
    with Worker(program, "site_module:deep.application", ["site_module:deep.application", APPS], options,
                cwd=home).wait_ready() as w:
        assert w.log.wait_for("imported ['pydaemon'] ['%s', '%s']" % (home, extra)) == driver.LEVEL_NOTICE
        c = w.connect()
        assert c.request().body == b"module"
        c.worker.script = APPS
        path = evaluate(c, "sys.path")
        assert path[:3] == [home, extra, home + "/more"], path
        assert evaluate(c, "[threading.current_thread().name[:9], sys.flags.utf8_mode, threading.main_thread().name]") == [
            "pydaemon-", 1, "MainThread"]
        assert evaluate(c, "os.path.basename(sys.executable)[:6], sys.getfilesystemencoding()") == ("python", "utf-8")
        assert evaluate(c, "__import__('subprocess').check_output([sys.executable, '-c', 'print(1 + 1)'])") == b"2\n"


def alone_import_fails(program):
    broken = script_file("raise ValueError('at start')\n")
    with Worker(program, broken, [broken, APPS]) as w:
        assert w.wait_exit() == 66
        assert w.log.wait_for("PYD1002") == w.log.wait_for("ValueError: at start") == driver.LEVEL_ERR
        assert w.log.count(broken) >= 2


def alone_exit_handlers(program):
    script = script_file("import atexit, threading, sys\natexit.register(print, 'at exit')\n"
                         "ended = threading.Event()\n"
                         "def wait():\n    threading.main_thread().join()\n    print('thread ended')\n"
                         "threading.Thread(target=wait).start()\n"
                         "def application(environ, start_response):\n"
                         "    start_response('200 OK', [])\n    sys.stdout.write('unfinished')\n    return [b'x']\n")
    with Worker(program, script, [script]).wait_ready() as w:
        w.connect().request()
        assert w.stop() == 0
        assert w.log.count("at exit") == 1 and w.log.count("thread ended") == 1 and w.log.count("unfinished") == 1
        assert not w.log.count("PYD1008"), w.log.lines


def alone_locale(program):
    with Worker(program, APPS, options=["locale=xx_XX.UTF-8", "lang=C"]).wait_ready() as w:
        assert w.log.wait_for("PYD1005") == driver.LEVEL_WARNING
        assert evaluate(w.connect(), "os.environ['LC_ALL'], os.environ['LANG']") == ("xx_XX.UTF-8", "C")


def alone_virtual_environment(program):
    with Worker(program, APPS).wait_ready() as w:
        executable = evaluate(w.connect(), "sys.executable")
    with tempfile.TemporaryDirectory(prefix="pyd-venv-") as venv:
        os.mkdir(venv + "/bin")
        os.symlink(executable, venv + "/bin/python")
        with open(venv + "/pyvenv.cfg", "w") as cfg:
            cfg.write("home = %s\ninclude-system-site-packages = false\n" % os.path.dirname(executable))
        with Worker(program, APPS, options=[".python-executable=" + venv + "/bin/python"]).wait_ready() as w:
            c = w.connect()
            version = evaluate(c, "'%d.%d' % sys.version_info[:2]")
            site = os.path.join(venv, "lib", "python" + version, "site-packages")
            assert evaluate(c, "sys.prefix, sys.executable") == (venv, venv + "/bin/python")
        os.makedirs(site)
        with Worker(program, APPS, options=[".python-executable=" + venv + "/bin/python"]).wait_ready() as w:
            assert site in evaluate(w.connect(), "sys.path")


def alone_one_thread(program):
    with Worker(program, APPS, threads=1).wait_ready() as w:
        assert eval(w.connect().request("environment").body)["wsgi.multithread"] is False


def alone_python_fails(program):
    """A Python that does not start says so and has its exit status."""
    with Worker(program, APPS, env={"PYTHONHOME": "/nonexistent"}) as w:
        assert w.wait_exit() == 65
        w.log.wait_for("PYD1006")


def framework(program, module, text, path="/"):
    script = script_file(text)
    with Worker(program, script).wait_ready() as w:
        c = w.connect()
        if "ModuleNotFoundError: No module named %r" % module in c.request(path=path).log:
            return "SKIP %s is not installed for this Python" % module
        response = c.request(path=path)
        assert (response.status, response.body, response.end) == (200, b"hello", "ok"), vars(response)
        missing = c.request(path="/missing")
        assert (missing.status, missing.end) == (404, "ok")
    return None


def alone_flask(program):
    return framework(program, "flask", "from flask import Flask\napplication = Flask(__name__)\n"
                     "@application.route('/')\ndef hello():\n    return 'hello'\n")


def alone_django(program):
    return framework(program, "django", "import sys\nfrom django.conf import settings\n"
                     "from django.core.wsgi import get_wsgi_application\nfrom django.http import HttpResponse\n"
                     "from django.urls import path\n"
                     "settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=['*'], SECRET_KEY='x', DEBUG=False)\n"
                     "urlpatterns = [path('', lambda request: HttpResponse('hello'))]\n"
                     "application = get_wsgi_application()\n")


if __name__ == "__main__":
    sys.exit(driver.main(globals(), APPS))
