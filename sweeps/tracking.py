"""MLflow as the ledger: runs of sweeps, trials and cells. The only module that speaks to MLflow.

One experiment a sweep; the sweep's run, its trials and their cells nest by MLflow's own parent tag. Workers write their
cells themselves, in five calls a cell, and mark a cell FINISHED last.

Every method can be called again after an outage: what the store already holds is found and completed, not doubled.
"""

import contextlib
import functools
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow would repeat a single request, though the server may have carried it out; here whole methods are repeated.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from core.config import Setting
from core.errors import UserError
from sweeps import cell_records, records
from sweeps.bulk_reading import StoredRun, is_readable_by_sql, read_runs
from sweeps.cell_records import CellRecord
from sweeps.contents import (
    LOSS,
    SETTING_FILE,
    read_cell,
    read_setting,
    read_sweep,
    read_trial,
    trial_tags,
    write_setting,
)
from sweeps.reading import PLACE_PARAMS, SweepReader, check_schema, deleted
from sweeps.records import CellRow, KeyedCell, Status, SweepRow, TrialRef, TrialRow, grid_metrics, latest, setting_hash
from sweeps.stores import StoreUnavailable, absolute_uri, examine, is_outage, sqlite_path

if TYPE_CHECKING:
    from core.cell import CellResult

PAGE = 2000
"""Runs asked for in one call."""

LONGEST_WAIT = 10.0
"""Seconds between two attempts, at most."""

T = TypeVar("T")
P = ParamSpec("P")


def _patient(method: Callable[Concatenate["Ledger", P], T]) -> Callable[Concatenate["Ledger", P], T]:
    """Repeat a whole method while the store is away, as long as the ledger's patience lasts."""

    def repeated(self: "Ledger", /, *args: P.args, **kwargs: P.kwargs) -> T:
        def attempt() -> T:
            with _one_line(self.uri):
                return method(self, *args, **kwargs)

        return self._retrying(attempt)

    functools.update_wrapper(repeated, method)
    return repeated


class Ledger(SweepReader):
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
        with _one_line(self.uri):
            self._client = MlflowClient(self.uri)
            if create:
                self._client.search_experiments(max_results=1)

    # Experiments, sweeps, trials

    @_patient
    def experiment(self, name: str, description: str = "") -> str:
        """The id of the sweep's experiment, created where it is new.

        Raises:
            UserError: an experiment of this name was deleted in MLflow.
        """
        existing = self.find_experiment(name)
        if existing is None:
            tags = {records.NOTE_TAG: description} if description else {}
            return str(self._client.create_experiment(name, self._artifact_root(name), tags))
        if description:
            self._client.set_experiment_tag(existing, records.NOTE_TAG, description)
        return existing

    @_patient
    def find_experiment(self, name: str) -> str | None:
        """The id of the sweep's experiment, or None where there is none.

        Raises:
            UserError: an experiment of this name was deleted in MLflow.
        """
        existing = self._client.get_experiment_by_name(name)
        if existing is None:
            return None
        number = str(existing.experiment_id)
        if existing.lifecycle_stage != "active":
            raise deleted(name, number)
        return number

    @_patient
    def open_sweep(self, experiment_id: str, name: str) -> str:
        """The sweep's run, reopened where there is one."""
        for run in self._runs([experiment_id], _level("sweep")):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return _id(run)
        tags = {records.LEVEL_TAG: "sweep", records.SWEEP_TAG: name, records.SCHEMA_TAG: records.SCHEMA}
        return _id(self._client.create_run(experiment_id, tags=tags, run_name=name))

    @_patient
    def declare(self, sweep_run: str, text: str) -> None:
        """Write on the sweep's run what its launch is to run (`sweeps.declared`)."""
        self._client.set_tag(sweep_run, records.GRID_TAG, text)

    @_patient
    def launch_of(self, experiment_id: str) -> tuple[str, Status, str] | None:
        """The sweep's run, its status, and what the process that last ran it wrote there (`mark_launch`), or None."""
        for run in self._runs([experiment_id], _level("sweep")):
            return _id(run), run.info.status, run.data.tags.get(records.LAUNCH_TAG, "")
        return None

    @_patient
    def mark_launch(self, sweep_run: str, text: str) -> None:
        """Write who runs the sweep, and how far it is, on its run."""
        self._client.set_tag(sweep_run, records.LAUNCH_TAG, text)

    @_patient
    def trials(self, experiment_id: str) -> list[TrialRow]:
        """The trials on record, superseded ones included.

        Raises:
            UserError: they were recorded by a version with another schema.
        """
        runs = self._runs([experiment_id], _level("trial"))
        check_schema(runs, self.uri)
        return [read_trial(run) for run in runs]

    @_patient
    def open_trial(
        self, experiment_id: str, sweep_run: str, sweep: str, name: str, kind: records.Kind, setting: Setting
    ) -> TrialRef:
        """The run of a trial: reopened where this setting has one, else a new one that supersedes its namesakes."""
        wanted = setting_hash(setting)
        namesakes = self._runs([experiment_id], f"{_level('trial')} and tags.`{records.TRIAL_TAG}` = '{name}'")
        for run in namesakes:
            if run.data.tags[records.SETTING_TAG] != wanted:
                self._client.set_tag(run.info.run_id, records.SUPERSEDED_TAG, "true")
        params = {key: str(value) for key, value in setting.flat().items()}
        for run in namesakes:
            if run.data.tags[records.SETTING_TAG] == wanted:
                self._client.update_run(run.info.run_id, status="RUNNING")
                for tag in (records.SUPERSEDED_TAG, records.PRUNED_TAG):
                    if tag in run.data.tags:
                        self._client.delete_tag(run.info.run_id, tag)
                if len(run.data.params) < len(params):  # cut off while it was made
                    self._describe_trial(run, params, setting)
                return read_trial(run).ref
        own = {records.LEVEL_TAG: "trial", records.PARENT_TAG: sweep_run}
        trial = TrialRef(experiment_id, "", sweep, name, kind, wanted)
        run = self._client.create_run(experiment_id, tags={**trial_tags(trial), **own}, run_name=name)
        self._describe_trial(run, params, setting)
        return replace(trial, run_id=_id(run))

    def _describe_trial(self, run: Run, params: Mapping[str, str], setting: Setting) -> None:
        """Its parameters last: a trial that has them all is whole."""
        with self._artifacts(run) as folder:
            write_setting(folder, setting)
        self._client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in params.items()])

    @_patient
    def close_trial(self, trial: TrialRef, status: Status, pruned: str | None = None) -> None:
        """Write the trial's grid aggregates from its recorded cells, and end its run.

        Args:
            pruned: why a race gave it up. Its means are left out: beside those of whole trials they would mislead.
        """
        aggregates = grid_metrics(latest(self.trial_cells(trial)))
        if pruned is None:
            self.close(trial.run_id, status, aggregates)
        else:
            known = {name: value for name, value in aggregates.items() if not name.startswith("grid/mean/")}
            self.close(trial.run_id, status, known, {records.PRUNED_TAG: pruned})

    @_patient
    def mark_selected(self, experiment_id: str, name: str) -> None:
        """Tag the trial of the best candidate, and no other."""
        for row in self.trials(experiment_id):
            if row.ref.name == name and not row.superseded:
                self._client.set_tag(row.ref.run_id, records.SELECTED_TAG, "true")
            elif row.selected:
                self._client.delete_tag(row.ref.run_id, records.SELECTED_TAG)

    @_patient
    def close(
        self,
        run_id: str,
        status: Status,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """End a sweep's or trial's run."""
        now = _now_ms()
        for key, value in (tags or {}).items():
            self._client.set_tag(run_id, key, value)
        if metrics:
            self._client.log_batch(run_id, [Metric(key, value, now, 0) for key, value in metrics.items()])
        self._client.set_terminated(run_id, status, now)

    # Cells

    def record(self, trial: TrialRef, keyed: KeyedCell, result: "CellResult", seconds: float) -> str:
        """Write one trained cell under its trial; FINISHED comes last, or FAILED with the reason.

        Args:
            seconds: the cell's share of the wall time of its pack.

        Returns:
            The id of the cell's run.
        """
        return self.deliver(cell_records.trained(trial, keyed, result, seconds))

    def record_failure(
        self, trial: TrialRef, keyed: KeyedCell, reason: str, seconds: float = 0.0, details: str = ""
    ) -> str:
        """Write a cell that gave no result at all, with the reason in one line and, at length, as a file.

        Returns the id of its run.
        """
        return self.deliver(cell_records.failed(trial, keyed, reason, seconds, details))

    def reuse(self, source_run_id: str, trial: TrialRef, keyed: KeyedCell) -> str:
        """Write a cell whose numbers are already in the store, under another trial or sweep.

        The copy holds the metrics, so that each experiment's tables are whole, and names the run it came from, where
        the artifacts are. Returns the id of the copy's run.
        """
        return self.deliver(cell_records.copied(trial, keyed, self._cell(source_run_id)))

    def deliver(self, record: CellRecord, *, again: bool = False) -> str:
        """Write an attempt at a cell, and return the id of its run.

        Args:
            record: what happened.
            again: whether it may be there already, whole or half written, or its cell finished by another attempt:
                then it is completed, or left, instead of written twice. Repeated calls of this method look by
                themselves.
        """
        tries = itertools.count()

        def attempt() -> str:
            with _one_line(self.uri):
                known = self._known(record) if next(tries) or again else None
                if known is not None and _settled(known, record):
                    return _id(known)
                return self._write(record, known)

        return self._retrying(attempt)

    @_patient
    def trial_cells(self, trial: TrialRef) -> list[CellRow]:
        """Every recorded attempt at a cell of one trial."""
        return [read_cell(run) for run in self._runs([trial.experiment_id], _child_of(trial.run_id))]

    @_patient
    def _cell(self, run_id: str) -> CellRow:
        return read_cell(self._client.get_run(run_id))

    def _known(self, record: CellRecord) -> Run | None:
        """The run of a finished attempt at this cell of this trial, else this very attempt's, else None."""
        place = f"{_child_of(record.trial_run_id)} and tags.`{records.KEY_TAG}` = '{record.key}'"
        runs = self._runs([record.experiment_id], place)
        finished = next((run for run in runs if run.info.status == "FINISHED"), None)
        own = (run for run in runs if run.data.tags.get(records.RECORD_TAG) == record.number)
        return finished or next(own, None)

    def _write(self, record: CellRecord, begun: Run | None) -> str:
        """Write a record as a run, or what is missing of a run that has been begun; its end comes last.

        Metrics and parameters that are there already are the same ones, and MLflow takes them twice.
        """
        run = begun or self._client.create_run(record.experiment_id, record.started_ms, dict(record.tags), record.label)
        run_id = _id(run)
        metrics = [Metric(point.name, point.value, record.ended_ms, point.step) for point in record.metrics]
        self._client.log_batch(run_id, metrics, [Param(key, value) for key, value in record.params.items()])
        self._client.log_inputs(run_id, [_dataset_input(record.dataset)])
        if record.files:
            with self._artifacts(run) as folder:
                for name, content in record.files.items():
                    (folder / name).write_bytes(content)
        self._client.set_terminated(run_id, "FINISHED" if record.failure is None else "FAILED", record.ended_ms)
        return run_id

    # Reading, in bulk

    @_patient
    def cells(self, experiment_id: str, params: Sequence[str] | None = None) -> list[CellRow]:
        """Every recorded attempt at a cell of one experiment, superseded trials included.

        `params` are the parameters that rows must hold, besides those that say which cell it is; None is all.

        Orphans that were cut off before their parameters were written do not say which cell they are, and are left out.
        """
        rows = map(read_cell, self._cell_runs([experiment_id], params=_with_place(params)))
        return [row for row in rows if row.dataset]

    @_patient
    def finished_cells(self) -> dict[str, CellRow]:
        """The finished cells of the whole store by key; of several with the same key, the last recorded.

        Those of another schema are no results of this version, and are left out.
        """
        everywhere = [experiment.experiment_id for experiment in self._experiments()]
        runs = self._cell_runs(everywhere, finished_only=True, params=PLACE_PARAMS)
        rows = [read_cell(run) for run in runs if run.data.tags.get(records.SCHEMA_TAG) == records.SCHEMA]
        return {row.key: row for row in sorted(rows, key=lambda row: row.recorded_ms)}

    @_patient
    def sweep_row(self, experiment_id: str) -> SweepRow | None:
        """The run of a sweep, or None where its experiment holds none."""
        runs = self._runs([experiment_id], _level("sweep"))
        if not runs:
            return None
        description = self._client.get_experiment(experiment_id).tags.get(records.NOTE_TAG, "")
        return read_sweep(runs[0], description)

    @_patient
    def sweeps(self) -> list[str]:
        """Names of the sweeps on record, the latest first."""
        everywhere = [experiment.experiment_id for experiment in self._experiments()]
        runs = self._runs(everywhere, _level("sweep"))
        return list(dict.fromkeys(run.data.tags[records.SWEEP_TAG] for run in runs))

    @_patient
    def loss_curves(self, run_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """The training losses of cells by epoch; empty where one trained nothing, and where it was reused."""
        histories = {run_id: self._client.get_metric_history(run_id, LOSS) for run_id in run_ids}
        return {run: sorted((p.step, p.value) for p in points if p.step > 0) for run, points in histories.items()}

    @_patient
    def selected_settings(self, name: str) -> list[Mapping[str, Any]]:
        """What an earlier sweep selected: every key of its best setting, or of each of its Pareto front.

        Raises:
            UserError: there is no such sweep, or it has selected nothing yet.
        """
        experiment_id = self.named_experiment(name)
        best = [row.ref for row in self.trials(experiment_id) if row.ref.kind == "best" and not row.superseded]
        if not best:
            raise UserError(f"sweep '{name}' in {self.uri} has selected no setting yet; finish it first")
        with tempfile.TemporaryDirectory() as folder:
            paths = [self._client.download_artifacts(ref.run_id, SETTING_FILE, folder) for ref in best]
            return [read_setting(Path(path)) for path in paths]

    @_patient
    def close_orphans(self, experiment_id: str) -> int:
        """Mark trials and cells that a killed launch left RUNNING as KILLED; returns how many cells."""
        left = "attributes.status = 'RUNNING'"
        cells = self._runs([experiment_id], f"{_level('cell')} and {left}")
        for run in [*cells, *self._runs([experiment_id], f"{_level('trial')} and {left}")]:
            self._client.set_terminated(run.info.run_id, "KILLED")
        return len(cells)

    def _cell_runs(
        self, experiment_ids: Sequence[str], *, finished_only: bool = False, params: Sequence[str] | None = None
    ) -> Sequence[Run | StoredRun]:
        """Runs of cells, by SQL where the store is a database: MLflow's client is slow above some hundred."""
        if is_readable_by_sql(self.uri):
            return read_runs(self.uri, experiment_ids, finished_only=finished_only, params=params)
        finished = " and attributes.status = 'FINISHED'" if finished_only else ""
        return self._runs(experiment_ids, _level("cell") + finished)

    def _experiments(self) -> list[Experiment]:
        return _pages(lambda token: self._client.search_experiments(page_token=token))

    def _runs(self, experiment_ids: Sequence[str], query: str) -> list[Run]:
        if not experiment_ids:
            return []
        return _pages(
            lambda token: self._client.search_runs(list(experiment_ids), query, max_results=PAGE, page_token=token)
        )

    def cells_whose(self, prefix: str) -> list[CellRow]:
        """Cells anywhere in the store whose run id or cell key begins with `prefix` (hex digits)."""
        with _one_line(self.uri):
            everywhere = [experiment.experiment_id for experiment in self._experiments()]
            found = self._runs(everywhere, f"{_level('cell')} and attributes.run_id LIKE '{prefix}%'")
            found += self._runs(everywhere, f"{_level('cell')} and tags.`{records.KEY_TAG}` LIKE '{prefix}%'")
        return list({row.run_id: row for row in map(read_cell, found)}.values())

    @contextlib.contextmanager
    def calls(self) -> Iterator[MlflowClient]:
        """MLflow's own client, its errors in one line: for what reads or moves whole runs."""
        with _one_line(self.uri):
            yield self._client

    # Artifacts

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        """A local copy of one artifact of a run, in `folder` where it has to be fetched; None where there is none."""
        with _one_line(self.uri):
            run = self._client.get_run(run_id)
            if (own := _local_artifacts(run)) is not None:
                return own / path if (own / path).is_file() else None
            if path not in {file.path for file in self._client.list_artifacts(run_id)}:
                return None
            return Path(self._client.download_artifacts(run_id, path, str(folder)))

    def attach(self, run_id: str, folder: Path, place: str) -> None:
        """Copy the files of `folder` to a run's artifacts, under `place`."""
        with _one_line(self.uri):
            self._client.log_artifacts(run_id, str(folder), place)

    def _artifact_root(self, experiment: str) -> str | None:
        """Beside an SQLite file, wherever the process stands; elsewhere the server decides."""
        path = sqlite_path(self.uri)
        return None if path is None else (path.parent / "mlartifacts" / experiment).as_uri()

    @contextlib.contextmanager
    def _artifacts(self, run: Run) -> Iterator[Path]:
        """A folder whose files become the run's artifacts: its own where that is local, else one that is uploaded."""
        if (own := _local_artifacts(run)) is not None:
            own.mkdir(parents=True, exist_ok=True)
            yield own
            return
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self._client.log_artifacts(run.info.run_id, folder)


def _local_artifacts(run: Run) -> Path | None:
    """The folder of a run's artifacts, which may not exist yet; None where they lie on a server."""
    place = urlsplit(run.info.artifact_uri)
    return Path(unquote(place.path)) if place.scheme in ("", "file") else None


@contextlib.contextmanager
def _one_line(uri: str) -> Iterator[None]:
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


def _settled(known: Run, record: CellRecord) -> bool:
    """Whether nothing is left to write: the cell is finished, or this attempt is recorded as failed."""
    return known.info.status == "FINISHED" or (known.info.status == "FAILED" and record.failure is not None)


def _pages(ask: Callable[[str | None], Any]) -> list[T]:
    """All pages of an MLflow search."""
    page = ask(None)
    found: list[T] = list(page)
    while page.token:
        page = ask(page.token)
        found += page
    return found


def _with_place(params: Sequence[str] | None) -> Sequence[str] | None:
    return None if params is None else [*PLACE_PARAMS, *params]


def _level(level: str) -> str:
    return f"tags.`{records.LEVEL_TAG}` = '{level}'"


def _id(run: Run) -> str:
    return str(run.info.run_id)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _child_of(run_id: str) -> str:
    return f"tags.`{records.PARENT_TAG}` = '{run_id}'"


def _dataset_input(described: Mapping[str, str]) -> DatasetInput:
    dataset = Dataset(described["name"], described["digest"], source_type="dualpt", source=described["source"])
    return DatasetInput(dataset, [InputTag("mlflow.data.context", described["context"])])
