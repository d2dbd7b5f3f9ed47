"""MLflow as the ledger: runs of sweeps, trials and cells. The only module that speaks to MLflow.

One experiment a sweep; the sweep's run, its trials and their cells nest by MLflow's own parent tag. Workers write their
cells themselves, in five calls a cell, and mark a cell FINISHED last.
"""

import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from core.cells import Cell
from core.config import Setting
from core.errors import UserError, nearest
from sweeps import records
from sweeps.bulk_reading import StoredRun, is_database, read_cell_runs
from sweeps.contents import (
    LOSS,
    SETTING_FILE,
    cell_params,
    cell_points,
    cell_tags,
    origin_tags,
    read_cell,
    read_setting,
    read_trial,
    trial_tags,
    write_cell,
    write_failure,
    write_setting,
)
from sweeps.records import CellRow, KeyedCell, Status, SweepRow, TrialRef, TrialRow, grid_metrics, latest, setting_hash
from sweeps.stores import absolute_uri, examine, sqlite_path

if TYPE_CHECKING:
    from core.cell import CellResult

PAGE = 2000
"""Runs asked for in one call."""

NOTE_TAG = "mlflow.note.content"
"""What MLflow shows as an experiment's description."""

PLACE_PARAMS = (records.DATASET_PARAM, records.PROTOCOL_PARAM, records.SHOTS_PARAM, records.SEED_PARAM)
"""Parameters that say which cell a run is."""

T = TypeVar("T")


class Ledger:
    """The tracking store, opened for one process."""

    def __init__(self, uri: str, *, create: bool = True) -> None:
        """Open the store, and create it where it does not exist.

        The driver creates it before any worker looks: MLflow's migrations of a fresh SQLite file fail when several
        processes begin them at once.

        Args:
            uri: `sqlite:///file.db` (relative paths count from the working directory), `http(s)://server`, or
                another database that MLflow knows.
            create: False in workers, where the store is known to be there and is not examined again.

        Raises:
            UserError: one line that says why the store cannot be used, and the remedy.
        """
        self.uri = absolute_uri(uri)
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

    def experiment(self, name: str, description: str = "") -> str:
        """The id of the sweep's experiment, created where it is new.

        Raises:
            UserError: an experiment of this name was deleted in MLflow.
        """
        existing = self.find_experiment(name)
        with _one_line(self.uri):
            if existing is None:
                tags = {NOTE_TAG: description} if description else {}
                return str(self._client.create_experiment(name, self._artifact_root(name), tags))
            if description:
                self._client.set_experiment_tag(existing, NOTE_TAG, description)
            return existing

    def find_experiment(self, name: str) -> str | None:
        """The id of the sweep's experiment, or None where there is none.

        Raises:
            UserError: an experiment of this name was deleted in MLflow.
        """
        with _one_line(self.uri):
            existing = self._client.get_experiment_by_name(name)
        if existing is None:
            return None
        number = str(existing.experiment_id)
        if existing.lifecycle_stage != "active":
            raise UserError(
                f"experiment '{name}' was deleted in MLflow: restore it with "
                f"`mlflow experiments restore --experiment-id {number}`, or choose another name with name=…"
            )
        return number

    def open_sweep(self, experiment_id: str, name: str) -> str:
        """The sweep's run, reopened where there is one."""
        with _one_line(self.uri):
            for run in self._runs([experiment_id], _level("sweep")):
                self._client.update_run(run.info.run_id, status="RUNNING")
                return _id(run)
            tags = {records.LEVEL_TAG: "sweep", records.SWEEP_TAG: name, records.SCHEMA_TAG: records.SCHEMA}
            return _id(self._client.create_run(experiment_id, tags=tags, run_name=name))

    def trials(self, experiment_id: str) -> list[TrialRow]:
        """The trials on record, superseded ones included.

        Raises:
            UserError: they were recorded by a version with another schema.
        """
        with _one_line(self.uri):
            runs = self._runs([experiment_id], _level("trial"))
        _check_schema(runs, self.uri)
        return [read_trial(run) for run in runs]

    def open_trial(
        self, experiment_id: str, sweep_run: str, sweep: str, name: str, kind: records.Kind, setting: Setting
    ) -> TrialRef:
        """The run of a trial: reopened where this setting has one, else a new one that supersedes its namesakes."""
        wanted = setting_hash(setting)
        with _one_line(self.uri):
            namesakes = self._runs([experiment_id], f"{_level('trial')} and tags.`{records.TRIAL_TAG}` = '{name}'")
            for run in namesakes:
                if run.data.tags[records.SETTING_TAG] != wanted:
                    self._client.set_tag(run.info.run_id, records.SUPERSEDED_TAG, "true")
            for run in namesakes:
                if run.data.tags[records.SETTING_TAG] == wanted:
                    self._client.update_run(run.info.run_id, status="RUNNING")
                    for tag in (records.SUPERSEDED_TAG, records.PRUNED_TAG):
                        if tag in run.data.tags:
                            self._client.delete_tag(run.info.run_id, tag)
                    return read_trial(run).ref
            own = {records.LEVEL_TAG: "trial", records.PARENT_TAG: sweep_run}
            trial = TrialRef(experiment_id, "", sweep, name, kind, wanted)
            run = self._client.create_run(experiment_id, tags={**trial_tags(trial), **own}, run_name=name)
            params = [Param(key, str(value)) for key, value in setting.flat().items()]
            self._client.log_batch(run.info.run_id, params=params)
            with self._artifacts(run) as folder:
                write_setting(folder, setting)
        return replace(trial, run_id=_id(run))

    def close_trial(self, trial: TrialRef, status: Status, pruned: str | None = None) -> None:
        """Write the trial's grid aggregates from its recorded cells, and end its run.

        Args:
            pruned: why a race gave it up. Its means are left out: beside those of whole trials they would mislead.
        """
        with _one_line(self.uri):
            own = self._runs([trial.experiment_id], f"tags.`{records.PARENT_TAG}` = '{trial.run_id}'")
            aggregates = grid_metrics(latest(map(read_cell, own)))
        if pruned is None:
            self.close(trial.run_id, status, aggregates)
        else:
            known = {name: value for name, value in aggregates.items() if not name.startswith("grid/mean/")}
            self.close(trial.run_id, status, known, {records.PRUNED_TAG: pruned})

    def mark_selected(self, experiment_id: str, name: str) -> None:
        """Tag the trial of the best candidate, and no other."""
        for row in self.trials(experiment_id):
            with _one_line(self.uri):
                if row.ref.name == name and not row.superseded:
                    self._client.set_tag(row.ref.run_id, records.SELECTED_TAG, "true")
                elif row.selected:
                    self._client.delete_tag(row.ref.run_id, records.SELECTED_TAG)

    def close(
        self,
        run_id: str,
        status: Status,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """End a sweep's or trial's run."""
        now = _now_ms()
        with _one_line(self.uri):
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
        now = _now_ms()
        with _one_line(self.uri):
            run = self._create_cell(trial, keyed, seconds, origin_tags(result))
            metrics = [Metric(point.name, point.value, now, point.step) for point in cell_points(result)]
            self._fill(run, keyed.cell, metrics, result.sample_fingerprint)
            with self._artifacts(run) as folder:
                write_cell(folder, keyed, result)
            self._end_cell(run, result.failure)
        return _id(run)

    def record_failure(
        self, trial: TrialRef, keyed: KeyedCell, reason: str, seconds: float = 0.0, details: str = ""
    ) -> str:
        """Write a cell that gave no result at all, with the reason in one line and, at length, as a file.

        Returns the id of its run.
        """
        with _one_line(self.uri):
            run = self._create_cell(trial, keyed, seconds, {})
            self._fill(run, keyed.cell, [], sample=None)
            if details:
                with self._artifacts(run) as folder:
                    write_failure(folder, details)
            self._end_cell(run, reason)
        return _id(run)

    def reuse(self, source_run_id: str, trial: TrialRef, keyed: KeyedCell) -> str:
        """Write a cell whose numbers are already in the store, under another trial or sweep.

        The copy holds the metrics, so that each experiment's tables are whole, and names the run it came from, where
        the artifacts are. Returns the id of the copy's run.
        """
        now = _now_ms()
        with _one_line(self.uri):
            source = self._client.get_run(source_run_id)
            row = read_cell(source)
            tags = {records.REUSED_TAG: row.reused_from or source_run_id, **row.origin}
            run = self._create_cell(trial, keyed, row.seconds, tags)
            metrics = [Metric(name, value, now, 0) for name, value in source.data.metrics.items()]
            self._fill(run, keyed.cell, metrics, row.origin.get(records.SAMPLE_TAG))
            self._end_cell(run, failure=None)
        return _id(run)

    def _create_cell(self, trial: TrialRef, keyed: KeyedCell, seconds: float, tags: Mapping[str, str]) -> Run:
        """Begin a cell's run, dated back by `seconds`: its duration in MLflow is what the cell took."""
        started = _now_ms() - round(1000 * seconds)
        own = cell_tags(trial, keyed)
        return self._client.create_run(trial.experiment_id, started, {**own, **tags}, keyed.cell.label)

    def _fill(self, run: Run, cell: Cell, metrics: list[Metric], sample: str | None) -> None:
        params = [Param(key, value) for key, value in cell_params(cell).items()]
        self._client.log_batch(run.info.run_id, metrics, params)
        self._client.log_inputs(run.info.run_id, [_dataset_input(cell, sample)])

    def _end_cell(self, run: Run, failure: str | None) -> None:
        if failure is not None:
            self._client.set_tag(run.info.run_id, records.FAILURE_TAG, failure[:1000])
        self._client.set_terminated(run.info.run_id, "FINISHED" if failure is None else "FAILED")

    # Reading, in bulk

    def cells(self, experiment_id: str, params: Sequence[str] | None = None) -> list[CellRow]:
        """Every recorded attempt at a cell of one experiment, superseded trials included.

        `params` are the parameters that rows must hold, besides those that say which cell it is; None is all.

        Orphans that were cut off before their parameters were written do not say which cell they are, and are left out.
        """
        rows = map(read_cell, self._cell_runs([experiment_id], params=_with_place(params)))
        return [row for row in rows if row.dataset]

    def finished_cells(self) -> dict[str, CellRow]:
        """The finished cells of the whole store by key; of several with the same key, the last recorded.

        Those of another schema are no results of this version, and are left out.
        """
        with _one_line(self.uri):
            everywhere = [experiment.experiment_id for experiment in self._experiments()]
        runs = self._cell_runs(everywhere, finished_only=True, params=PLACE_PARAMS)
        rows = [read_cell(run) for run in runs if run.data.tags.get(records.SCHEMA_TAG) == records.SCHEMA]
        return {row.key: row for row in sorted(rows, key=lambda row: row.recorded_ms)}

    def shown_cells(self, experiment_id: str, params: Sequence[str] | None = None) -> list[CellRow]:
        """One row a cell of each trial that is not superseded (see `latest`); `params` as of `cells`."""
        hidden = {row.ref.run_id for row in self.trials(experiment_id) if row.superseded}
        return latest(row for row in self.cells(experiment_id, params) if row.trial_run_id not in hidden)

    def read_cells(self, name: str, params: Sequence[str] | None = None) -> list[CellRow]:
        """What a table of the sweep shows; `params` as of `cells`.

        Raises:
            UserError: there is no such sweep; those there are are named.
        """
        return self.shown_cells(self.named_experiment(name), params)

    def named_experiment(self, name: str) -> str:
        """The id of a sweep's experiment.

        Raises:
            UserError: there is no such sweep; those there are are named.
        """
        experiment_id = self.find_experiment(name)
        if experiment_id is None:
            known = self.sweeps()
            raise UserError(
                f"no sweep named '{name}' in {self.uri}{nearest(name, known)} (recorded: {', '.join(known) or 'none'})"
            )
        return experiment_id

    def read_sweep(self, name: str) -> SweepRow:
        """The run of a sweep.

        Raises:
            UserError: there is no such sweep.
        """
        experiment_id = self.named_experiment(name)
        with _one_line(self.uri):
            description = self._client.get_experiment(experiment_id).tags.get(NOTE_TAG, "")
            runs = self._runs([experiment_id], _level("sweep"))
        if not runs:
            raise UserError(f"experiment '{name}' in {self.uri} holds no run of a sweep; run `dualpt sweep` first")
        tags = runs[0].data.tags
        best, value = tags.get(records.BEST_TAG), tags.get(records.BEST_VALUE_TAG)
        return SweepRow(_id(runs[0]), name, description, runs[0].info.status, best, value)

    def sweeps(self) -> list[str]:
        """Names of the sweeps on record, the latest first."""
        with _one_line(self.uri):
            everywhere = [experiment.experiment_id for experiment in self._experiments()]
            runs = self._runs(everywhere, _level("sweep"))
        return list(dict.fromkeys(run.data.tags[records.SWEEP_TAG] for run in runs))

    def loss_curve(self, run_id: str) -> list[tuple[int, float]]:
        """The training loss of a cell by epoch; empty where it trained nothing, and where it was reused."""
        with _one_line(self.uri):
            history = self._client.get_metric_history(run_id, LOSS)
        return sorted((point.step, point.value) for point in history if point.step > 0)

    def pruned_trials(self, name: str) -> list[str]:
        """Names of a sweep's candidates that its race has given up."""
        experiment_id = self.find_experiment(name)
        rows = [] if experiment_id is None else self.trials(experiment_id)
        return [row.ref.name for row in rows if row.pruned and not row.superseded]

    def selected_settings(self, name: str) -> list[Mapping[str, Any]]:
        """What an earlier sweep selected: every key of its best setting, or of each of its Pareto front.

        Raises:
            UserError: there is no such sweep, or it has selected nothing yet.
        """
        experiment_id = self.find_experiment(name)
        if experiment_id is None:
            raise UserError(f"no sweep named '{name}' in {self.uri} (recorded: {', '.join(self.sweeps()) or 'none'})")
        best = [row.ref for row in self.trials(experiment_id) if row.ref.kind == "best" and not row.superseded]
        if not best:
            raise UserError(f"sweep '{name}' in {self.uri} has selected no setting yet; finish it first")
        with _one_line(self.uri), tempfile.TemporaryDirectory() as folder:
            paths = [self._client.download_artifacts(ref.run_id, SETTING_FILE, folder) for ref in best]
            return [read_setting(Path(path)) for path in paths]

    def close_orphans(self, experiment_id: str) -> int:
        """Mark cells that a killed launch left RUNNING as KILLED; returns how many."""
        with _one_line(self.uri):
            orphans = self._runs([experiment_id], f"{_level('cell')} and attributes.status = 'RUNNING'")
            for run in orphans:
                self._client.set_terminated(run.info.run_id, "KILLED")
        return len(orphans)

    def _cell_runs(
        self, experiment_ids: Sequence[str], *, finished_only: bool = False, params: Sequence[str] | None = None
    ) -> Sequence[Run | StoredRun]:
        """Runs of cells, by SQL where the store is a database: MLflow's client is slow above some hundred."""
        if is_database(self.uri):
            return read_cell_runs(self.uri, experiment_ids, finished_only=finished_only, params=params)
        finished = " and attributes.status = 'FINISHED'" if finished_only else ""
        with _one_line(self.uri):
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
    """Turn MLflow's own errors into one line."""
    try:
        yield
    except MlflowException as error:
        reason = str(error.message).strip().splitlines()[0].partition(" (Background on this error")[0]
        raise UserError(f"tracking store {uri}: {reason}") from error


def _pages(ask: Callable[[str | None], Any]) -> list[T]:
    """All pages of an MLflow search."""
    page = ask(None)
    found: list[T] = list(page)
    while page.token:
        page = ask(page.token)
        found += page
    return found


def _check_schema(runs: Sequence[Run], uri: str) -> None:
    """Refuse runs whose tags and metrics mean something else."""
    for run in runs:
        found = run.data.tags.get(records.SCHEMA_TAG, "none")
        if found != records.SCHEMA:
            raise UserError(
                f"{uri}: experiment of trial '{run.info.run_name}' has schema {found}, and this version reads "
                f"{records.SCHEMA}; use the version of dualpt that recorded it, or run again under another name"
            )


def _with_place(params: Sequence[str] | None) -> Sequence[str] | None:
    return None if params is None else [*PLACE_PARAMS, *params]


def _level(level: str) -> str:
    return f"tags.`{records.LEVEL_TAG}` = '{level}'"


def _id(run: Run) -> str:
    return str(run.info.run_id)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _dataset_input(cell: Cell, sample: str | None) -> DatasetInput:
    """The dataset as MLflow shows it; its digest (36 characters at most) is the drawn sample's fingerprint."""
    source = json.dumps({"dataset": cell.dataset, "protocol": cell.protocol, "shots": cell.shots, "seed": cell.seed})
    dataset = Dataset(cell.dataset, (sample or "no sample")[:36], source_type="dualpt", source=source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training" if cell.shots else "evaluation")])
