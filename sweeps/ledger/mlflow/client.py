"""MLflow's client, opened for one process: patient, its errors in one line, and every page of an answer."""

import contextlib
import functools
import logging
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from mlflow.entities import Experiment, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random, wait_random_exponential

from dualpt.core.files.half_written import written_whole
from dualpt.sweeps import records
from dualpt.sweeps.ledger.mlflow.artifact_places import ArtifactPlaces
from dualpt.sweeps.ledger.mlflow.database import prepare
from dualpt.sweeps.ledger.mlflow.errors import artifacts_in_one_line, one_line
from dualpt.sweeps.stores import Collision, StoreUnavailable, absolute_uri, examine

PAGE = 2000
"""Runs asked for in one call."""

LONGEST_WAIT = 10.0
"""Seconds between two attempts, at most."""
PROOF_FILE = f"access/{socket.gethostname()}.txt"
"""Artifact that shows that a machine can write artifacts."""
MOST_COLLISIONS = 8
"""Attempts at a write that other processes keep meeting; the second finds their row, as a rule."""

Client = TypeVar("Client", bound="StoreClient")
T = TypeVar("T")
P = ParamSpec("P")


_OUTAGE_PAUSE = wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT)
_COLLISION_PAUSE = wait_random(0.01, 0.1)


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt; those of two processes that met are not to meet again."""
    met = state.outcome is not None and isinstance(state.outcome.exception(), Collision)
    return _COLLISION_PAUSE(state) if met else _OUTAGE_PAUSE(state)


class _Patience:
    """When a call is given up: collisions by their number, outages by the time that they last."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, Collision):
            return state.attempt_number >= MOST_COLLISIONS
        return (state.seconds_since_start or 0.0) >= self._seconds


def patient(method: Callable[Concatenate[Client, P], T]) -> Callable[Concatenate[Client, P], T]:
    """Repeat a whole method where two processes wrote at once, and, within the client's patience, while it is away."""

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

        The driver creates it before any worker looks (see `dualpt.sweeps.ledger.mlflow.database`).

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
            retry=retry_if_exception_type((StoreUnavailable, Collision)),
            stop=_Patience(patience),
            wait=_pause,
            reraise=True,
        )
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        for name in ("mlflow.store.db.utils", "mlflow.utils.databricks_utils"):  # which is raised as well
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if create:
            examine(self.uri)
        with one_line(self.uri):
            if create:
                prepare(self.uri)
            self._client = MlflowClient(self.uri)
            if create:
                self._client.search_experiments(max_results=1)

    def _experiments(self) -> list[Experiment]:
        return _pages(lambda token: self._client.search_experiments(page_token=token))

    def _runs(self, experiment_ids: Sequence[str], query: str, stage: int = ViewType.ACTIVE_ONLY) -> list[Run]:
        if not experiment_ids:
            return []
        where = list(experiment_ids)
        return _pages(lambda token: self._client.search_runs(where, query, stage, max_results=PAGE, page_token=token))

    def is_deleted(self, experiment_id: str) -> bool:
        """Whether an experiment was deleted, or purged since."""
        with one_line(self.uri):
            try:
                return bool(self._client.get_experiment(experiment_id).lifecycle_stage != "active")
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return True

    @contextlib.contextmanager
    def calls(self) -> Iterator[MlflowClient]:
        """MLflow's own client, its errors in one line: for what reads or moves whole runs."""
        with one_line(self.uri):
            yield self._client

    # Artifacts

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        """A local copy of one artifact of a run, in `folder` where it has to be fetched; None where there is none.

        Raises:
            ArtifactsRefused: the artifact store does not give it.
        """
        with one_line(self.uri):
            run = self._client.get_run(run_id)
        if folders := self.places.to_read(run):
            return next((own / path for own in folders if (own / path).is_file()), None)
        with artifacts_in_one_line(str(run.info.artifact_uri)), one_line(self.uri):
            if path not in {file.path for file in self._client.list_artifacts(run_id)}:
                return None
            return Path(self._client.download_artifacts(run_id, path, str(folder)))

    def whereabouts(self, run_id: str) -> str:
        """Where a run's artifacts were looked for, and what to do about missing ones."""
        with one_line(self.uri):
            return self.places.whereabouts(self._client.get_run(run_id))

    def attach(self, run_id: str, folder: Path, place: str) -> None:
        """Copy the files of `folder` to a run's artifacts, under `place`.

        Raises:
            ArtifactsRefused: the artifact store does not take them.
        """
        with artifacts_in_one_line(f"of run {run_id}"):
            if (own := self.places.to_write(self._client.get_run(run_id))) is not None:
                shutil.copytree(folder, own / place, dirs_exist_ok=True)
                return
            self._client.log_artifacts(run_id, str(folder), place)

    def prove_artifacts(self, run_id: str) -> None:
        """Find out whether this process can write a run's artifacts. A local folder keeps nothing of it.

        Raises:
            ArtifactsRefused: it cannot; the line says why, and the remedy.
        """
        with one_line(self.uri):
            run = self._client.get_run(run_id)
        with artifacts_in_one_line(str(run.info.artifact_uri)):
            if (own := self.places.to_write(run)) is not None:
                own.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=own):
                    return
            self._client.log_text(run_id, "Written to find out whether this machine may.\n", PROOF_FILE)

    def _write_artifacts(self, run: Run, files: Mapping[str, bytes]) -> None:
        """Write files as artifacts of a run, each whole or not at all where the store is a folder.

        Raises:
            ArtifactsRefused: the artifact store does not take them.
        """
        with artifacts_in_one_line(str(run.info.artifact_uri)):
            if (own := self.places.to_write(run)) is not None:
                own.mkdir(parents=True, exist_ok=True)
                for name, content in files.items():
                    with written_whole(own / name) as part:  # a full disk leaves no half of it behind
                        part.write_bytes(content)
                return
            with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
                for name, content in files.items():
                    (Path(folder) / name).write_bytes(content)
                self._client.log_artifacts(run.info.run_id, folder)


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
