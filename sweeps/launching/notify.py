"""`run.notify`: a command of the user's that is called when a sweep ends, fails or finds a new best candidate.

It gets one JSON document on its standard input. Nothing that it does reaches the sweep: it runs beside it, is stopped
after `MOST_SECONDS`, and what it prints is thrown away.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from rich.markup import escape

from dualpt.core.config.activity import active_values
from dualpt.core.config.sections import Value
from dualpt.core.errors import UserError
from dualpt.search_spaces.overrides import parse_overrides, recorded_override
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.ledger.trials_page import page_on_server
from dualpt.sweeps.stores import masked

if TYPE_CHECKING:
    from dualpt.sweeps.launching.outcome import LaunchOutcome

Event = Literal["new best", "failure", "end"]
MOST_SECONDS = 20.0
"""How long the command may take."""
REST_SECONDS = 5.0
"""Between two calls: of several events of one kind in that time only the last is sent, with the counts as they are."""
STATUS = {0: "complete", 3: "some cells failed", 4: "budget spent", 130: "interrupted"}
"""How a sweep has ended, by the launch's exit code."""


def words_of(command: str) -> list[str]:
    """The words of a command, whose first is a program that exists.

    Raises:
        UserError: it is empty, has an open quote, or names no program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"run.notify: {error} in {command!r}; quote it as for a shell") from None
    if not words:
        raise UserError("run.notify: the command is empty; name a program, or leave the key out")
    if shutil.which(words[0]) is None:
        raise UserError(
            f"run.notify: there is no program '{words[0]}'; give an executable on PATH or its path (a pipe or a "
            "variable needs a shell: sh -c '…')"
        )
    return words


def notifier_of(sweep: LoadedSweep, warn: Callable[[str], None]) -> "Notifier":
    """What calls the sweep's command, or does nothing where it has none.

    Args:
        warn: receives one line, markup, when the command first fails.

    Raises:
        UserError: as in `words_of`.
    """
    command = sweep.file.run.notify
    if command is None:
        return Notifier(sweep, [], warn)
    return Notifier(sweep, words_of(command), warn)


@dataclass(frozen=True)
class _Call:
    """An event that waits to be told."""

    event: Event
    facts: Mapping[str, Any]
    best: tuple[str, float] | None


class Notifier:
    """Hears of a sweep's events (`SweepObserver`), and calls the command from a thread, one event after the other."""

    def __init__(self, sweep: LoadedSweep, words: list[str], warn: Callable[[str], None]) -> None:
        """
        Args:
            words: of the command; empty calls nothing.
        """
        self._sweep, self._words, self._warn = sweep, words, warn
        self._waiting: dict[Event, _Call] = {}
        self._news = threading.Condition()
        self._over = self._warned = False
        self._thread = threading.Thread(target=self._call_on, name="dualpt-notify", daemon=True)

    def failed(self, trial: str, reason: str, state: Mapping[str, Any]) -> None:
        self._tell("failure", state, {"trial": trial, "reason": reason})

    def improved(self, best: tuple[str, float], state: Mapping[str, Any]) -> None:
        self._tell("new best", state, {})

    def ended(self, outcome: "LaunchOutcome", state: Mapping[str, Any]) -> None:
        """Tell that the launch is over, and wait for the command: at most twice `MOST_SECONDS`."""
        facts = {"status": STATUS[outcome.exit_code], "exit_code": outcome.exit_code}
        best = None if outcome.best is None or outcome.best_value is None else (outcome.best, outcome.best_value)
        self._tell("end", {**state, "best": best}, facts)
        self._finish()

    @contextlib.contextmanager
    def telling_errors(self, state: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
        """Tell of an error that ends the launch before it has come to an outcome."""
        try:
            yield
        except Exception as error:
            reason = masked(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
            self._tell("end", state(), {"status": "error", "reason": reason})
            self._finish()
            raise

    def _tell(self, event: Event, state: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        if not self._words:
            return
        with self._news:
            self._waiting[event] = _call(event, state, facts)
            self._news.notify()
            if not self._thread.is_alive() and not self._over:
                self._thread.start()

    def _finish(self) -> None:
        with self._news:
            self._over = True
            for event in self._waiting.keys() - {"end"}:  # what they would say is in the last document, too
                del self._waiting[event]
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join(2 * MOST_SECONDS + 1)

    def _call_on(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    return
                call = self._waiting.pop(next(iter(self._waiting)))
            self._call(call)
            with self._news:
                self._news.wait_for(lambda: self._over, REST_SECONDS)

    def _call(self, call: _Call) -> None:
        try:
            fault = run_command(self._words, json.dumps(self._document(call)))
        except Exception as error:  # whatever it is, the sweep goes on
            fault = f"{type(error).__name__}: {error}"
        if fault is not None and not self._warned:
            self._warned = True
            self._warn(f"[yellow]run.notify[/]: {escape(fault)}; the sweep goes on, and later faults are not reported")

    def _document(self, call: _Call) -> dict[str, Any]:
        """What the command gets; what the store does not answer is null."""
        file = self._sweep.file
        link, best = None, None
        if call.best is not None:
            best = {"trial": call.best[0], "validation_accuracy": call.best[1], "values": dict[str, Value]()}
        with contextlib.suppress(Exception):  # the store is away: the event is told without it
            link = self._link()
            if best is not None and call.best is not None:
                best["values"] = self._values(call.best[0])
        return {
            "event": call.event,
            "sweep": file.name,
            **call.facts,
            "best": best,
            "mlflow": link,
            "store": masked(file.run.tracking_uri),
            "host": socket.gethostname(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _link(self) -> str | None:
        """The sweep's trials on its MLflow server; None where the store isn't one."""
        uri = self._sweep.file.run.tracking_uri
        return page_on_server(uri, open_reader(uri).named_experiment(self._sweep.file.name))

    def _values(self, trial: str) -> dict[str, Value]:
        """Searched key -> value of a recorded candidate, where it matters beside the others (as in `sweep --json`)."""
        reader = open_reader(self._sweep.file.run.tracking_uri)
        rows = reader.trials(reader.named_experiment(self._sweep.file.name))
        run_id = next(row.ref.run_id for row in rows if row.ref.name == trial and not row.superseded)
        params = reader.params_of([run_id])[run_id]
        searched = {p.key: params[p.key] for p in self._sweep.space if p.key in params}
        given = parse_overrides([recorded_override(key, text) for key, text in searched.items()])
        known = {key: value for key, value in given.items() if key in self._sweep.reference.keys}
        active = active_values(self._sweep.reference.with_values(known, source="run.notify"))
        return {key: value for key, value in given.items() if key not in known or key in active}


def _call(event: Event, state: Mapping[str, Any], facts: Mapping[str, Any]) -> _Call:
    counts = {name: state.get(name, 0) for name in ("cells", "finished", "failed", "trained")}
    return _Call(event, {"counts": counts, **facts}, state.get("best"))


def run_command(words: list[str], document: str, seconds: float = MOST_SECONDS) -> str | None:
    """Run a command with a document on its standard input; one line on what went wrong, or None.

    It is the head of its own process group: Ctrl-C does not reach it, and what it starts ends with it.
    """
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        return f"{words[0]}: {error.strerror}"
    try:
        process.communicate(document, timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"{words[0]} was stopped after {seconds:g} s"
    return None if process.returncode == 0 else f"{words[0]} ended with exit code {process.returncode}"
