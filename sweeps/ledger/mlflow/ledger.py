"""The ledger: runs of sweeps, trials and cells in MLflow.

One experiment per sweep; the sweep's run, its trials and their cells nest by MLflow's own parent tag. Every method can
be called again after an outage: what the store already holds is found and completed, not doubled.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, Run, ViewType

from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError, nearest
from dualpt.sweeps import records
from dualpt.sweeps.ledger.attempts import LONGEST_REASON
from dualpt.sweeps.ledger.contents import (
    LOSS,
    SETTING_FILE,
    loss_curve,
    read_setting,
    read_sweep,
    read_trial,
    setting_file,
    text_tags,
    trial_tags,
)
from dualpt.sweeps.ledger.launch_requests import SweepSigns, requests_in
from dualpt.sweeps.ledger.mlflow.cells import CellLedger
from dualpt.sweeps.ledger.mlflow.client import id_of, level, patient
from dualpt.sweeps.ledger.mlflow.errors import ArtifactsRefused
from dualpt.sweeps.ledger.mlflow.launches import LaunchLedger
from dualpt.sweeps.ledger.mlflow.namesakes import NamesakeLedger
from dualpt.sweeps.ledger.mlflow.run_marks import RunMarks
from dualpt.sweeps.ledger.mlflow.upkeep import UpkeepLedger
from dualpt.sweeps.ledger.readable import rows_of, sweep_of
from dualpt.sweeps.ledger.reading import SweepReader, check_schema, deleted
from dualpt.sweeps.ledger.sql import StoredRun, is_readable_by_sql, read_deleted, read_runs
from dualpt.sweeps.records import CellRow, Status, SweepRow, TrialRef, TrialRow, grid_metrics, latest, setting_hash
from dualpt.sweeps.stores import masked


class Ledger(LaunchLedger, NamesakeLedger, RunMarks, UpkeepLedger, CellLedger, SweepReader):
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
        """Write on the sweep's run what is to be said of its datasets (`dualpt.sweeps.planning.data_notes`)."""
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

    @patient
    def trials(self, experiment_id: str) -> list[TrialRow]:
        """The trials on record, superseded ones included.

        Raises:
            UserError: they were recorded by a version with another schema.
        """
        runs = self._runs([experiment_id], level("trial"))
        check_schema(runs, self.uri)
        return list(rows_of(runs, read_trial))

    @patient
    def open_trial(
        self, experiment_id: str, sweep_run: str, sweep: str, name: str, kind: records.Kind, setting: Setting
    ) -> TrialRef:
        """The run of a trial: reopened where this setting has one, else a new one that supersedes its namesakes."""
        wanted = setting_hash(setting)
        namesakes = self._runs([experiment_id], f"{level('trial')} and tags.`{records.TRIAL_TAG}` = '{name}'")
        same = [run for run in namesakes if run.data.tags[records.SETTING_TAG] == wanted]
        self._supersede(namesakes, but=same)
        params = {key: str(value) for key, value in setting.flat().items()}
        for run in namesakes:
            if run.data.tags[records.SETTING_TAG] == wanted:
                self._client.update_run(run.info.run_id, status="RUNNING")
                for tag in (records.SUPERSEDED_TAG, records.PRUNED_TAG, records.STOPPED_TAG):
                    if tag in run.data.tags:
                        self._client.delete_tag(run.info.run_id, tag)
                if len(run.data.params) < len(params) or records.ARTIFACTS_TAG in run.data.tags:  # incomplete
                    self._describe_trial(run, params, setting)
                return read_trial(run).ref
        own = {records.LEVEL_TAG: "trial", records.PARENT_TAG: sweep_run}
        trial = TrialRef(experiment_id, "", sweep, name, kind, wanted)
        run = self._client.create_run(experiment_id, tags={**trial_tags(trial), **own}, run_name=name)
        self._describe_trial(run, params, setting)
        return replace(trial, run_id=id_of(run))

    def _describe_trial(self, run: Run, params: Mapping[str, str], setting: Setting) -> None:
        """Write what a trial's run holds, its parameters last: a trial that has them all is complete.

        Where the artifact store has come to refuse files, the next launch that opens the trial writes its file.
        """
        try:
            self._write_artifacts(run, setting_file(setting))
        except ArtifactsRefused as error:
            self._client.set_tag(run.info.run_id, records.ARTIFACTS_TAG, str(error)[:LONGEST_REASON])
        else:
            if records.ARTIFACTS_TAG in run.data.tags:
                self._client.delete_tag(run.info.run_id, records.ARTIFACTS_TAG)
        self._client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in params.items()])

    @patient
    def close_trial(self, trial: TrialRef, status: Status, pruned: str | None = None) -> None:
        """Write the trial's grid aggregates from its recorded cells, and end its run.

        Args:
            pruned: why a race gave it up. Its means are left out: beside those of whole trials they would mislead.
        """
        aggregates = grid_metrics(latest(self.trial_cells(trial)))
        if pruned is None:
            self.close(trial.run_id, status, aggregates)
        else:
            self._close_incomplete(trial, aggregates, {records.PRUNED_TAG: pruned})

    @patient
    def stop_trial(self, trial: TrialRef, by: str) -> None:
        """End the run of a trial that a user has stopped; its means are left out, as those of one that is pruned.

        Args:
            by: who has stopped it, and when.
        """
        self._close_incomplete(trial, grid_metrics(latest(self.trial_cells(trial))), {records.STOPPED_TAG: by})

    def _close_incomplete(self, trial: TrialRef, aggregates: Mapping[str, float], tags: Mapping[str, str]) -> None:
        known = {name: value for name, value in aggregates.items() if not name.startswith("grid/mean/")}
        self.close(trial.run_id, "KILLED", known, tags)

    @patient
    def mark_selected(self, experiment_id: str, name: str) -> None:
        """Tag the trial of the best candidate, and no other."""
        for row in self.trials(experiment_id):
            if row.ref.name == name and not row.superseded:
                self._client.set_tag(row.ref.run_id, records.SELECTED_TAG, "true")
            elif row.selected:
                self._client.delete_tag(row.ref.run_id, records.SELECTED_TAG)

    @patient
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
        return next(rows_of(runs, lambda run: read_sweep(run, description)), None)

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
            UserError: there is no such sweep or trial, or the sweep has selected nothing yet.
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
                found[ref.name] = read_setting(path)
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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
