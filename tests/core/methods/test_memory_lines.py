import torch

from dualpt.core.methods.memory_lines import filled, sums, whole


def test_whole_lines() -> None:
    assert [whole(n) for n in (1, 16, 17, 1806)] == [16, 16, 32, 1808]


def test_zeros_fill_up_the_end_of_the_dimensions_that_are_named() -> None:
    tensor = torch.arange(1.0, 7).view(1, 2, 3)
    rows = filled(tensor, 1)
    assert rows.shape == (1, 16, 3)
    assert rows[:, :2].equal(tensor)
    assert rows[:, 2:].eq(0).all()
    assert filled(tensor, 1, 2).shape == (1, 16, 16)
    assert filled(tensor, -1).shape == (1, 2, 16)
    assert filled(rows, 1) is rows


def test_sums_of_short_and_long_rows() -> None:
    assert sums(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).tolist() == [6.0, 15.0]
    assert sums(torch.ones(2, 50_001)).tolist() == [50_001.0, 50_001.0]


def test_a_long_row_is_summed_by_two_threads_as_among_others() -> None:
    torch.set_num_threads(2)
    rows = torch.randn(3, 150_000, generator=torch.Generator().manual_seed(0))
    assert sums(rows).equal(torch.cat([sums(row[None]) for row in rows]))


def test_a_product_of_whole_lines_rounds_a_problem_as_alone() -> None:
    """Odd sizes: 9 pairs of 1,806 numbers, which fill no whole line."""
    rows = torch.randn(3, 9, 1806, generator=torch.Generator().manual_seed(0))
    together = torch.bmm(filled(rows, 2), filled(rows, 2).mT)
    alone = [torch.bmm(filled(row[None], 2), filled(row[None], 2).mT) for row in rows]
    assert together.equal(torch.cat(alone))
