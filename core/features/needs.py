"""Which stored features cells need, how much of that is missing, and what it will cost to compute.

Only what a protocol reads is stored: the drawn training images (their views, where views are stored at all), the
validation images, and the test sets; local features only for settings that use them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dualpt.core.arrays import Beside
from dualpt.core.cell import Cell
from dualpt.core.config.activity import uses_local
from dualpt.core.config.sections import LocalKind
from dualpt.core.config.setting import Setting
from dualpt.core.data.images import View
from dualpt.core.data.splits import Item
from dualpt.core.features.segment import ImageKey
from dualpt.core.features.store import Encoder, FeatureStore
from dualpt.core.inputs.reading import CellInputs, Dataset


@dataclass(frozen=True)
class FeatureNeed:
    """Images of one dataset that one backbone is to see in one way."""

    setting: Setting
    """The first setting that asks for it; only its backbone and what it reads matter."""
    dataset: Dataset
    view: View | None
    """None for the plain centre crop."""
    items: tuple[Item, ...]
    """Labelled 0: base-to-new relabels the same images."""

    @property
    def image_root(self) -> Path:
        return self.dataset.image_root

    @property
    def local(self) -> Beside | None:
        return beside_of(self.setting)

    @property
    def norms(self) -> bool:
        return reads_norms(self.setting)


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


def beside_of(setting: Setting) -> Beside | None:
    """What a setting reads beside global features: local ones, those before the projection, or nothing."""
    if setting.fits_features:
        return "hidden" if setting.reads.hidden else None
    return local_kind(setting)


def reads_norms(setting: Setting) -> bool:
    """Whether a setting reads the norms of raw features."""
    return setting.fits_features and setting.reads.norms


def train_views(setting: Setting) -> tuple[View | None, ...]:
    """The stored views of training images: none where they are encoded at every step, the plain one where V = 1."""
    if setting.fits_features:
        reads = setting.reads
        return tuple(View(number, reads.min_crop_area) for number in range(reads.views)) or (None,)
    n_views = setting.data.views
    return (None,) if n_views == 1 else tuple(map(View, range(n_views)))


def needs_of(cells: Iterable[Cell]) -> list[FeatureNeed]:
    """What the cells read of the store, each image once.

    Those with local features come first, since global ones are stored with them.
    """
    wanted: dict[tuple[object, ...], tuple[Setting, Dataset, View | None, dict[Item, None]]] = {}

    def want(setting: Setting, dataset: Dataset, view: View | None, items: Sequence[Item]) -> None:
        group = (setting.backbone, dataset, beside_of(setting), reads_norms(setting), view)
        images = wanted.setdefault(group, (setting, dataset, view, {}))[3]
        images.update((item._replace(label=0), None) for item in items)

    for inputs in map(CellInputs, (cell for cell in cells if cell.setting.data.features is None)):
        data, setting = inputs.data, inputs.cell.setting
        for judging in (data, *inputs.judging):
            want(setting, inputs.source, None, judging.val)
        for test, items in data.tests.items():
            want(setting, inputs.dataset_of(test), None, items)
        if setting.trains:
            for view in train_views(setting):
                want(setting, inputs.source, view, data.train)
    groups = [FeatureNeed(setting, dataset, view, tuple(images)) for setting, dataset, view, images in wanted.values()]
    needs: list[FeatureNeed] = []
    for need in sorted(groups, key=lambda one: (one.local is None, not one.norms)):
        known = {image for other in needs if _serves(other, need) for image in other.items}
        needs.append(replace(need, items=tuple(image for image in need.items if image not in known)))
    return [need for need in needs if need.items]


def _serves(need: FeatureNeed, other: FeatureNeed) -> bool:
    """Whether rows stored for one need are all that another one reads of the same images."""
    same = (need.setting.backbone, need.dataset, need.view) == (other.setting.backbone, other.dataset, other.view)
    return same and other.local in (None, need.local) and need.norms >= other.norms


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
            encoder, need.dataset.name, need.image_root, need.items, need.local, need.view, need.norms
        )
        pace = pace_of(need, missing) if missing else None
        seconds = len(missing) / pace if pace else None if missing else 0.0
        estimates.append(FeatureEstimate(need, len(missing), len(missing) * row_bytes, seconds))
    return estimates
