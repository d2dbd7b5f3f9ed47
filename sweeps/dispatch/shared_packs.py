"""Packs on their way to a worker: joined from settings of equal shape, and taken apart after a worker has died.

Knows neither the ledger nor Ray.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from dualpt.sweeps.dispatch.open_trial import OpenTrial
from dualpt.sweeps.dispatch.work_units import Pack, smaller_packs

MOST_DEATHS = 2
"""Worker processes that may die while training a cell; with the last of them the cell is recorded as failed."""
REPLICAS_ON_CPU, REPLICAS_ON_GPU = 4, 16
"""Replicas per step that `search.pack: auto` aims at. On one CPU core, 4 candidates with one seed train at 1.3 to 1.5
times the speed of single ones on the mini grid, and 8 hardly faster (docs/racing.md); a GPU is launch-bound far longer,
and a pack that does not fit into its memory is tried again in parts."""


def settings_per_pack(pack: int | Literal["auto"], n_seeds: int, on_gpu: bool) -> int:
    """How many candidates may share the steps of a pack.

    Args:
        pack: `search.pack`.
        n_seeds: replicas that each candidate has anyway.
        on_gpu: whether workers have a GPU.
    """
    if pack != "auto":
        return pack
    return max(1, (REPLICAS_ON_GPU if on_gpu else REPLICAS_ON_CPU) // n_seeds)


class Suspects:
    """The cells over which worker processes have died."""

    def __init__(self) -> None:
        self._deaths: Counter[str] = Counter()
        """By key."""

    def among(self, pack: Pack) -> bool:
        """Whether a worker has died over one of the cells; such a pack is joined with no other."""
        return any(self._deaths[cell.key] for cell in pack)

    def after_death(self, pack: Pack) -> tuple[Pack, list[Pack]]:
        """Split a pack that a worker died over into the cells blamed now, and the others in parts to be tried again.

        Only the guilty setting is to fail.
        """
        self._deaths.update(cell.key for cell in pack)
        blamed = tuple(cell for cell in pack if self._deaths[cell.key] >= MOST_DEATHS)
        rest = tuple(cell for cell in pack if cell not in blamed)
        return blamed, smaller_packs(rest) or ([rest] if rest else [])


def join(pack: Pack, others: Iterable[OpenTrial], *, settings: int, suspects: Suspects) -> Pack:
    """A pack together with packs of other trials that may train in the same steps, one of each; these are taken along.

    Args:
        settings: how many trials may share the pack.
    """
    if suspects.among(pack):
        return pack
    shape, joined = pack[0].shape, 1
    for other in others:
        if joined == settings:
            break
        fitting = (p for p in other.unassigned if p[0].shape == shape and not suspects.among(p))
        if (theirs := next(fitting, None)) is not None:
            other.unassigned.remove(theirs)
            pack, joined = (*pack, *theirs), joined + 1
    return pack
