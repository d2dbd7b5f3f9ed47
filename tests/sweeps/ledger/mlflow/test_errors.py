"""What servers answer, in one line with its remedy and without a password."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.mlflow.errors import ArtifactsRefused, artifacts_in_one_line, one_line
from dualpt.sweeps.stores import StoreUnavailable

PAGE = "<!doctype html><html><body>" + "<p>Welcome to nginx.</p>" * 200 + "</body></html>"


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """A server that gives every request the same answer; yields its address, with a password in it."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://me:secret@127.0.0.1:{server.server_port}/wrong"
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "remedy", "away"),
    [
        (404, PAGE, "is its address right, with its path or prefix", False),
        (200, PAGE, "is its address right, with its path or prefix", True),  # or a proxy's page while it is repaired
        (401, "You are not authenticated.", "set MLFLOW_TRACKING_USERNAME", False),
        (401, '{"detail": "Unauthorized"}', "set MLFLOW_TRACKING_USERNAME", False),  # as a proxy's login service
        (502, '{"detail": "Bad gateway"}', "502", True),
        (403, PAGE, "MLFLOW_TRACKING_TOKEN", False),
        (503, PAGE, "503", True),
    ],
)
def test_what_is_not_an_answer_of_mlflow_is_one_line(status: int, body: str, remedy: str, away: bool) -> None:
    with answering(status, body) as uri, pytest.raises(UserError, match=remedy) as caught:
        Ledger(uri)
    said = str(caught.value)
    assert len(said) < 600
    assert all(piece not in said for piece in ("\n", "secret", "<p>"))
    assert isinstance(caught.value, StoreUnavailable) == away


def test_an_artifact_client_may_raise_anything() -> None:
    for error in (
        OSError(28, "No space left on device"),
        ValueError("ExpiredToken: the token\nhas expired"),
        Exception(),
    ):
        with pytest.raises(ArtifactsRefused, match="artifact store s3://b") as caught, artifacts_in_one_line("s3://b"):
            raise error
        assert "\n" not in str(caught.value)


def test_what_is_not_of_the_store_is_left_alone() -> None:
    with pytest.raises(TypeError), one_line("http://h"):
        raise TypeError("a mistake of ours")
