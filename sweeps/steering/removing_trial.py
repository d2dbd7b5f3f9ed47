"""`dualpt remove NAME TRIAL`: one trial of a sweep out of MLflow and Optuna together, after saying what goes."""

from dataclasses import dataclass

from dualpt.core.errors import UserError
from dualpt.sweeps.console import counted
from dualpt.sweeps.records import CellRow, TrialRow
from dualpt.sweeps.search.study_upkeep import candidate_trials, remove_candidate
from dualpt.sweeps.steering.removing import borrowed_from, what_borrowers_lose
from dualpt.sweeps.steering.study_places import study_storage
from dualpt.sweeps.steering.targets import Target, named_sweep
from dualpt.sweeps.stores import masked, only_launch

REFUSED_FOR = "remove a trial of it"


@dataclass(frozen=True)
class TrialRemoval:
    """What would go."""

    target: Target
    trial: TrialRow
    storage: str
    cells: tuple[CellRow, ...]
    """All attempts at its cells."""
    borrowed: int
    """Finished cells, of this sweep's other trials too, whose learned contexts are among this trial's artifacts."""
    numbers: tuple[int, ...]
    """Optuna's numbers of its trials; none where it is no candidate."""

    def lines(self) -> list[str]:
        """What to show before it is done."""
        name, place = f"{self.target.name}/{self.trial.ref.name}", masked(self.target.ledger.uri)
        finished = counted(sum(row.finished for row in self.cells), "finished cell")
        told = [f"{name}: its run with {finished} in {place}"]
        if self.numbers:
            told.append(
                f"its results in Optuna's study '{self.target.name}' in {masked(self.storage)} (trial "
                f"{', '.join(map(str, self.numbers))}): Optuna deletes no single trial, so the number stays, failed "
                "and without a value, and no sampler learns from it"
            )
        if self.borrowed:
            told.append(what_borrowers_lose(f"{self.borrowed} other cells"))
        return told

    def remove(self) -> list[str]:
        """Delete it, the study's part first: a kill in between leaves a trial that can be removed again.

        Raises:
            UserError: a launch runs the sweep.
        """
        target, ref = self.target, self.trial.ref
        with only_launch(target.ledger.uri, target.name):
            target.refuse_while_running(REFUSED_FOR)
            if self.numbers:
                remove_candidate(self.storage, target.name, ref.name)
            if target.row.best == ref.name:
                target.ledger.forget_best(target.row.run_id)
            for row in self.cells:
                target.ledger.delete_run(row.run_id)
            target.ledger.delete_run(ref.run_id)
        return [
            f"{target.name}/{ref.name} is removed; MLflow keeps its runs until `mlflow gc` purges them",
            self._what_comes_next(),
            "to restore them: in MLflow's page of the sweep, State: Deleted, the runs with "
            f"tags.`mlflow.parentRunId` = '{ref.run_id}', and `mlflow runs restore --run-id {ref.run_id}`",
        ]

    def _what_comes_next(self) -> str:
        if self.trial.ref.kind == "search":
            return "the next launch tries another candidate in its place, unless search.trials is lowered"
        return "the next launch trains it again, unless the file or baselines=… leaves it out"


def trial_removal(store: str, name: str, trial: str, study: str | None = None) -> TrialRemoval:
    """What removing a trial would delete; nothing is changed.

    Raises:
        UserError: there is no such sweep or trial, it has nothing on record, or a launch runs the sweep.
    """
    target = named_sweep(store, name)
    row = target.trial(trial)
    if row is None:
        raise UserError(f"trial '{trial}' of '{name}' has nothing on record: there is nothing to remove")
    target.refuse_while_running(REFUSED_FOR)
    target.refuse_half_renamed()
    storage = study_storage(target, study)
    cells = tuple(one for one in target.ledger.cells(target.experiment, ()) if one.trial_run_id == row.ref.run_id)
    numbers = candidate_trials(storage, name, trial) if row.ref.kind == "search" else []
    return TrialRemoval(
        target=target,
        trial=row,
        storage=storage,
        cells=cells,
        borrowed=borrowed_from(target.ledger, {one.run_id for one in cells}, target.ledger.sweeps()),
        numbers=tuple(numbers),
    )
