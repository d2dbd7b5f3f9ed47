"""Trials in the ledger: opened, described, and closed with the means over their cells."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlflow.entities import Metric, Param, Run

from dualpt.core.config.setting import Setting
from dualpt.sweeps import records
from dualpt.sweeps.ledger.attempts import LONGEST_REASON
from dualpt.sweeps.ledger.contents import cell_from_run, setting_file, trial_from_run, trial_tags
from dualpt.sweeps.ledger.mlflow.cells import CellLedger
from dualpt.sweeps.ledger.mlflow.client import id_of, level, patient
from dualpt.sweeps.ledger.mlflow.errors import ArtifactsRefused, one_line
from dualpt.sweeps.ledger.mlflow.namesakes import NamesakeLedger
from dualpt.sweeps.ledger.readable import rows_of
from dualpt.sweeps.ledger.reading import PLACE_PARAMS, check_schema
from dualpt.sweeps.ledger.sql import is_readable_by_sql, read_named
from dualpt.sweeps.records import CellRow, Status, TrialRef, TrialRow, grid_metrics, latest, setting_hash


class TrialRunLedger(NamesakeLedger, CellLedger):
    """Opens and closes the runs of trials."""

    @patient
    def trials(self, experiment_id: str) -> list[TrialRow]:
        """The trials on record, superseded ones included.

        Raises:
            UserError: they were recorded by a version with another schema.
        """
        runs = self._runs([experiment_id], level("trial"))
        check_schema(runs, self.uri)
        return list(rows_of(runs, trial_from_run))

    def open_trial(
        self,
        experiment_id: str,
        sweep_run: str,
        sweep: str,
        name: str,
        kind: records.Kind,
        setting: Setting,
        *,
        new: bool = False,
        number: int | None = None,
    ) -> TrialRef:
        """The run of a trial: reopened where this setting has one, else a new one that supersedes its namesakes.

        Args:
            new: whether the name is known to be new here: then nothing is looked for, unless the call is repeated.
            number: Optuna's, of a candidate.
        """
        numbered = {} if number is None else {records.NUMBER_TAG: str(number)}
        tries = itertools.count()

        def attempt() -> TrialRef:
            with one_line(self.uri):
                known = f"{level('trial')} and tags.`{records.TRIAL_TAG}` = '{name}'"
                namesakes = [] if new and not next(tries) else self._runs([experiment_id], known)
                trial = TrialRef(experiment_id, "", sweep, name, kind, setting_hash(setting))
                return self._open_trial(trial, {records.PARENT_TAG: sweep_run, **numbered}, setting, namesakes)

        return self._retrying(attempt)

    def _open_trial(
        self, trial: TrialRef, tags: Mapping[str, str], setting: Setting, namesakes: Sequence[Run]
    ) -> TrialRef:
        same = [run for run in namesakes if run.data.tags[records.SETTING_TAG] == trial.setting]
        self._supersede(namesakes, but=same)
        params = {key: str(value) for key, value in setting.flat().items()}
        if same:
            self._reopen(same[0], tags)
            self._complete(same[0], params, setting)
            return trial_from_run(same[0]).ref
        own = {records.LEVEL_TAG: "trial", **tags}
        run = self._client.create_run(trial.experiment_id, tags={**trial_tags(trial), **own}, run_name=trial.name)
        self._describe_trial(run, params, setting)
        return replace(trial, run_id=id_of(run))

    def _reopen(self, run: Run, tags: Mapping[str, str]) -> None:
        """Take a trial's run up again: it is no longer superseded, given up or stopped, and has these tags."""
        self._client.update_run(run.info.run_id, status="RUNNING")
        for tag in (records.SUPERSEDED_TAG, records.PRUNED_TAG, records.STOPPED_TAG):
            if tag in run.data.tags:
                self._client.delete_tag(run.info.run_id, tag)
        for tag, value in tags.items():
            if run.data.tags.get(tag) != value:
                self._client.set_tag(run.info.run_id, tag, value)

    def _complete(self, run: Run, params: Mapping[str, str], setting: Setting) -> None:
        """Write what is missing of a reopened trial.

        Parameters on record stay, as MLflow wants: they may differ from today's in what does not matter, a data root.
        A trial of an earlier version lacks those that were added since.
        """
        recorded = run.data.params
        missing = {key: value for key, value in params.items() if key not in recorded}
        if not recorded or records.ARTIFACTS_TAG in run.data.tags:
            self._describe_trial(run, missing, setting)
        elif missing:
            self._log_params(run, missing)

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
        self._log_params(run, params)

    def _log_params(self, run: Run, params: Mapping[str, str]) -> None:
        self._client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in params.items()])

    @patient
    def close_trial(
        self, trial: TrialRef, status: Status, pruned: str | None = None, cells: Sequence[str] | None = None
    ) -> None:
        """Write the trial's grid aggregates from its recorded cells, and end its run.

        Args:
            pruned: why a race gave it up. Its means are left out: beside those of whole trials they would mislead.
            cells: ids of its cells' runs, where they are all known; they are searched for otherwise.
        """
        aggregates = grid_metrics(latest(self._known_cells(trial, cells)))
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

    def _known_cells(self, trial: TrialRef, run_ids: Sequence[str] | None) -> list[CellRow]:
        """The cells of a trial, by their runs where these are known: otherwise the tags of all runs are searched."""
        if run_ids is not None and is_readable_by_sql(self.uri):
            return list(rows_of(read_named(self.uri, run_ids, params=PLACE_PARAMS), cell_from_run))
        return self.trial_cells(trial)

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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
