"""Sweeps in MLflow under another name, or deleted, as a whole or in part. Each step can be taken again after a kill."""

from collections.abc import Callable

from dualpt.sweeps import records
from dualpt.sweeps.ledger.mlflow.client import StoreClient, id_of, level, patient

LEVELS = ("cell", "trial", "sweep")
"""A sweep's own run comes last: by it the sweep is found."""


class UpkeepLedger(StoreClient):
    """Renames and deletes."""

    @patient
    def mark_renaming(self, sweep_run: str, text: str) -> None:
        """Write on the sweep's run that it is being renamed; the empty text says that it is no more."""
        if text:
            self._client.set_tag(sweep_run, records.RENAMING_TAG, text)
        elif records.RENAMING_TAG in self._client.get_run(sweep_run).data.tags:
            self._client.delete_tag(sweep_run, records.RENAMING_TAG)

    @patient
    def rename(
        self, experiment_id: str, new: str, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Give an experiment and its runs another name.

        Args:
            progress: called with the runs done and all of them.
        """
        runs = [run for each in LEVELS for run in self._runs([experiment_id], level(each))]
        for number, run in enumerate(runs, start=1):
            if run.data.tags.get(records.SWEEP_TAG) != new:
                self._client.set_tag(id_of(run), records.SWEEP_TAG, new)
                if run.data.tags[records.LEVEL_TAG] == "sweep":
                    self._client.update_run(id_of(run), name=new)
            progress(number, len(runs))
        if self._client.get_experiment(experiment_id).name != new:
            self._client.rename_experiment(experiment_id, new)

    @patient
    def delete_sweep(self, experiment_id: str) -> None:
        """Delete an experiment, which MLflow keeps until its garbage collection."""
        self._client.delete_experiment(experiment_id)

    @patient
    def delete_run(self, run_id: str) -> None:
        """Delete a run, which MLflow keeps until its garbage collection; one that is deleted stays so."""
        if self._client.get_run(run_id).info.lifecycle_stage == "active":
            self._client.delete_run(run_id)

    @patient
    def forget_best(self, sweep_run: str) -> None:
        """Take from a sweep's run which candidate is the best; the next launch finds it anew."""
        known = self._client.get_run(sweep_run).data.tags
        for tag in (records.BEST_TAG, records.BEST_VALUE_TAG):
            if tag in known:
                self._client.delete_tag(sweep_run, tag)

    @patient
    def taken_name(self, name: str) -> bool:
        """Whether an experiment has this name, deleted ones included."""
        return self._client.get_experiment_by_name(name) is not None
