"""L-BFGS on many problems of one shape at once; a problem takes the steps that it takes alone.

SciPy and scikit-learn minimise one problem per call, which on small features costs more in calls than in arithmetic.

Shapes: P problems, n unknowns, k kept pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dualpt.core.methods.memory_lines import filled, sums

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From unknowns (P, n) of the problems with these numbers (P) to values (P) and gradients (P, n)."""

KEPT_PAIRS = 10
ROWS, COPIES = 12, 4
"""Rows in which the pairs are kept, and equal columns that are solved for: so many that no problem's part of a product
ends within a line of memory (`memory_lines`)."""
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
        self._count, self._last = 0, -1
        self._rows = filled(like.new_zeros(len(like), 2, ROWS, like.shape[1]), 3)
        """S and Y (P, 2, ROWS, n in whole lines), each pair in the row after its elder's; 0 where none is."""
        self._products = like.new_zeros(len(like), 2, ROWS, ROWS)
        """SYᵀ, of which only what is on and above the diagonal is right, and YYᵀ, both from the oldest to the last."""

    def push(self, s: Tensor, y: Tensor) -> None:
        """Keep a pair (P, n) each, and forget the oldest beyond `KEPT_PAIRS`."""
        self._count, self._last = min(self._count + 1, KEPT_PAIRS), (self._last + 1) % ROWS
        self._rows[:, 0, self._last, : s.shape[1]], self._rows[:, 1, self._last, : y.shape[1]] = s, y
        self._rows[:, :, self._last - KEPT_PAIRS] = 0
        with_last = self._along(self._rows[:, 1, self._last])
        products = torch.zeros_like(self._products)
        products[:, :, -KEPT_PAIRS:-1, -KEPT_PAIRS:-1] = self._products[:, :, 1 - KEPT_PAIRS :, 1 - KEPT_PAIRS :]
        products[..., -1] = products[..., -1, :] = with_last
        self._products = products

    def only(self, kept: Tensor) -> None:
        self._rows, self._products = self._rows[kept], self._products[kept]

    def direction(self, gradient: Tensor) -> Tensor:
        """-H g (P, n), by the compact form of Byrd, Nocedal and Schnabel (1994), equation 3.1.

        H = c I + [S, c Y] [[R⁻ᵀ (D + c YᵀY) R⁻¹, -R⁻ᵀ], [-R⁻¹, 0]] [S, c Y]ᵀ with R the upper triangle of SᵀY, D its
        diagonal and c = s.y / y.y of the last pair.
        """
        if self._count == 0:
            return -gradient
        with_y, squares = self._products.unbind(dim=1)
        upper, diagonal = with_y.triu(), with_y.diagonal(dim1=1, dim2=2)
        upper.diagonal(dim1=1, dim2=2)[:, : -self._count] = 1  # where no pair is, 0 solves to 0
        c = (diagonal[:, -1] / squares[:, -1, -1])[:, None, None]
        along = self._along(filled(gradient, 1))
        along_s, along_y = along[..., None].expand(-1, -1, -1, COPIES).unbind(dim=1)
        solved = torch.linalg.solve_triangular(upper, along_s, upper=True)
        inner = diagonal[..., None] * solved + c * (torch.bmm(squares, solved) - along_y)
        of_s = torch.linalg.solve_triangular(upper.mT, inner, upper=False)
        combined = self._combined(torch.stack([of_s, -c * solved], dim=1)[..., :2])
        return (-c[:, 0] * gradient).sub_(combined[:, : gradient.shape[1]])

    # With a single vector, a batched product rounds each problem's result by how many there are; with two it does not.

    def _along(self, vectors: Tensor) -> Tensor:
        """Inner products (P, 2, ROWS) of the rows, from the oldest to the last, and vectors (P, n in whole lines)."""
        products = torch.bmm(self._rows.flatten(1, 2), torch.stack([vectors, vectors], dim=1).mT)[..., 0]
        return products.view(self._rows.shape[:3]).roll(ROWS - 1 - self._last, dims=2)

    def _combined(self, weights: Tensor) -> Tensor:
        """Sums (P, n in whole lines) of the rows by weights (P, 2, ROWS, 2), whose columns are equal."""
        in_place = weights.roll(self._last + 1, dims=2).flatten(1, 2)
        return torch.bmm(in_place.mT, self._rows.flatten(1, 2))[:, 0]


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
    slope = sums(points.gradient * direction)
    low, high, step = torch.zeros_like(first), torch.full_like(first, torch.inf), first
    for _ in range(MOST_TRIALS):
        x = points.x + step[:, None] * direction
        reached = _Points(points.problems, x, *objective(x, points.problems))
        too_far = ~(reached.value <= points.value + SUFFICIENT_DECREASE * step * slope)
        too_near = ~too_far & (sums(reached.gradient * direction) < CURVATURE * slope)
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
