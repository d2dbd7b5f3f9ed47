"""Context rows at all places that hold them, and the gradient's sums."""

import torch

from dualpt.core.prompts import spread_rows
from dualpt.core.prompts.spread_rows import RowSpreader

ROWS = torch.tensor([0, 2, 0, 1, 0, 2])


def test_rows_and_their_gradient_are_index_select_s() -> None:
    contexts = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)  # the last row stands nowhere
    weights = torch.randn(3, 6, 5, dtype=torch.float64)
    wanted = contexts.index_select(1, ROWS)
    places = torch.tensor([[0, 2, 4], [3, 6, 6], [1, 5, 6]])
    found = spread_rows._Spread.apply(contexts, ROWS, places)
    assert torch.equal(found, wanted)
    gradients = [torch.autograd.grad((one * weights).sum(), contexts)[0] for one in (found, wanted)]
    assert torch.allclose(*gradients, atol=1e-12)


def test_places_are_those_of_each_row() -> None:
    assert spread_rows.places_of(ROWS).tolist() == [[0, 2, 4], [3, 6, 6], [1, 5, 6]]


def test_on_a_cpu_sums_have_an_order_already() -> None:
    contexts = torch.randn(1, 3, 2)
    assert torch.equal(RowSpreader(ROWS)(contexts), contexts[:, ROWS])
    assert RowSpreader(ROWS)._places is None
