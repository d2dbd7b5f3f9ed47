"""What a steering command is about: a recorded sweep, its trials, and the launch that runs it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dualpt.core.errors import UserError, nearest
from dualpt.sweeps.comparison.frames import open_ledger
from dualpt.sweeps.launching.earlier_launches import refuse_half_renamed
from dualpt.sweeps.ledger.heartbeat import Launch, running_launch
from dualpt.sweeps.planning.declared import missing_cells
from dualpt.sweeps.records import SweepRow, TrialRow
from dualpt.sweeps.stores import masked

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.mlflow import Ledger


@dataclass(frozen=True)
class Target:
    """A recorded sweep."""

    ledger: "Ledger"
    name: str
    experiment: str
    row: SweepRow

    @property
    def launch(self) -> Launch | None:
        """The launch that runs it now, or None."""
        return running_launch(self.ledger, self.experiment)

    def trials(self) -> dict[str, TrialRow]:
        """The trials that tables show, by name."""
        rows = self.ledger.trials(self.experiment)
        return {row.ref.name: row for row in rows if not row.superseded}

    def trial(self, name: str) -> TrialRow | None:
        """A trial by name; None where it is declared and has not begun.

        Raises:
            UserError: there is no such trial.
        """
        rows = self.trials()
        declared = {cell.trial for cell in missing_cells(self.row.declared, [])}
        if name not in rows and name not in declared:
            known = dict.fromkeys([*rows, *sorted(declared)])
            raise UserError(
                f"sweep '{self.name}' in {masked(self.ledger.uri)} has no trial '{name}'{nearest(name, known)} "
                f"(known: {', '.join(known) or 'none'})"
            )
        return rows.get(name)

    def refuse_while_running(self, what: str) -> None:
        """
        Args:
            what: the command, in words that follow "to".

        Raises:
            UserError: a launch runs the sweep.
        """
        if (launch := self.launch) is not None:
            raise UserError(
                f"sweep '{self.name}' is being run by process {launch.process} on {launch.host}: stop it first "
                f"(`dualpt stop {self.name}`) to {what}"
            )

    def refuse_half_renamed(self) -> None:
        """
        Raises:
            UserError: a renaming of the sweep was cut off.
        """
        refuse_half_renamed(self.row)


def named_sweep(store: str, name: str) -> Target:
    """The sweep of a name.

    Raises:
        UserError: there is no such store or sweep, or MLflow's experiment of this name is somebody else's.
    """
    ledger = open_ledger(store)
    experiment = ledger.named_experiment(name)
    row = ledger.sweep_row(experiment)
    if row is None:
        raise UserError(f"experiment '{name}' in {masked(ledger.uri)} isn't a sweep of dualpt: it is left alone")
    return Target(ledger, name, experiment, row)
