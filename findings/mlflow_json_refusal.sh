#!/usr/bin/env bash
# One would guess: a request that a tracking server, or the proxy before it, refuses with 401 or 403 is told from an
#   outage by MLflow's exception: by its error code, or by get_http_status_code().
# What happens: only if the body is not a JSON object. A refusal whose body is JSON without MLflow's own "error_code",
#   such as {"detail": "Unauthorized"} of FastAPI and most login proxies, becomes RestException INTERNAL_ERROR with
#   status 500, and the real status is nowhere in it: not in the text, not in an attribute. The same 401 with a text
#   body names the 401. And an "error_code" that holds the status as a number, {"error_code": 401}, is understood.
# Why it matters: whoever waits for 5xx to pass by itself waits for a password that nobody is going to type, and a
#   "500 internal error" sends people to the wrong log.
# Versions: mlflow-skinny 3.17.2, requests 2.32.5 (Python 3.11).
# Seen: 401 text: 401 in the text; 401 JSON: INTERNAL_ERROR, 500, no 401; 403 JSON: the same; error_code 401: UNAUTHENTICATED, 401.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 requests==2.32.5
cat > "$work/check.py" <<'PY'
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
from mlflow.exceptions import MlflowException

logging.disable(logging.WARNING)
answer = [401, ""]


class Proxy(BaseHTTPRequestHandler):
    """Refuses every request with the status and the body at hand."""

    def do_GET(self):
        body = answer[1].encode()
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = mlflow.MlflowClient(tracking_uri=f"http://127.0.0.1:{server.server_port}")


def refused(status, body):
    """The exception's class, error code, status and text for an answer of the proxy."""
    answer[:] = [status, body]
    try:
        client.search_experiments()
    except MlflowException as error:
        found = type(error).__name__, error.error_code, error.get_http_status_code(), str(error.message)
        print(status, body, "->", *found)
        return found
    raise AssertionError("it was not refused")


kind, code, status, text = refused(401, "Unauthorized")
assert "401" in text
for real in (401, 403):
    kind, code, status, text = refused(real, json.dumps({"detail": "Unauthorized"}))
    assert (kind, code, status) == ("RestException", "INTERNAL_ERROR", 500)
    assert str(real) not in text
kind, code, status, text = refused(401, json.dumps({"error_code": 401, "message": "no"}))
assert (code, status) == ("UNAUTHENTICATED", 401)
PY
"$work/venv/bin/python" "$work/check.py"
