"""A local HTTP server that speaks the protocol of OpenAI's chat completions, with faults on demand."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Fault = tuple[int, dict[str, str], bytes] | float
"""Status, headers and body; or seconds of silence before the connection is closed."""


def completion(text: str | None, finish_reason: str = "stop") -> bytes:
    """The body of a good answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


def describe(body: dict[str, Any]) -> str:
    """A description that depends on question and seed alone."""
    return f"It has {body['seed'] % 9973} round dots on a plain coat."


class ChatServer:
    """Answers by `reply`, after the faults in `faults` are used up; one fault a request.

    Attributes:
        requests: bodies of all requests, in the order in which they came.
        keys: their `Authorization` headers.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.reply: Callable[[dict[str, Any]], bytes] = lambda body: completion(describe(body))
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._lock = threading.Lock()
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                chat._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.requests.append(body)
            self.keys.append(handler.headers.get("Authorization"))
            fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, float):
            time.sleep(fault)
            return
        if handler.path != "/v1/chat/completions":
            fault = (404, {}, b"no such page")
        status, headers, content = fault or (200, {}, self.reply(body))
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
