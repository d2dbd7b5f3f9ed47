"""What a worker is given: work units, which hold packs of cells. Loads neither Ray nor torch."""

from dataclasses import dataclass
from typing import Self

from dualpt.sweeps.records import TrialCell, TrialRef

Pack = tuple[TrialCell, ...]
"""Cells that train in the same steps, as replicas: of one trial, or of several candidates or variants."""


@dataclass(frozen=True)
class WorkUnit:
    """Some packs that one worker trains, one after the other."""

    number: int
    packs: tuple[Pack, ...]

    @property
    def trial(self) -> TrialRef:
        """The trial it was made for; its packs may hold cells of other trials."""
        return self.packs[0][0].trial

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: nothing in it changes, and Tune copies configurations and keeps the copies to the end."""
        return self


NO_PACKS = WorkUnit(0, ())
"""Given to a worker to have it forget what is left of another unit."""


def smaller_packs(pack: Pack) -> list[Pack]:
    """A failed pack in parts, to be tried once more: one part per trial, else one per cell; empty for a single cell."""
    by_trial: dict[TrialRef, list[TrialCell]] = {}
    for cell in pack:
        by_trial.setdefault(cell.trial, []).append(cell)
    if len(by_trial) > 1:
        return [tuple(cells) for cells in by_trial.values()]
    return [(cell,) for cell in pack] if len(pack) > 1 else []
