"""Packs on their way to a worker: joined from settings of equal shape, and taken apart after a worker has died.

Knows neither the ledger nor Ray.
"""

from collections import Counter
from collections.abc import Iterable

from dualpt.sweeps.dispatch.shards import OpenTrial, Pack, smaller_packs

MOST_DEATHS = 2
"""A cell that is being trained when a worker process dies so often is recorded as failed."""


class Suspects:
    """The cells over which worker processes have died."""

    def __init__(self) -> None:
        self._deaths: Counter[str] = Counter()
        """By key."""

    def among(self, pack: Pack) -> bool:
        """Whether a worker has died over one of the cells; such a pack is joined with no other."""
        return any(self._deaths[cell.key] for cell in pack)

    def after_death(self, pack: Pack) -> tuple[Pack, list[Pack]]:
        """Of a pack that a worker died over: the cells that are blamed now, and the others in parts to be dealt again.

        Only the guilty setting is to fail.
        """
        self._deaths.update(cell.key for cell in pack)
        blamed = tuple(cell for cell in pack if self._deaths[cell.key] >= MOST_DEATHS)
        rest = tuple(cell for cell in pack if cell not in blamed)
        return blamed, smaller_packs(rest) or ([rest] if rest else [])


def has_shape(trial: OpenTrial, shape: str) -> bool:
    """Whether a pack of this shape (`dualpt.core.cell.pack_of`) is left to be dealt."""
    return any(pack[0].shape == shape for pack in trial.undealt)


def join(pack: Pack, others: Iterable[OpenTrial], *, settings: int, suspects: Suspects) -> Pack:
    """A pack with those of other trials that may train in the same steps, one of each; they are dealt with it.

    Args:
        settings: how many trials may share the pack.
    """
    if suspects.among(pack):
        return pack
    shape, joined = pack[0].shape, 1
    for other in others:
        if joined == settings:
            break
        fitting = (p for p in other.undealt if p[0].shape == shape and not suspects.among(p))
        if (theirs := next(fitting, None)) is not None:
            other.undealt.remove(theirs)
            pack, joined = (*pack, *theirs), joined + 1
    return pack
