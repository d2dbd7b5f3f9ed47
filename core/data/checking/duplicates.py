"""The same image twice in one dataset, found by content: in two parts, under two labels, or twice in training.

A test image that was trained on raises accuracy, a validation image that was favours what overfits; no model can get
both labels of an image right. Splits name paths, so a copy under another name shows in nothing but its content.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from dualpt.core.data.splits import PARTS, Item, Split, listing


@dataclass(frozen=True)
class Duplicates:
    """Pairs of paths of equal content; the first of a pair is named first in the split."""

    leaked: tuple[tuple[str, str], ...] = ()
    """A training or validation image, and a test image."""
    two_labels: tuple[tuple[str, str], ...] = ()
    """Images of different labels."""
    repeated: tuple[tuple[str, str], ...] = ()
    """Two training images of one label."""
    judged: tuple[tuple[str, str], ...] = ()
    """A training and a validation image."""

    def notes(self) -> list[str]:
        """What a reader of results must know, one line for each kind found."""
        kinds = (
            (self.leaked, "test images that are also trained or selected on"),
            (self.judged, "validation images that are also trained on"),
            (self.two_labels, "images under two labels"),
            (self.repeated, "training images that occur twice"),
        )
        return [f"{what}, by content: {len(pairs)} ({_shown(pairs)})" for pairs, what in kinds if pairs]


NO_DUPLICATES = Duplicates()


def find_duplicates(split: Split, digests: Mapping[str, str]) -> Duplicates:
    """Find images of equal content.

    Args:
        split: the dataset's images.
        digests: path -> content digest; images without one are left out.
    """
    by_content: defaultdict[str, list[tuple[str, Item]]] = defaultdict(list)
    for part in PARTS:
        for item in getattr(split, part):
            if (digest := digests.get(item.path)) is not None:
                by_content[digest].append((part, item))
    leaked, two_labels, repeated, judged = [], [], [], []
    for same in by_content.values():
        if len(same) < 2:
            continue
        seen = [item for part, item in same if part != "test"]
        tested = [item for part, item in same if part == "test"]
        leaked += [(seen[0].path, item.path) for item in tested if seen]
        first, others = same[0][1], [item for _, item in same[1:]]
        two_labels += [(first.path, item.path) for item in others if item.label != first.label]
        trained = [item for part, item in same if part == "train"]
        judged += [(trained[0].path, item.path) for part, item in same if part == "val" and trained]
        repeated += [(trained[0].path, item.path) for item in trained[1:] if item.label == trained[0].label]
    return Duplicates(*(tuple(dict.fromkeys(pairs)) for pairs in (leaked, two_labels, repeated, judged)))


def _shown(pairs: tuple[tuple[str, str], ...]) -> str:
    return listing([first if first == second else f"{first} = {second}" for first, second in pairs])
