"""`dualpt remove`: MLflow's and Optuna's records of a sweep together, after saying what goes and what comes back."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dualpt.sweeps.console import counted
from dualpt.sweeps.search.study_upkeep import Study, delete_studies, studies_of
from dualpt.sweeps.steering.study_places import study_storage
from dualpt.sweeps.steering.targets import Target, named_sweep
from dualpt.sweeps.stores import masked, only_launch

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.mlflow import Ledger


@dataclass(frozen=True)
class Removal:
    """What would go."""

    target: Target
    storage: str
    trials: int
    finished: int
    """Finished cells."""
    borrowed: int
    """Finished cells of other sweeps whose learned contexts are among this one's artifacts."""
    studies: tuple[Study, ...]

    def lines(self) -> list[str]:
        """What to show before it is done."""
        told = [
            f"{self.target.name}: {counted(self.trials, 'trial')} with {counted(self.finished, 'finished cell')} in "
            f"{masked(self.target.ledger.uri)} (experiment {self.target.experiment})",
            *(
                f"Optuna's study '{study.name}' with {counted(study.trials, 'trial')} in {masked(self.storage)}"
                for study in self.studies
            ),
        ]
        if self.borrowed:
            told.append(what_borrowers_lose(f"{counted(self.borrowed, 'cell')} of other sweeps"))
        return told

    def remove(self) -> list[str]:
        """Delete it, the study first: a kill in between leaves a sweep that can be removed again.

        Raises:
            UserError: a launch runs the sweep.
        """
        name, experiment, store = self.target.name, self.target.experiment, masked(self.target.ledger.uri)
        with only_launch(self.target.ledger.uri, name):
            self.target.refuse_while_running("remove it")
            delete_studies(self.storage, name)
            self.target.ledger.delete_sweep(experiment)
        search = " (Optuna keeps no deleted study: the search would begin again, and find its cells)"
        return [
            f"{name} is removed; MLflow keeps its runs until `mlflow gc` purges them",
            f"to restore them: mlflow experiments restore --experiment-id {experiment}{search if self.studies else ''}",
            f"to purge them: mlflow gc --backend-store-uri {store} --experiment-ids {experiment}",
        ]


def removal(store: str, name: str, study: str | None = None) -> Removal:
    """What removing a sweep would delete; nothing is changed.

    Raises:
        UserError: there is no such sweep, or a launch runs it.
    """
    target = named_sweep(store, name)
    target.refuse_while_running("remove it")
    target.refuse_half_renamed()
    storage = study_storage(target, study)
    cells = target.ledger.cells(target.experiment, ())
    own = {row.run_id for row in cells}
    borrowed = borrowed_from(target.ledger, own, [other for other in target.ledger.sweeps() if other != name])
    return Removal(
        target=target,
        storage=storage,
        trials=len(target.ledger.trials(target.experiment)),
        finished=sum(row.finished for row in cells),
        borrowed=borrowed,
        studies=tuple(studies_of(storage, name)),
    )


def what_borrowers_lose(cells: str) -> str:
    """A line on these cells, which took their numbers from what is removed."""
    return (
        f"{cells} took their numbers from here: they keep them, and lose their learned contexts when MLflow's garbage "
        "is collected"
    )


def borrowed_from(ledger: "Ledger", runs: Collection[str], sweeps: Iterable[str]) -> int:
    """How many finished cells of these sweeps took their numbers from cells with these runs, and aren't among them."""
    rows = (row for sweep in sweeps for row in ledger.read_cells(sweep, ()))
    return sum(row.reused_from in runs and row.finished and row.run_id not in runs for row in rows)
