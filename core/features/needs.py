"""Which stored features cells need, how much of that is missing, and what it will cost to compute.

Only what a protocol reads is stored: the drawn training images (their views, where views are stored at all), the
validation images, and the test sets; local features only for settings that use them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualpt.core.cell import Cell
from dualpt.core.config import LocalKind, Setting, uses_local
from dualpt.core.data.splits import Item
from dualpt.core.features.segment import ImageKey
from dualpt.core.features.store import Encoder, FeatureStore
from dualpt.core.inputs.reading import CellInputs, Dataset


@dataclass(frozen=True)
class FeatureNeed:
    """Images of one dataset that one backbone is to see in one way."""

    setting: Setting
    """The first setting that asks for it; only its backbone matters."""
    dataset: Dataset
    view: int | None
    """None for the plain centre crop."""
    items: tuple[Item, ...]
    """Labelled 0: base-to-new relabels the same images."""

    @property
    def image_root(self) -> Path:
        return self.dataset.image_root

    @property
    def local(self) -> LocalKind | None:
        return local_kind(self.setting)


@dataclass(frozen=True)
class FeatureEstimate:
    """What is missing of a need."""

    need: FeatureNeed
    missing: int
    """Images to encode."""
    bytes: int
    """What their features will take on disk."""
    seconds: float | None
    """By the pace of this machine; None where it is not known."""


def local_kind(setting: Setting) -> LocalKind | None:
    """Which local features a setting reads, or None where it reads global ones alone."""
    return setting.backbone.local_features if uses_local(setting) else None


def train_views(setting: Setting) -> tuple[int | None, ...]:
    """The stored views of training images: none where they are encoded at every step, the plain one where V = 1."""
    n_views = setting.data.views
    return (None,) if n_views == 1 else tuple(range(n_views))


def needs_of(cells: Iterable[Cell]) -> list[FeatureNeed]:
    """What the cells read, each image once; those with local features first, since global ones are stored with them."""
    wanted: dict[tuple[object, ...], tuple[Setting, Dataset, int | None, dict[Item, None]]] = {}

    def want(setting: Setting, dataset: Dataset, view: int | None, items: Sequence[Item]) -> None:
        group = (setting.backbone, dataset, uses_local(setting), view)
        images = wanted.setdefault(group, (setting, dataset, view, {}))[3]
        images.update((item._replace(label=0), None) for item in items)

    for inputs in map(CellInputs, cells):
        data, setting = inputs.data, inputs.cell.setting
        want(setting, inputs.source, None, data.val)
        for test, items in data.tests.items():
            want(setting, inputs.dataset_of(test), None, items)
        if setting.trains:
            for view in train_views(setting):
                want(setting, inputs.source, view, data.train)
    seen: dict[tuple[object, ...], set[Item]] = {}
    needs = []
    for setting, dataset, view, images in sorted(wanted.values(), key=lambda group: not uses_local(group[0])):
        known = seen.setdefault((setting.backbone, dataset, view), set())
        needs.append(FeatureNeed(setting, dataset, view, tuple(image for image in images if image not in known)))
        known |= set(images)
    return [need for need in needs if need.items]


def estimate(
    store: FeatureStore,
    needs: Sequence[FeatureNeed],
    encoder_of: Callable[[Setting], Encoder],
    pace_of: Callable[[FeatureNeed, Sequence[ImageKey]], float | None],
) -> list[FeatureEstimate]:
    """What is missing of each need.

    Args:
        encoder_of: the backbone of a setting, or its facts.
        pace_of: images per second for a need, of which some images are missing; None where it is not known.
    """
    estimates = []
    for need in needs:
        encoder = encoder_of(need.setting)
        missing, row_bytes = store.missing(
            encoder, need.dataset.name, need.image_root, need.items, need.local, need.view
        )
        pace = pace_of(need, missing) if missing else None
        seconds = len(missing) / pace if pace else None if missing else 0.0
        estimates.append(FeatureEstimate(need, len(missing), len(missing) * row_bytes, seconds))
    return estimates
