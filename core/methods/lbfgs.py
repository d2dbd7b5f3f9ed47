"""L-BFGS on many problems of one shape at once; a problem takes the steps that it takes alone.

SciPy and scikit-learn minimise one problem per call, which on small features costs more in calls than in arithmetic.

Shapes: P problems, n unknowns, k kept pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From unknowns (P, n) of the problems with these numbers (P) to values (P) and gradients (P, n)."""

KEPT_PAIRS = 10
SUFFICIENT_DECREASE, CURVATURE = 1e-3, 0.9
"""Wolfe's constants, as in SciPy's L-BFGS-B."""
LEAST_DESCENT = 0.1
"""Share of its first gradient to which a problem is brought down that would count as done where it starts."""
MOST_TRIALS = 30
"""Of one line search; a problem whose search fails is as low as the number format allows, and stays there."""


@dataclass
class _Points:
    """Where each of P problems is."""

    problems: Tensor
    """(P), their numbers."""
    x: Tensor
    """(P, n)"""
    value: Tensor
    """(P)"""
    gradient: Tensor
    """(P, n)"""

    def only(self, kept: Tensor) -> "_Points":
        return _Points(self.problems[kept], self.x[kept], self.value[kept], self.gradient[kept])


class _Pairs:
    """The last steps S and changes of gradient Y of P problems, and their inner products."""

    def __init__(self, like: Tensor) -> None:
        empty = like.new_empty(len(like), 0, like.shape[1])
        self._s, self._y = empty, empty

    def push(self, s: Tensor, y: Tensor) -> None:
        """Keep a pair (P, n) each, and forget the oldest beyond `KEPT_PAIRS`."""
        self._s = torch.cat([self._s[:, 1 - KEPT_PAIRS :], s[:, None]], dim=1)
        self._y = torch.cat([self._y[:, 1 - KEPT_PAIRS :], y[:, None]], dim=1)

    def only(self, kept: Tensor) -> None:
        self._s, self._y = self._s[kept], self._y[kept]

    def direction(self, gradient: Tensor) -> Tensor:
        """-H g (P, n), by the compact form of Byrd, Nocedal and Schnabel (1994), equation 3.1.

        H = c I + [S, c Y] [[R⁻ᵀ (D + c YᵀY) R⁻¹, -R⁻ᵀ], [-R⁻¹, 0]] [S, c Y]ᵀ with R the upper triangle of SᵀY, D its
        diagonal and c = s.y / y.y of the last pair.
        """
        if self._s.shape[1] == 0:
            return -gradient
        products = torch.bmm(self._s, self._y.mT)
        upper, diagonal = products.triu(), products.diagonal(dim1=1, dim2=2)
        squares = torch.bmm(self._y, self._y.mT)
        c = (diagonal[:, -1] / squares[:, -1, -1])[:, None, None]
        along_s, along_y = _along(self._s, gradient), c * _along(self._y, gradient)
        solved = torch.linalg.solve_triangular(upper, along_s, upper=True)
        inner = diagonal[..., None] * solved + c * torch.bmm(squares, solved) - along_y
        of_s = torch.linalg.solve_triangular(upper.mT, inner, upper=False)
        return -(c[:, 0] * gradient + _combined(self._s, of_s) - _combined(self._y, c * solved))


# With a single vector, a batched product rounds each problem's result by how many there are; with two it does not.


def _along(pairs: Tensor, vectors: Tensor) -> Tensor:
    """Inner products (P, k, 1) of pairs (P, k, n) and vectors (P, n)."""
    return torch.bmm(pairs, torch.stack([vectors, vectors], dim=1).mT)[..., :1]


def _combined(pairs: Tensor, weights: Tensor) -> Tensor:
    """Sums (P, n) of pairs (P, k, n) by weights (P, k, 1)."""
    return torch.bmm(weights.repeat(1, 1, 2).mT, pairs)[:, 0]


def minimise(objective: Objective, start: Tensor, *, tolerance: float, iterations: int) -> Tensor:
    """Where the largest entry of each gradient is at most `tolerance`, or where `iterations` lead: (P, n).

    A mean over 1,000 classes can begin with a gradient below any usual tolerance. Such a problem isn't left where it
    starts, but brought down to a tenth of that gradient.

    Args:
        start: (P, n)
    """
    found = start.clone()
    problems = torch.arange(len(start), device=start.device)
    points = _Points(problems, start, *objective(start, problems))
    pairs = _Pairs(start)
    at_start = points.gradient.abs().amax(dim=1)
    enough = torch.where(at_start > tolerance, tolerance, LEAST_DESCENT * at_start)
    for iteration in range(iterations):
        going = points.gradient.abs().amax(dim=1) > enough[points.problems]
        if not going.all():
            points = points.only(going)
            pairs.only(going)
        if len(points.problems) == 0:
            break
        direction = pairs.direction(points.gradient)
        first = 1 / points.gradient.norm(dim=1) if iteration == 0 else torch.ones_like(points.value)
        reached, searched = _line_search(objective, points, direction, first)
        found[reached.problems] = reached.x
        pairs.push(reached.x - points.x, reached.gradient - points.gradient)
        points = reached
        if not searched.all():
            points = points.only(searched)
            pairs.only(searched)
    return found


def _line_search(objective: Objective, points: _Points, direction: Tensor, first: Tensor) -> tuple[_Points, Tensor]:
    """Steps that meet Wolfe's weak conditions, by bisection: the points reached, and whether (P) they do."""
    slope = (points.gradient * direction).sum(dim=1)
    low, high, step = torch.zeros_like(first), torch.full_like(first, torch.inf), first
    for _ in range(MOST_TRIALS):
        x = points.x + step[:, None] * direction
        reached = _Points(points.problems, x, *objective(x, points.problems))
        too_far = ~(reached.value <= points.value + SUFFICIENT_DECREASE * step * slope)
        too_near = ~too_far & ((reached.gradient * direction).sum(dim=1) < CURVATURE * slope)
        if not (too_far | too_near).any():
            break
        high, low = torch.where(too_far, step, high), torch.where(too_near, step, low)
        between = torch.where(high.isinf(), 2 * step, (low + high) / 2)
        step = torch.where(too_far | too_near, between, step)
    met = ~(too_far | too_near)
    kept = met | (reached.value < points.value)
    return _Points(
        points.problems,
        torch.where(kept[:, None], reached.x, points.x),
        torch.where(kept, reached.value, points.value),
        torch.where(kept[:, None], reached.gradient, points.gradient),
    ), met
