"""Points that follow from a space and a seed alone, for the samplers that list them."""

from collections.abc import Iterator
from random import Random

from dualpt.core.files.fingerprint import fingerprint
from dualpt.search_spaces.points import Point, list_points, resolve
from dualpt.search_spaces.samplers import SAMPLERS
from dualpt.search_spaces.sweep import LoadedSweep


def listed_points(sweep: LoadedSweep) -> Iterator[Point] | None:
    """The points of the sweep's sampler in the order in which to propose them; None where Optuna proposes.

    All satisfy the constraints, and no two stand for the same setting.
    """
    assert sweep.file.search is not None
    sampler = sweep.file.search.sampler
    if not SAMPLERS[sampler].lists_points:
        return None
    if sampler == "grid":
        return iter(grid_points(sweep))
    raise ValueError(f"sampler {sampler} has no list of points")


def grid_points(sweep: LoadedSweep) -> list[Point]:
    """The points of a grid that satisfy the constraints, one for each distinct setting.

    Their order is random and follows the search's seed, so that a smaller budget takes a fair part of the grid.
    """
    assert sweep.file.search is not None
    points = list(_distinct(sweep, list_points(sweep.space, sweep.base())))
    Random(sweep.file.search.seed).shuffle(points)
    return points


def _distinct(sweep: LoadedSweep, points: Iterator[Point], patience: int | None = None) -> Iterator[Point]:
    """Points that satisfy the constraints, the first of each setting.

    Args:
        patience: end after so many points in a row that bring no new setting; None reads to the end.
    """
    base, seen, idle = sweep.base(), set[str](), 0
    for point in points:
        idle += 1
        if sweep.violated({**base, **point}) is None:
            setting, shots = resolve(point, sweep.reference)
            identity = fingerprint([setting.active(), shots])
            if identity not in seen:
                seen.add(identity)
                idle = 0
                yield point
        if idle == patience:
            return
