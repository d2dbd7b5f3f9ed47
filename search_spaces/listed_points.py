"""Points that follow from a space and a seed alone, for the samplers that list them."""

import math
from collections.abc import Iterator
from random import Random

from dualpt.core.config.activity import active_values
from dualpt.core.config.sections import Value
from dualpt.core.files.fingerprint import fingerprint
from dualpt.search_spaces.parameters import ChoiceParameter, FloatParameter, IntParameter, Parameter
from dualpt.search_spaces.points import Point, exists, list_points, resolve
from dualpt.search_spaces.samplers import SAMPLERS
from dualpt.search_spaces.sweep import LoadedSweep

PATIENCE = 500
"""After this many points of a sequence without a new setting, the space counts as exhausted."""


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
    if sampler == "qmc":
        return sobol_points(sweep)
    raise ValueError(f"sampler {sampler} has no list of points")


def grid_points(sweep: LoadedSweep) -> list[Point]:
    """The points of a grid that satisfy the constraints, one for each distinct setting.

    Their order is random and follows the search's seed, so a smaller budget takes a fair part of the grid.
    """
    assert sweep.file.search is not None
    points = list(_distinct(sweep, list_points(sweep.space, sweep.base())))
    Random(sweep.file.search.seed).shuffle(points)
    return points


def sobol_points(sweep: LoadedSweep) -> Iterator[Point]:
    """A scrambled Sobol' sequence over the space: random, but evenly spread, whatever the number of points.

    Each parameter has a coordinate, which goes unused where its condition does not hold. The sequence ends where
    `PATIENCE` points in a row bring no new setting. Source: Owen, Scrambled Sobol' and Niederreiter-Xing points,
    J. Complexity 14, 1998, as scipy implements it. (Optuna's QMCSampler spends points on queued trials, and draws
    parameters with conditions at random.)
    """
    from scipy.stats import qmc

    assert sweep.file.search is not None
    engine = qmc.Sobol(len(sweep.space), scramble=True, rng=sweep.file.search.seed)
    return _distinct(sweep, _mapped(sweep, iter(lambda: engine.random(1)[0].tolist(), None)), PATIENCE)


def _mapped(sweep: LoadedSweep, coordinates: Iterator[list[float]]) -> Iterator[Point]:
    """Points of the unit cube as points of the space."""
    base = sweep.base()
    for row in coordinates:
        point: Point = {}
        for parameter, share in zip(sweep.space, row, strict=True):
            if exists(parameter, base, point):
                point[parameter.key] = value_at(parameter, share)
        yield point


def value_at(parameter: Parameter, share: float) -> Value:
    """The value below which a share, in [0, 1), of a uniform (or, with `log`, log-uniform) draw lies."""
    match parameter:
        case ChoiceParameter(values=values):
            return values[int(share * len(values))]
        case IntParameter(low=low, high=high, log=True):
            return min(high, max(low, round(math.exp(_between(math.log(low - 0.5), math.log(high + 0.5), share)))))
        case FloatParameter(low=low, high=high, log=True):
            return min(high, max(low, math.exp(_between(math.log(low), math.log(high), share))))
        case FloatParameter(low=low, high=high, step=None):
            return _between(low, high, share)
        case _:
            values = parameter.listed or ()
            return values[int(share * len(values))]


def _between(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def _distinct(sweep: LoadedSweep, points: Iterator[Point], patience: int | None = None) -> Iterator[Point]:
    """Points that satisfy the constraints, the first of each setting.

    Args:
        patience: end after this many points in a row that bring no new setting; None reads to the end.
    """
    base, seen, idle = sweep.base(), set[str](), 0
    for point in points:
        idle += 1
        if sweep.violated({**base, **point}) is None:
            setting, shots = resolve(point, sweep.reference)
            identity = fingerprint([active_values(setting), shots])
            if identity not in seen:
                seen.add(identity)
                idle = 0
                yield point
        if idle == patience:
            return
