"""A user's method gives a cell the same in a pack as alone, or is refused."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from dualpt.core.methods.interface import (
    Fitted,
    Images,
    Labelled,
    LinearClassifier,
    Method,
    MethodOptions,
    Support,
)
from dualpt.core.running import pack_check
from dualpt.core.running.pack_check import check_pack, fitted_alone

R, N, C, D = 3, 6, 4, 5


class Pull(MethodOptions):
    pull: float = 1.0


Weights = Callable[[Support, Sequence[Pull]], Tensor]


def method_of(weights: Weights) -> Method[Pull]:
    """A method of its own class, as each file has one."""

    class Own(Method[Pull]):
        name = "own"
        title = "Own"
        options = Pull

        def fit(self, support: Support, options: Sequence[Pull]) -> Fitted:
            found = weights(support, options)
            return Fitted(LinearClassifier(found, found.new_zeros(found.shape[:2])))

    return Own()


def pulls(options: Sequence[Pull]) -> Tensor:
    return torch.tensor([one.pull for one in options])[:, None, None]


def means(support: Support) -> Tensor:
    """(R, C, D)"""
    return support.one_hot.mT @ support.images.directions[:, 0]


RIGHT: Weights = lambda support, options: pulls(options) * means(support)  # noqa: E731
WRONG: dict[str, Weights] = {
    "the first cell's options": lambda support, options: options[0].pull * means(support),
    "a mean over the pack": lambda support, options: means(support) - means(support).mean(dim=0),
    "the first cell's seed": lambda support, _: means(support) * support.seeds[0],
    "chance of the whole pack": lambda support, _: torch.randn(
        len(support.labels), C, D, generator=torch.Generator().manual_seed(support.seeds[0])
    ),
}
UNEQUAL = [Pull(pull=1.0), Pull(pull=2.0), Pull(pull=30.0)]


def support() -> Support:
    generator = torch.Generator().manual_seed(0)
    images = Images(torch.randn(R, 1, N, D, generator=generator))
    labels = torch.arange(N).remainder(C).expand(R, N)
    return Support(
        images, labels, torch.ones(C, D), 1.0, [1, 2, 3], Labelled(Images(torch.ones(R, 2, D)), labels[:, :2])
    )


def tried(method: Method[Pull], options: Sequence[Pull]) -> bool:
    """Whether the cell was fitted alone, too."""
    alone = fitted_alone(method, support(), options)
    fitted = method.fit(support(), options)
    if alone is not None:
        check_pack(method, support(), options, fitted, alone)
    return alone is not None


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_check, "_held", set())


def test_a_method_is_looked_at_once_and_once_more_where_options_differ() -> None:
    method = method_of(RIGHT)
    looks = [tried(method, options) for options in ([Pull()] * R, [Pull()] * R, UNEQUAL, UNEQUAL)]
    assert looks == [True, False, True, False]
    assert tried(method_of(RIGHT), [Pull()] * R)


def test_a_cell_that_is_alone_costs_nothing() -> None:
    method = method_of(RIGHT)
    assert fitted_alone(method, support().of_cell(0), [Pull()]) is None


@pytest.mark.parametrize("fault", WRONG)
def test_what_depends_on_the_rest_of_the_pack_is_refused(fault: str) -> None:
    method = method_of(WRONG[fault])
    for _ in range(2):  # and again by the next pack
        with pytest.raises(ValueError, match="fit gives the last of 3 packed cells another classifier than alone"):
            tried(method, UNEQUAL)


def test_one_cell_of_a_support_has_tensors_of_its_own() -> None:
    pack = support()
    one = pack.of_cell(2)
    assert (one.images.directions.shape, one.labels.shape, list(one.seeds)) == ((1, 1, N, D), (1, N), [3])
    assert one.val is not None
    assert one.val.images.directions.shape == (1, 2, D)
    torch.testing.assert_close(one.images.directions[0], pack.images.directions[2])
    one.images.directions.zero_()
    assert bool(pack.images.directions[2].any())
