"""Whether workers can record: the driver's login reaches them, and one of them shows it before any cell is trained."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.workers.access import prove_a_worker
from dualpt.sweeps.workers.connection.ray_session import ray_session
from dualpt.sweeps.workers.worker_config import WorkerConfig
from tests.sweeps.fake_runner import fake_runner

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

TOKEN = "a-token-of-the-driver"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A server that knows one run, whose artifacts are a local folder, and asks for a token."""
    run = {"info": {"run_id": "r", "artifact_uri": str(tmp_path / "artifacts")}, "data": {}}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            welcome = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            body = json.dumps({"run": run}).encode() if welcome else b"You are not authenticated."  # as MLflow's does
            self.send_response(200 if welcome else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_worker_has_the_login_of_the_driver_or_says_so(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running_ray: None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    config = WorkerConfig(fake_runner(tmp_path / "log"), guarded, 1, patience=0)
    with ray_session({}):  # Ray's processes were started without the token, as a cluster's are
        with pytest.raises(
            UserError, match=r"the worker on .* cannot record cells: .*401.*MLFLOW_TRACKING_TOKEN"
        ) as told:
            prove_a_worker(config, {"CPU": 1}, "r")
        assert "\n" not in str(told.value)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
        prove_a_worker(config, {"CPU": 1}, "r")
        (tmp_path / "artifacts").rmdir()  # nothing was left in it
        (tmp_path / "artifacts").touch()
        with pytest.raises(UserError, match="cannot record cells: artifact store"):
            prove_a_worker(config, {"CPU": 1}, "r")
