"""Trials of one name: a setting takes a name over, and what had it before stays on record under a label."""

import itertools
from collections import defaultdict
from collections.abc import Sequence

from mlflow.entities import Run

from dualpt.sweeps import records
from dualpt.sweeps.ledger.mlflow.client import StoreClient, level, patient


class NamesakeLedger(StoreClient):
    """Supersedes trials."""

    @patient
    def set_candidates_aside(self, experiment_id: str) -> None:
        """Supersede every candidate of a search over another space, which no new one can be ranked with."""
        by_name: dict[str, list[Run]] = defaultdict(list)
        for run in self._runs([experiment_id], f"{level('trial')} and tags.`{records.KIND_TAG}` = 'search'"):
            by_name[run.data.tags[records.TRIAL_TAG]].append(run)
        for namesakes in by_name.values():
            self._supersede(namesakes)

    def _supersede(self, namesakes: Sequence[Run], but: Sequence[Run] = ()) -> None:
        """Hide trials of one name from tables, each under a label that tells it apart (`TrialRow.aside`).

        Args:
            namesakes: all trials of the name.
            but: those of them that keep it.
        """
        kept = {run.info.run_id for run in but}
        taken = {run.data.tags.get(records.SUPERSEDED_TAG) for run in namesakes}
        free = (label for number in itertools.count(1) if (label := f"before {number}") not in taken)
        for run in sorted(namesakes, key=lambda run: run.info.start_time):
            if records.SUPERSEDED_TAG not in run.data.tags and run.info.run_id not in kept:
                self._client.set_tag(run.info.run_id, records.SUPERSEDED_TAG, next(free))
