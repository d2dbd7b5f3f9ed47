"""How many images of each class a draw takes: as many of every class, or as the classes are frequent.

SS-Text's three scenarios (arXiv 2506.17500; jusiro/SS-Text at 845ba01, `data/utils.py: balance_split`,
`data/constants.py`), with K shots, C classes and N = K * C images in all:

- `standard`: K images of every class.
- `relaxed`: N times the class's share of the training images, rounded, but at least one.
- `realistic`: the same, and a class that is rounded to none has none.

What is too much after rounding is taken from the largest classes; what is too little isn't made up for.
"""

from collections.abc import Sequence

from dualpt.core.config.sections import DrawKind


def images_per_class(available: Sequence[int], shots: int, kind: DrawKind) -> list[int]:
    """Images to draw of each class.

    Args:
        available: training images of each class in the order of labels, all above 0.
        shots: K, of which N is made.

    Returns:
        As many numbers; a class may have fewer images than its number, and then gives all of them.
    """
    if kind == "standard":
        return [shots] * len(available)
    total, everything = shots * len(available), sum(available)
    least = 1 if kind == "relaxed" else 0
    counts = [max(least, round(total * (own / everything))) for own in available]  # the order of their arithmetic
    for _ in range(sum(counts) - total):
        counts[counts.index(max(counts))] -= 1
    return counts
