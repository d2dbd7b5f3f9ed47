"""`dualpt board`: from the address to Ctrl-C."""

import contextlib
import errno
import ipaddress
import shlex
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import uvicorn
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.sweeps.board.server import Answers, Hosts, Links, board_app
from dualpt.sweeps.console import say_whole
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.stores import masked

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LAST_SECONDS = 2
"""For requests that are being answered when the board ends."""


def serve_board(
    console: Console,
    names: Sequence[str],
    *,
    store: str,
    study: str,
    host: str,
    port: int,
    mlflow: str | None,
    optuna: str | None,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        names: the only sweeps that are shown; none for all of the store.
        study: Optuna study storage, for the command that opens its dashboard.
        host: address to listen on.
        port: 0 for any that is free.
        mlflow: address of an MLflow server or `mlflow ui`; None is the store's own, where it is a server.
        optuna: address of an `optuna-dashboard`.

    Raises:
        UserError: no such store or sweep, an address that cannot be listened on, or a link that is none.
    """
    reader = open_reader(store)
    for name in names:
        reader.named_experiment(name)
    links = links_to(store, study, mlflow=mlflow, optuna=optuna)
    with listening(host, port) as listener:
        address = url_of(host, listener)
        answers = Answers(store, names, links)
        answers.read_latest()
        app = board_app(answers, hosts_of(host))
        say_whole(console, f"board: {address}   (Ctrl-C ends it)")
        if not is_loopback(host):
            console.print("  it answers to other machines: whoever reaches this one can read the store's sweeps")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=LAST_SECONDS, server_header=False
        )
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn has ended by then, and passes the signal on
            uvicorn.Server(config).run(sockets=[listener])
    console.print("  board closed")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: the port is taken or may not be used, or the address is not one of this machine's.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"--host: {host} is no address of this machine ({error.strerror})") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"--port: {port} is taken by another program; choose another one, or --port 0 for any that is free"
            ) from None
        if error.errno == errno.EACCES:
            raise UserError(f"--port: {port} may not be used ({error.strerror}); choose one from 1024 on") from None
        raise UserError(f"--host: {host} cannot be listened on ({error.strerror})") from None
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    """What to type into a browser on this machine."""
    port = listener.getsockname()[1]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hosts_of(host: str) -> Hosts:
    """By which names a board may be asked that listens on `host`."""
    if is_loopback(host):
        return Hosts(frozenset({*LOOPBACK, host.lower()}))
    names = {*LOOPBACK, host, socket.gethostname(), socket.getfqdn()}
    return Hosts(frozenset(name.lower() for name in names), any_address=True)


def links_to(store: str, study: str, *, mlflow: str | None, optuna: str | None) -> Links:
    """Addresses of MLflow and of Optuna's dashboard, and the commands that serve them here where none is known.

    Raises:
        UserError: an address that is not http or https.
    """
    served = store if mlflow is None and urlsplit(store).scheme in ("http", "https") else mlflow
    commands = [] if served else [f"mlflow ui --backend-store-uri {shlex.quote(masked(store))}"]
    commands += [] if optuna else [f"optuna-dashboard {shlex.quote(masked(study))}"]
    return Links(_address(served, "--mlflow"), _address(optuna, "--optuna"), commands)


def _address(given: str | None, option: str) -> str:
    """An address without the user and password that may stand in it."""
    if not given:
        return ""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{option}: expected an address such as http://127.0.0.1:5000, found '{masked(given)}'")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
