"""Answers the board's requests: the page, its scripts, and what it asks of the store. Reads, and never writes.

Only hosts by which the board was announced are answered: a page elsewhere whose name was pointed at this address (DNS
rebinding) carries its own name in `Host`. The page may load nothing but what is served here, and runs no inline script,
so a name in the store cannot become one.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dualpt.core.errors import UserError
from dualpt.sweeps.board.beside import differences
from dualpt.sweeps.board.views import loss_view, sweep_view
from dualpt.sweeps.launching.status import status_from
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.ledger.reading import SweepReader
from dualpt.sweeps.records import CellRow
from dualpt.sweeps.stores import masked, sqlite_path

FILES = {
    "/": ("board.html", "text/html"),
    "/board.css": ("board.css", "text/css"),
    "/board.js": ("board.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
}
"""Path -> the file of this folder that is served there; there are no others."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
NOT_FOUND, UNUSABLE = 404, 503


@dataclass(frozen=True)
class Links:
    """Where else the store can be looked at; empty where nothing is known to serve it."""

    mlflow: str = ""
    optuna: str = ""
    commands: list[str] = field(default_factory=list)
    """What starts them, where nothing is known to."""


@dataclass(frozen=True)
class _Read:
    """A sweep as it was last read."""

    name: str
    written: tuple[int, ...]
    """`_written` before it was read."""
    rows: Sequence[CellRow]
    view: dict[str, Any]

    @property
    def running(self) -> bool:
        """Whether it changes without a write: a launch that is silent for a while counts as gone."""
        return bool(self.view["status"]["launch"] == "RUNNING")


class Answers:
    """What the page asks of the store."""

    def __init__(self, store: str, names: Collection[str], links: Links) -> None:
        """
        Args:
            store: the tracking store.
            names: the only sweeps that are shown; none for all.
            links: other views of the store.
        """
        self._store, self._names, self._links = store, tuple(names), links
        self._last: _Read | None = None

    def read_latest(self) -> None:
        """Read the sweep that the page opens with: at 10,000 cells that takes longer than to draw it."""
        reader = open_reader(self._store)
        for name in self._shown(reader)[:1]:
            self._read(reader, name)

    def sweeps(self, request: Request) -> dict[str, Any]:
        """The sweeps, the latest first, how their last launches ended, and the links."""
        reader = open_reader(self._store)
        listed = [{"name": name, "launch": _launch_of(reader, name)} for name in self._shown(reader)]
        return {"store": masked(self._store), "sweeps": listed, "links": asdict(self._links)}

    def sweep(self, request: Request) -> dict[str, Any]:
        return self._read(*self._named(request, "name")).view

    def losses(self, request: Request) -> dict[str, Any]:
        reader, name = self._named(request, "name")
        shots = request.query_params.get("shots", "")
        if not (shots.isascii() and shots.isdecimal() and len(shots) < 10):
            raise UserError(f"shots: expected a whole number, found '{shots[:20]}'")
        last = self._last  # the page asks for losses right after the sweep
        read = last if last is not None and last.name == name else self._read(reader, name)
        return {"lines": loss_view(reader, read.rows, request.query_params.get("dataset", ""), int(shots))}

    def beside(self, request: Request) -> dict[str, Any]:
        reader, first = self._named(request, "name")
        _, second = self._named(request, "other")
        return differences(reader, (first, second))

    def _shown(self, reader: SweepReader) -> list[str]:
        return [name for name in reader.sweeps() if not self._names or name in self._names]

    def _read(self, reader: SweepReader, name: str) -> "_Read":
        """The sweep as it stands; not read again where the store is a file that nobody has written to since."""
        written, last = _written(self._store), self._last
        if last is not None and last.name == name and last.written == written != () and not last.running:
            return last
        rows = reader.read_cells(name, ())
        self._last = _Read(name, written, rows, asdict(sweep_view(reader, name, rows)))
        return self._last

    def _named(self, request: Request, key: str) -> tuple[SweepReader, str]:
        """The store, and the sweep that a request names.

        Raises:
            UserError: this board does not show it.
        """
        name = request.query_params.get(key, "")
        if self._names and name not in self._names:
            raise UserError(f"this board shows {', '.join(self._names)}; start one that shows '{name}'")
        return open_reader(self._store), name


def board_app(answers: Answers, hosts: "Hosts") -> Starlette:
    """The application; `hosts` says which requests are answered."""
    asked = {"sweeps": answers.sweeps, "sweep": answers.sweep, "losses": answers.losses, "beside": answers.beside}
    routes = [Route(path, _file(*found), methods=["GET"]) for path, found in FILES.items()]
    routes += [Route(f"/api/{name}", _json(answer), methods=["GET"]) for name, answer in asked.items()]
    return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts)])


@dataclass(frozen=True)
class Hosts:
    """By which names the board may be asked."""

    names: frozenset[str]
    any_address: bool = False
    """Whether every IP address will do: rebinding needs a name."""

    def answers(self, header: str) -> bool:
        """Whether a request with this `Host` is answered."""
        try:
            host = (urlsplit(f"//{header}").hostname or "").lower()
        except ValueError:
            return False
        return host in self.names or (self.any_address and _is_address(host))


class Guard:
    """Refuses other hosts, and sends `HEADERS` with every answer."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        given = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if len(given) != 1 or not self._hosts.answers(given[0]):
            refusal = PlainTextResponse("This board is not known by that name.\n", status_code=421)
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)


def _launch_of(reader: SweepReader, name: str) -> str:
    """`SweepStatus.launch`, for which no cell is read."""
    return status_from(name, (), reader.sweep_row(reader.named_experiment(name))).launch


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (Path(__file__).parent / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


def _json(answer: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
    """The answer as JSON; a fault as one line, without passwords."""

    async def respond(request: Request) -> Response:
        try:
            document, code = await run_in_threadpool(answer, request), 200
        except UserError as error:
            line = masked(" ".join(str(error).split()))
            document, code = {"error": line}, NOT_FOUND if "no sweep named" in line else UNUSABLE
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        return Response(text, status_code=code, media_type="application/json")

    return respond


def _written(store: str) -> tuple[int, ...]:
    """When a SQLite store's files were last written to, and their sizes; nothing of a store on a server."""
    path = sqlite_path(store)
    if path is None:
        return ()
    files = [file for file in (path, path.with_name(f"{path.name}-wal")) if file.exists()]
    return tuple(number for file in files for found in [file.stat()] for number in (found.st_mtime_ns, found.st_size))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
