"""What cells share in one process: frozen CLIPs, the text features of classes, and the feature store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dualpt.core.arrays import ClassText, ImageFeatures, TestSet
from dualpt.core.cell import Cell
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config import BackboneSection, Setting, uses_local
from dualpt.core.data.protocols import CellData
from dualpt.core.data.splits import Item
from dualpt.core.descriptions.reading import encode_bank, encode_template, name_tokens
from dualpt.core.errors import UserError
from dualpt.core.features.encoding import measure_pace
from dualpt.core.features.folder import check_room
from dualpt.core.features.needs import (
    FeatureEstimate,
    FeatureNeed,
    estimate,
    local_kind,
    needs_of,
    train_views,
)
from dualpt.core.features.segment import ImageKey
from dualpt.core.features.store import FeatureStore, encoder_title
from dualpt.core.features.train_images import CachedTrainImages, OnlineTrainImages
from dualpt.core.files.locations import cache_root
from dualpt.core.inputs.reading import (
    check_cell_files,
    data_of,
    data_root,
    datasets_of,
    described_datasets,
    info_of,
    mini_datasets_of,
    sentences_of,
    split_of,
)
from dualpt.core.mini.grid import ensure_mini_grid
from dualpt.core.prompts.encoder import check_prompt_lengths

Count = Callable[[int, int, str], None]
"""Called with done, total and what is being done."""


@dataclass(frozen=True, eq=False)
class Towers:
    backbone: Backbone
    text: TextTower


class Materials:
    """What the cells of one process are made from.

    Args:
        cache: folder of the feature store; None is the user's cache folder.
        device: a torch device, or `auto` for a GPU where there is one.
    """

    def __init__(self, *, cache: Path | None = None, device: str = "auto") -> None:
        self._store = FeatureStore((cache or cache_root()) / "features")
        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._towers: dict[BackboneSection, Towers] = {}
        self._texts: dict[tuple[object, ...], ClassText] = {}

    def check(self, cells: Sequence[Cell]) -> None:
        """Find every fault of the cells' inputs before compute is spent.

        Raises:
            UserError: one line naming the file or key and the remedy.
        """
        for cell in cells:
            datasets_of(cell)
        for cell in _one_per(cells, lambda cell: cell.setting.backbone):
            self.towers_of(cell.setting)
        check_cell_files(cells)
        for cell in _one_per(cells, lambda cell: (cell.setting, cell.dataset, cell.protocol, cell.targets)):
            towers = self.towers_of(cell.setting)
            self._check_patches(cell.setting, towers)
            for part in (data := data_of(cell)).classes:
                text = self.class_text(cell, part)
                if cell.setting.method == "prompt":
                    names = names_in(cell, data, part)
                    check_prompt_lengths(towers.text, text.name_tokens, names, cell.setting.prompt.context_length)

    def prepare(self, cells: Sequence[Cell], progress: Count | None = None) -> None:
        """Write the mini grid where it is asked for, and compute the features that the cells need.

        Raises:
            UserError: the disk has no room for all of them, or an image cannot be read.
        """
        self.prepare_data(cells, progress)
        estimates = estimate(self._store, needs_of(cells), self._backbone_of, lambda need, missing: None)
        self.compute(estimates, progress)

    def estimate_features(self, cells: Sequence[Cell]) -> list[FeatureEstimate]:
        """What `prepare` would compute, and how long it takes: by the pace of earlier builds, else of a few images."""
        return estimate(self._store, needs_of(cells), self._backbone_of, self._pace_of)

    def compute(self, estimates: Sequence[FeatureEstimate], progress: Count | None = None) -> tuple[int, int]:
        """Compute the features that are missing; images and bytes encoded here, and not by processes waited for.

        Raises:
            UserError: as `prepare`.
        """
        total, n_bytes = sum(one.missing for one in estimates), sum(one.bytes for one in estimates)
        check_room(self._store.root, total, n_bytes)
        size = f"{n_bytes / 1e6:,.0f} MB in all"
        done = 0
        images, size_before = self._store.encoded_images, self._store.encoded_bytes
        for one in estimates:
            if not one.missing:
                continue

            def count(encoded: int, wanted: int, before: int = done, one: FeatureEstimate = one) -> None:
                if progress is not None:
                    part = max(0, encoded - (wanted - one.missing))
                    progress(before + part, total, f"features of {one.need.dataset} ({size})")

            self.features(one.need.setting, one.need.dataset, one.need.items, one.need.view, count)
            done += one.missing
        return self._store.encoded_images - images, self._store.encoded_bytes - size_before

    def prepare_data(self, cells: Sequence[Cell], progress: Count | None = None) -> None:
        """Write the mini datasets that are not on disk yet."""
        for root, datasets in mini_datasets_of(cells).items():
            ensure_mini_grid(root, datasets, progress)

    def test_sets(self, cell: Cell) -> dict[str, TestSet]:
        """The images that a cell is judged on, by name of the test set; features come from the store (`prepare`)."""
        data = data_of(cell)
        return {name: self._test_set(cell, data, name) for name in data.tests}

    def towers_of(self, setting: Setting) -> Towers:
        """The frozen CLIP of a setting, loaded once per process."""
        section = setting.backbone
        if section not in self._towers:
            backbone = load_backbone(section.name, section.pretrained, section.precision, self._device)
            self._towers[section] = Towers(backbone, TextTower(backbone.model, backbone.tokenizer))
        return self._towers[section]

    def _backbone_of(self, setting: Setting) -> Backbone:
        return self.towers_of(setting).backbone

    def _pace_of(self, need: FeatureNeed, missing: Sequence[ImageKey]) -> float | None:
        backbone = self._backbone_of(need.setting)
        known = self._store.pace.known(encoder_title(backbone, need.local, backbone.device.type))
        return known or measure_pace(backbone, need.image_root, missing, need.local, need.view)

    def class_text(self, cell: Cell, part: str) -> ClassText:
        """Names, descriptions and template of the classes of `train` or of a test set, encoded once per process."""
        setting, data = cell.setting, data_of(cell)
        dataset, classes = data.datasets[part], data.classes[part]
        sentences = sentences_of(setting, dataset) if dataset in described_datasets(cell) else None
        key = (setting.backbone, setting.data.root, dataset, (classes.start, classes.stop), sentences)
        if key not in self._texts:
            names = names_in(cell, data, part)
            towers = self.towers_of(setting)
            descriptions, mask = (None, None)
            if sentences is not None:
                descriptions, mask = encode_bank(towers.text, sentences[classes], names)
            template = encode_template(towers.text, info_of(setting, dataset).template, names)
            tokens = name_tokens(towers.backbone.tokenizer, names)
            self._texts[key] = ClassText(tokens, descriptions, mask, template)
        return self._texts[key]

    def features(
        self,
        setting: Setting,
        dataset: str,
        items: tuple[Item, ...],
        view: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ImageFeatures:
        """Features of the items in order, from the store; computed where they are missing."""
        return self._store.features(
            self._backbone_of(setting),
            dataset,
            _image_root(setting, dataset),
            items,
            local=local_kind(setting),
            view=view,
            progress=progress,
        )

    def train_images(
        self, setting: Setting, dataset: str, pool: tuple[Item, ...]
    ) -> CachedTrainImages | OnlineTrainImages:
        """The training pool: stored views, or pixels encoded anew at every step where augmentation is online."""
        if not (stored := train_views(setting)):
            images = _image_root(setting, dataset)
            return OnlineTrainImages(self._backbone_of(setting), images, pool, local_kind(setting))
        views = [self.features(setting, dataset, pool, view) for view in stored]
        return CachedTrainImages(views, [item.path for item in pool], self._device)

    def _test_set(self, cell: Cell, data: CellData, name: str) -> TestSet:
        images = self.features(cell.setting, data.datasets[name], data.tests[name])
        return TestSet(images, self.class_text(cell, name))

    def _check_patches(self, setting: Setting, towers: Towers) -> None:
        patches = towers.backbone.n_positions
        if uses_local(setting) and setting.alignment.local_form == "topk" and setting.alignment.topk > patches:
            raise UserError(
                f"alignment.topk: {setting.alignment.topk} patches asked for, {setting.backbone.name} has {patches}; "
                f"choose 1 to {patches}"
            )


def names_in(cell: Cell, data: CellData, part: str) -> tuple[str, ...]:
    """Class names of `train` or of a test set, by label."""
    return split_of(cell.setting, data.datasets[part]).class_names[data.classes[part]]


def _image_root(setting: Setting, dataset: str) -> Path:
    info = info_of(setting, dataset)
    return info.image_root(data_root(setting, info))


def _one_per(cells: Sequence[Cell], group: Callable[[Cell], object]) -> list[Cell]:
    """The first cell of each group."""
    first: dict[object, Cell] = {}
    for cell in cells:
        first.setdefault(group(cell), cell)
    return list(first.values())
