"""Cells in the ledger: written by the workers themselves, in five calls per cell, FINISHED last."""

import itertools
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, ViewType

from dualpt.sweeps import records
from dualpt.sweeps.ledger import attempts
from dualpt.sweeps.ledger.attempts import LONGEST_REASON, CellRecord
from dualpt.sweeps.ledger.contents import Point, cell_from_run
from dualpt.sweeps.ledger.mlflow.client import StoreClient, child_of, id_of, level, patient
from dualpt.sweeps.ledger.mlflow.errors import ArtifactsRefused, one_line
from dualpt.sweeps.ledger.readable import rows_of
from dualpt.sweeps.ledger.sql import is_readable_by_sql, read_runs
from dualpt.sweeps.records import CellRow, KeyedCell, TrialRef

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellResult


@dataclass(frozen=True)
class Delivery:
    """What became of a record that the tracking store took."""

    run_id: str
    artifacts_wait: str | None = None
    """Why its artifacts are not in the artifact store: they are to be delivered again. None where nothing is left."""


class CellLedger(StoreClient):
    """Writes attempts at cells, and finds those that are there."""

    def record(self, trial: TrialRef, keyed: KeyedCell, result: "CellResult", seconds: float) -> str:
        """Write one trained cell under its trial; FINISHED comes last, or FAILED with the reason.

        Args:
            seconds: the cell's share of the wall time of its pack.

        Returns:
            The id of the cell's run.
        """
        return self.deliver(attempts.trained(trial, keyed, result, seconds)).run_id

    def record_failure(
        self, trial: TrialRef, keyed: KeyedCell, reason: str, seconds: float = 0.0, details: str = ""
    ) -> str:
        """Write a cell that gave no result at all, with the reason in one line and, at length, as a file.

        Returns the id of its run.
        """
        return self.deliver(attempts.failed(trial, keyed, reason, seconds, details)).run_id

    def reuse(self, source_run_id: str, trial: TrialRef, keyed: KeyedCell) -> str:
        """Write a cell whose numbers are already in the store, under another trial or sweep.

        The copy holds the metrics, so each experiment's tables are complete, and names the run it came from, where
        the artifacts are. Returns the id of the copy's run.
        """
        return self.deliver(attempts.copied(trial, keyed, self._cell(source_run_id))).run_id

    def deliver(self, record: CellRecord, *, again: bool = False) -> Delivery:
        """Write an attempt at a cell. Its numbers are on record even where the artifact store refuses its files.

        Args:
            record: what happened.
            again: whether it may be there already, complete or half written, or its cell finished by another attempt:
                then it is completed, or left, instead of written twice; a run of it that was deleted in MLflow stays
                so. Repeated calls of this method look by themselves.

        Raises:
            StoreUnavailable: the tracking store is away.
            UserError: it refuses the record.
        """
        tries = itertools.count()

        def attempt() -> Delivery:
            with one_line(self.uri):
                known = self._known(record) if next(tries) or again else None
                if known is not None and (_is_deleted(known) or _settled(known, record)):
                    return Delivery(id_of(known))
                return self._write(record, known)

        return self._retrying(attempt)

    @patient
    def trial_cells(self, trial: TrialRef) -> list[CellRow]:
        """Every recorded attempt at a cell of one trial."""
        if is_readable_by_sql(self.uri):
            return list(rows_of(read_runs(self.uri, [trial.experiment_id], beneath=trial.run_id), cell_from_run))
        return list(rows_of(self._runs([trial.experiment_id], child_of(trial.run_id)), cell_from_run))

    @patient
    def add_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to a run that has ended; its status and times stay."""
        now = time.time_ns() // 1_000_000
        self._client.log_batch(run_id, [Metric(name, value, now, 0) for name, value in metrics.items()])

    @patient
    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points of curves to a run, in one call."""
        now = time.time_ns() // 1_000_000
        self._client.log_batch(run_id, [Metric(point.name, point.value, now, point.step) for point in points])

    @patient
    def _cell(self, run_id: str) -> CellRow:
        return cell_from_run(self._client.get_run(run_id))

    def _known(self, record: CellRecord) -> Run | None:
        """The run of a finished attempt at this cell of this trial, else this very attempt's, else None."""
        place = f"{child_of(record.trial_run_id)} and tags.`{records.KEY_TAG}` = '{record.key}'"
        runs = self._runs([record.experiment_id], place, ViewType.ALL)
        finished = next((run for run in runs if run.info.status == "FINISHED" and not _is_deleted(run)), None)
        own = (run for run in runs if run.data.tags.get(records.RECORD_TAG) == record.number)
        return finished or next(own, None)

    def _write(self, record: CellRecord, begun: Run | None) -> Delivery:
        """Write a record as a run, or what is missing of a run that has been begun; its end comes last.

        Metrics and parameters that are there already are the same ones, and MLflow takes them twice.
        """
        run = begun or self._client.create_run(record.experiment_id, record.started_ms, dict(record.tags), record.label)
        run_id = id_of(run)
        metrics = [Metric(point.name, point.value, record.ended_ms, point.step) for point in record.metrics]
        self._client.log_batch(run_id, metrics, [Param(key, value) for key, value in record.params.items()])
        self._client.log_inputs(run_id, [_dataset_input(record.dataset)])
        refusal = self._write_files(run, record)
        self._client.set_terminated(run_id, "FINISHED" if record.failure is None else "FAILED", record.ended_ms)
        return Delivery(run_id, refusal)

    def _write_files(self, run: Run, record: CellRecord) -> str | None:
        """Write a record's artifacts, or say on its run that they wait, and return why."""
        try:
            if record.files:
                self._write_artifacts(run, record.files)
        except ArtifactsRefused as error:
            waiting = f"in the outbox of {socket.gethostname()}, since {error}; the next launch there delivers them"
            self._client.set_tag(run.info.run_id, records.ARTIFACTS_TAG, waiting[:LONGEST_REASON])
            return str(error)
        if records.ARTIFACTS_TAG in run.data.tags:
            self._client.delete_tag(run.info.run_id, records.ARTIFACTS_TAG)
        return None

    def cells_whose(self, prefix: str) -> list[CellRow]:
        """Cells anywhere in the store whose run id or cell key begins with `prefix` (hex digits)."""
        with one_line(self.uri):
            everywhere = [experiment.experiment_id for experiment in self._experiments()]
            found = self._runs(everywhere, f"{level('cell')} and attributes.run_id LIKE '{prefix}%'")
            found += self._runs(everywhere, f"{level('cell')} and tags.`{records.KEY_TAG}` LIKE '{prefix}%'")
        return list({row.run_id: row for row in rows_of(found, cell_from_run)}.values())


def _is_deleted(run: Run) -> bool:
    return bool(run.info.lifecycle_stage != "active")


def _settled(known: Run, record: CellRecord) -> bool:
    """Whether nothing is left to write: the cell is finished, or this attempt is recorded as failed."""
    own = known.data.tags.get(records.RECORD_TAG) == record.number
    if own and records.ARTIFACTS_TAG in known.data.tags:
        return False
    return known.info.status == "FINISHED" or (known.info.status == "FAILED" and record.failure is not None)


def _dataset_input(described: Mapping[str, str]) -> DatasetInput:
    dataset = Dataset(described["name"], described["digest"], source_type="dualpt", source=described["source"])
    return DatasetInput(dataset, [InputTag("mlflow.data.context", described["context"])])
