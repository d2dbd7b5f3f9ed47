"""MLflow's client, opened for one process: patient, its errors in one line, and all pages of an answer."""

import contextlib
import functools
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from dualpt.core.errors import UserError
from dualpt.sweeps import records
from dualpt.sweeps.ledger.mlflow.places import ArtifactPlaces
from dualpt.sweeps.stores import StoreUnavailable, absolute_uri, examine, is_outage, sqlite_path

PAGE = 2000
"""Runs asked for in one call."""

LONGEST_WAIT = 10.0
"""Seconds between two attempts, at most."""

Client = TypeVar("Client", bound="StoreClient")
T = TypeVar("T")
P = ParamSpec("P")


def patient(method: Callable[Concatenate[Client, P], T]) -> Callable[Concatenate[Client, P], T]:
    """Repeat a whole method while the store is away, as long as the client's patience lasts."""

    def repeated(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def attempt() -> T:
            with one_line(self.uri):
                return method(self, *args, **kwargs)

        return self._retrying(attempt)

    functools.update_wrapper(repeated, method)
    return repeated


class StoreClient:
    """The tracking store, opened for one process."""

    def __init__(self, uri: str, *, create: bool = True, patience: float = 0.0) -> None:
        """Open the store, and create it where it does not exist.

        The driver creates it before any worker looks: MLflow's migrations of a fresh SQLite file fail when several
        processes begin them at once.

        Args:
            uri: `sqlite:///file.db` (relative paths count from the working directory), `http(s)://server`, or
                another database that MLflow knows.
            create: False in workers, where the store is known to be there and is not examined again.
            patience: seconds for which a call is repeated while the store does not answer.

        Raises:
            StoreUnavailable: the store does not answer; every other method raises it too, its patience over.
            UserError: one line that says why the store cannot be used, and the remedy.
        """
        self.uri = absolute_uri(uri)
        self.places = ArtifactPlaces(self.uri)
        self._retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT),
            reraise=True,
        )
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        if create:
            examine(self.uri)
            if (path := sqlite_path(self.uri)) is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        with one_line(self.uri):
            self._client = MlflowClient(self.uri)
            if create:
                self._client.search_experiments(max_results=1)

    def _experiments(self) -> list[Experiment]:
        return _pages(lambda token: self._client.search_experiments(page_token=token))

    def _runs(self, experiment_ids: Sequence[str], query: str) -> list[Run]:
        if not experiment_ids:
            return []
        return _pages(
            lambda token: self._client.search_runs(list(experiment_ids), query, max_results=PAGE, page_token=token)
        )

    @contextlib.contextmanager
    def calls(self) -> Iterator[MlflowClient]:
        """MLflow's own client, its errors in one line: for what reads or moves whole runs."""
        with one_line(self.uri):
            yield self._client

    # Artifacts

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        """A local copy of one artifact of a run, in `folder` where it has to be fetched; None where there is none."""
        with one_line(self.uri):
            if folders := self.places.to_read(self._client.get_run(run_id)):
                return next((own / path for own in folders if (own / path).is_file()), None)
            if path not in {file.path for file in self._client.list_artifacts(run_id)}:
                return None
            return Path(self._client.download_artifacts(run_id, path, str(folder)))

    def whereabouts(self, run_id: str) -> str:
        """Where a run's artifacts were looked for, and what to do about missing ones."""
        with one_line(self.uri):
            return self.places.whereabouts(self._client.get_run(run_id))

    def attach(self, run_id: str, folder: Path, place: str) -> None:
        """Copy the files of `folder` to a run's artifacts, under `place`."""
        with one_line(self.uri):
            if (own := self.places.to_write(self._client.get_run(run_id))) is not None:
                shutil.copytree(folder, own / place, dirs_exist_ok=True)
                return
            self._client.log_artifacts(run_id, str(folder), place)

    @contextlib.contextmanager
    def _artifacts(self, run: Run) -> Iterator[Path]:
        """A folder whose files become the run's artifacts: its own where that is local, else one that is uploaded."""
        if (own := self.places.to_write(run)) is not None:
            own.mkdir(parents=True, exist_ok=True)
            yield own
            return
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self._client.log_artifacts(run.info.run_id, folder)


@contextlib.contextmanager
def one_line(uri: str) -> Iterator[None]:
    """Turn MLflow's own errors, and those of a database beneath it, into one line; tell outages from refusals."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        text = str(error.message if isinstance(error, MlflowException) else error)
        reason = text.strip().splitlines()[0].partition(" (Background on this error")[0]
        kind = StoreUnavailable if _is_away(error, text) else UserError
        raise kind(f"tracking store {uri}: {reason}") from error


def _is_away(error: Exception, text: str) -> bool:
    """Whether the store may answer later: no connection, an error of the server's, or its database is away.

    MLflow calls some errors of a database a bad request, and the text alone tells them.
    """
    if not isinstance(error, MlflowException):
        return is_outage(error)
    status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    return status >= 500 or status == 429 or (status == 400 and ("psycopg" in text or "sqlite3.Op" in text))


def _pages(ask: Callable[[str | None], Any]) -> list[T]:
    """All pages of an MLflow search."""
    page = ask(None)
    found: list[T] = list(page)
    while page.token:
        page = ask(page.token)
        found += page
    return found


def level(level: str) -> str:
    return f"tags.`{records.LEVEL_TAG}` = '{level}'"


def id_of(run: Run) -> str:
    return str(run.info.run_id)


def child_of(run_id: str) -> str:
    return f"tags.`{records.PARENT_TAG}` = '{run_id}'"
