"""The ledger: runs of sweeps, trials and cells in MLflow.

One experiment per sweep; the sweep's run, its trials and their cells nest by MLflow's own parent tag. Every method can
be called again after an outage: what the store already holds is found and completed, not doubled.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Run, ViewType

from dualpt.core.errors import UserError, nearest
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import (
    LOSS,
    SETTING_FILE,
    loss_curve,
    read_setting,
    sweep_from_run,
    text_tags,
)
from dualpt.sweeps.ledger.launch_requests import SweepSigns, requests_in
from dualpt.sweeps.ledger.mlflow.client import id_of, level, patient
from dualpt.sweeps.ledger.mlflow.errors import ArtifactsRefused
from dualpt.sweeps.ledger.mlflow.launches import LaunchLedger
from dualpt.sweeps.ledger.mlflow.run_marks import RunMarks
from dualpt.sweeps.ledger.mlflow.trials import TrialRunLedger
from dualpt.sweeps.ledger.mlflow.upkeep import UpkeepLedger
from dualpt.sweeps.ledger.readable import rows_of, sweep_of
from dualpt.sweeps.ledger.reading import SweepReader, deleted
from dualpt.sweeps.ledger.sql import StoredRun, is_readable_by_sql, read_deleted, read_runs
from dualpt.sweeps.records import CellRow, SweepRow
from dualpt.sweeps.stores import masked


class Ledger(LaunchLedger, TrialRunLedger, RunMarks, UpkeepLedger, SweepReader):
    """The tracking store, opened for one process."""

    @patient
    def experiment(self, name: str, description: str = "") -> str:
        """The id of the sweep's experiment, created where it is new.

        Raises:
            UserError: an experiment of this name was deleted in MLflow.
        """
        existing = self.find_experiment(name)
        if existing is None:
            tags = {records.NOTE_TAG: description} if description else {}
            return str(self._client.create_experiment(name, self.places.root(name), tags))
        if description:
            self._client.set_experiment_tag(existing, records.NOTE_TAG, description)
        return existing

    @patient
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

    @patient
    def open_sweep(self, experiment_id: str, name: str) -> str:
        """The sweep's run, reopened where there is one.

        Raises:
            ArtifactsRefused: the artifact store takes no files, so nothing should be trained.
        """
        for run in self._runs([experiment_id], level("sweep")):
            self.prove_artifacts(id_of(run))
            self._client.update_run(run.info.run_id, status="RUNNING")
            return id_of(run)
        tags = {records.LEVEL_TAG: "sweep", records.SWEEP_TAG: name, records.SCHEMA_TAG: records.SCHEMA}
        run_id = id_of(self._client.create_run(experiment_id, tags=tags, run_name=name))
        try:
            self.prove_artifacts(run_id)
        except ArtifactsRefused:
            self._client.set_terminated(run_id, "FAILED")
            raise
        return run_id

    @patient
    def declare(self, sweep_run: str, text: str) -> None:
        """Write on the sweep's run what its launch is to run (`dualpt.sweeps.planning.declared`)."""
        self._write_text(sweep_run, records.GRID_TAG, text)

    @patient
    def describe_data(self, sweep_run: str, text: str) -> None:
        """Write on the sweep's run the remarks on its datasets (`dualpt.sweeps.planning.data_notes`)."""
        self._write_text(sweep_run, records.DATA_TAG, text)

    @patient
    def mark_search(self, sweep_run: str, text: str) -> None:
        """Write on the sweep's run how it searches (`dualpt.sweeps.planning.search_record`)."""
        self._client.set_tag(sweep_run, records.SEARCH_TAG, text)

    def _write_text(self, sweep_run: str, tag: str, text: str) -> None:
        known = self._client.get_run(sweep_run).data.tags
        if not text and tag not in known:
            return
        self._write_tags(sweep_run, text_tags(tag, text, known))

    @patient
    def mark_fixed(self, sweep_run: str, text: str) -> None:
        """Write on the sweep's run the fixed setting that later launches must share."""
        self._client.set_tag(sweep_run, records.FIXED_TAG, text)

    @patient
    def launch_of(self, experiment_id: str) -> SweepSigns | None:
        """What the sweep's run says of the launch that last ran it; None where there is no such run."""
        for run in self._runs([experiment_id], level("sweep")):
            tags = run.data.tags
            return SweepSigns(id_of(run), run.info.status, tags.get(records.LAUNCH_TAG, ""), requests_in(tags))
        return None

    @patient
    def mark_launch(self, sweep_run: str, text: str) -> None:
        """Write who runs the sweep, and how far it is, on its run."""
        self._client.set_tag(sweep_run, records.LAUNCH_TAG, text)

    # Reading, in bulk

    @patient
    def finished_cells(self, params: Sequence[str] = ()) -> dict[str, CellRow]:
        return super().finished_cells(params)

    def _experiment_ids(self) -> list[str]:
        return [str(experiment.experiment_id) for experiment in self._experiments()]

    @patient
    def _deleted_trials(self, experiments: Sequence[str]) -> frozenset[str]:
        if is_readable_by_sql(self.uri):
            return read_deleted(self.uri, experiments, "trial")
        return frozenset(map(id_of, self._runs(experiments, level("trial"), ViewType.DELETED_ONLY)))

    @patient
    def sweep_row(self, experiment_id: str) -> SweepRow | None:
        """The run of a sweep, or None where its experiment holds none."""
        runs = self._runs([experiment_id], level("sweep"))
        if not runs:
            return None
        description = self._client.get_experiment(experiment_id).tags.get(records.NOTE_TAG, "")
        return next(rows_of(runs, lambda run: sweep_from_run(run, description)), None)

    @patient
    def sweeps(self) -> list[str]:
        """Names of the sweeps on record, the latest first."""
        runs = self._runs(self._experiment_ids(), level("sweep"))
        return list(dict.fromkeys(rows_of(runs, sweep_of)))

    @patient
    def loss_curves(self, run_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """The training losses of cells by epoch; empty where one trained nothing, and where it was reused."""
        histories = {run_id: self._client.get_metric_history(run_id, LOSS) for run_id in run_ids}
        return {run: loss_curve((point.step, point.value) for point in points) for run, points in histories.items()}

    @patient
    def params_of(self, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The parameters of runs."""
        return {run_id: dict(self._client.get_run(run_id).data.params) for run_id in run_ids}

    @patient
    def trial_settings(self, name: str) -> dict[str, Mapping[str, Any]]:
        """Every key of the settings that a name stands for, by trial.

        Args:
            name: `SWEEP/TRIAL`, or `SWEEP`: its best setting, or each of its Pareto front.

        Raises:
            UserError: there is no such sweep or trial, the sweep has selected nothing yet, or a setting's file is
                missing, damaged or another trial's.
        """
        sweep, _, trial = name.partition("/")
        rows = self.trials(self.named_experiment(sweep))
        named = [row.ref for row in rows if row.shown_name == trial][-1:]
        wanted = named if trial else [row.ref for row in rows if row.ref.kind == "best" and not row.superseded]
        if not wanted and trial:
            known = dict.fromkeys(row.shown_name for row in rows)
            raise UserError(
                f"sweep '{sweep}' in {masked(self.uri)} has no trial '{trial}'{nearest(trial, known)} "
                f"(recorded: {', '.join(known) or 'none'})"
            )
        if not wanted:
            raise UserError(f"sweep '{sweep}' in {masked(self.uri)} has selected no setting yet; finish it first")
        with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
            found = {}
            for ref in wanted:  # each is read at once: fetched files share a name
                if (path := self.artifact(ref.run_id, SETTING_FILE, Path(folder))) is None:
                    raise UserError(
                        f"sweep '{sweep}' in {masked(self.uri)}: the setting of '{ref.name}' has no {SETTING_FILE}; "
                        f"{self.whereabouts(ref.run_id)}"
                    )
                found[ref.name] = read_setting(path, self._client.get_run(ref.run_id).data.params)
            return found

    @patient
    def close_orphans(self, experiment_id: str) -> int:
        """Mark trials and cells that a killed launch left RUNNING as KILLED; returns how many cells."""
        left = "attributes.status = 'RUNNING'"
        cells = self._runs([experiment_id], f"{level('cell')} and {left}")
        for run in [*cells, *self._runs([experiment_id], f"{level('trial')} and {left}")]:
            self._client.set_terminated(run.info.run_id, "KILLED")
        return len(cells)

    @patient
    def _cell_runs(
        self, experiments: Sequence[str], *, finished_only: bool = False, params: Sequence[str] | None = None
    ) -> Sequence[Run | StoredRun]:
        """Runs of cells, by SQL where the store is a database: MLflow's client is slow above some hundred."""
        if is_readable_by_sql(self.uri):
            return read_runs(self.uri, experiments, finished_only=finished_only, params=params)
        finished = " and attributes.status = 'FINISHED'" if finished_only else ""
        return self._runs(experiments, level("cell") + finished)
