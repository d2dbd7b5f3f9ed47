"""A user's method checked against the rule that a cell gives the same in a pack as alone.

It costs the fit of one cell, so a process looks at a method's first pack and at the first one of unequal options.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dualpt.core.methods.interface import Fitted, Method, MethodOptions, Support

PROBABILITY = 0.02
"""By how much a class's probability may differ: far above what rounding becomes in a long training."""

_held: set[tuple[type, bool]] = set()
"""Methods whose packs kept the rule in this process, with whether options differed."""


def fitted_alone(method: Method[Any], support: Support, options: Sequence[MethodOptions]) -> Fitted | None:
    """What `fit` gives the last cell of a pack alone; None where nothing is to be compared."""
    if len(options) == 1 or _case(method, options) in _held:
        return None
    return method.fit(replace(support.of_cell(len(options) - 1), report=None), options[-1:])


def check_pack(
    method: Method[Any], support: Support, options: Sequence[MethodOptions], packed: Fitted, alone: Fitted
) -> None:
    """Refuse a fit that gave a pack's last cell another classifier than it gets alone.

    Raises:
        ValueError: with the largest difference of probabilities on the cell's training images.
    """
    last = len(options) - 1
    images, both = support.images.at(last).at(0), (packed.classifier.of_cell(last), alone.classifier)
    in_pack, by_itself = (classifier.logits(images)[0].softmax(dim=-1) for classifier in both)
    difference = float((in_pack - by_itself).abs().max())
    if difference > PROBABILITY:  # not so where a training came to NaN, which is a failure of the cell
        raise ValueError(
            f"fit gives the last of {len(options)} packed cells another classifier than alone (probabilities differ by "
            f"up to {difference:.2f}); let cell r depend on entry r of support and options[r] alone"
        )
    _held.add(_case(method, options))


def _case(method: Method[Any], options: Sequence[MethodOptions]) -> tuple[type, bool]:
    return type(method), any(one != options[0] for one in options)
