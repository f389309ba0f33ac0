# SPDX-License-Identifier: Apache-2.0
"""Answers with facts about its interpreter and with what it can import, as JSON."""
import importlib
import json
import subprocess
import sys
from urllib.parse import parse_qs


def imported(name):
    try:
        return importlib.import_module(name).__file__
    except ImportError:
        return None


def application(environ, start_response):
    names = parse_qs(environ["QUERY_STRING"]).get("import", [])
    facts = {
        "version": "%d.%d" % sys.version_info[:2],
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "executable": sys.executable,
        "path": sys.path,
        "imported": {name: imported(name) for name in names},
        # As applications start helpers: multiprocessing, pip, celery.
        "child_prefix": subprocess.run([sys.executable, "-c", "import sys; print(sys.prefix)"], stdout=subprocess.PIPE,
                                       universal_newlines=True, check=True).stdout.strip(),
    }
    body = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
