# SPDX-License-Identifier: Apache-2.0
"""A Flask application: routing, forms, sessions, errors, streaming."""
import os
import sys
import time

from flask import Flask, Response, abort, jsonify, redirect, request, session, stream_with_context, url_for

application = Flask(__name__)
application.secret_key = "only for tests on the loopback interface"


@application.route("/")
def index():
    return "flask at %s\n" % request.script_root


@application.route("/whoami")
def whoami():
    return jsonify(uid=os.getuid(), gid=os.getgid(), pid=os.getpid(), python="%d.%d" % sys.version_info[:2],
                   group=request.environ["pydaemon.process_group"], scheme=request.scheme, host=request.host)


@application.route("/item/<int:number>/<path:rest>")
def item(number, rest):
    return jsonify(number=number, rest=rest, arguments=request.args.to_dict(), url=url_for("item", number=1, rest="a b"))


@application.route("/json", methods=["POST", "PUT"])
def echo_json():
    return jsonify(received=request.get_json(), method=request.method)


@application.route("/form", methods=["POST"])
def form():
    return jsonify(fields=request.form.to_dict(flat=False), files={k: len(f.read()) for k, f in request.files.items()})


@application.route("/length", methods=["POST"])
def length():
    return str(len(request.get_data()))


@application.route("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@application.route("/stream/<int:pieces>")
def stream(pieces):
    return Response(("piece %d\n" % i for i in range(pieces)), mimetype="text/plain")


@application.route("/slow-stream")
def slow_stream():
    """The second piece comes when the client has said (in another request) that it has the first one."""
    name = os.path.join(os.environ["MEETING_DIR"], request.args["meet"])

    def pieces():
        yield "first\n"
        deadline = time.monotonic() + 20
        while not os.path.exists(name) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield "met\n" if os.path.exists(name) else "nobody came\n"

    return Response(stream_with_context(pieces()), mimetype="text/event-stream")


@application.route("/meet")
def meet():
    open(os.path.join(os.environ["MEETING_DIR"], request.args["meet"]), "w").close()
    return "", 204


@application.route("/kilobytes/<int:count>")
def kilobytes(count):
    return Response(b"0123456789abcdef" * 64 * count, mimetype="application/octet-stream")


@application.route("/away")
def away():
    return redirect(url_for("index"))


@application.route("/teapot")
def teapot():
    abort(418)


@application.route("/boom")
def boom():
    raise RuntimeError("boom in flask")


@application.route("/log")
def log():
    application.logger.warning("warned by flask: %s", request.args["what"])
    return "logged\n"
