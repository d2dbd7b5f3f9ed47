"""What the cells of one process share and none changes: frozen CLIPs, text features of classes, the feature store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.arrays import ClassText, ImageFeatures, TestSet
from dualpt.core.cell import Cell
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config.activity import encodes_text, uses_local
from dualpt.core.config.sections import BackboneSection
from dualpt.core.config.setting import Setting
from dualpt.core.data.images import View
from dualpt.core.data.splits import Item
from dualpt.core.descriptions.reading import encode_bank, encode_template, name_tokens
from dualpt.core.errors import UserError
from dualpt.core.features.encoding import measure_pace
from dualpt.core.features.folder import check_room
from dualpt.core.features.imported.import_rows import ImportRows
from dualpt.core.features.needs import (
    FeatureEstimate,
    FeatureNeed,
    beside_of,
    estimate,
    local_kind,
    needs_of,
    reads_norms,
    train_views,
)
from dualpt.core.features.segment import ImageKey
from dualpt.core.features.store import FeatureStore, encoder_title
from dualpt.core.features.train_images import CachedTrainImages, OnlineTrainImages
from dualpt.core.files.locations import cache_root
from dualpt.core.inputs.drawn_images import check_drawn_images
from dualpt.core.inputs.import_limits import crops_read
from dualpt.core.inputs.reading import CellInputs, Dataset, check_cell_files, mini_datasets_of
from dualpt.core.inputs.templates import start_of, template_of
from dualpt.core.learned.scorers import local_scorer
from dualpt.core.mini.grid import ensure_mini_grid
from dualpt.core.prompts.contexts_file import read_start
from dualpt.core.prompts.encoder import check_prompt_lengths
from dualpt.core.prompts.init_path import init_path
from dualpt.core.provenance import IMPORTED, Provenance, asked_kernels, provenance_of

Count = Callable[[int, int, str], None]
"""Called with done, total and what is being done."""


@dataclass(frozen=True, eq=False)
class Towers:
    backbone: Backbone
    text: TextTower


class FrozenParts:
    """What no cell changes: CLIP's towers, text features and stored image features, shared within one process.

    Args:
        cache: folder of the feature store; None is the user's cache folder.
        device: a torch device, or `auto` for a GPU where there is one.

    Raises:
        UserError: `DUALPT_GPU_KERNELS` names no kernels.
    """

    def __init__(self, *, cache: Path | None = None, device: str = "auto") -> None:
        asked_kernels()  # a wrong name ends here, and not in the first training step
        self._store = FeatureStore((cache or cache_root()) / "features")
        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._imports: dict[str, ImportRows] = {}
        self._towers: dict[BackboneSection, Towers] = {}
        self._texts: dict[tuple[object, ...], ClassText] = {}
        self._raw_texts: dict[tuple[object, ...], Tensor] = {}

    def check(self, cells: Sequence[Cell]) -> None:
        """Find every fault of the cells' inputs before compute is spent.

        Raises:
            UserError: one line naming the file or key and the remedy.
        """
        every = [CellInputs(cell) for cell in cells]
        encoded = [one for one in every if not one.source.is_imported or encodes_text(one.cell.setting)]
        for inputs in _one_per(encoded, lambda cell: cell.setting.backbone):
            self.towers_of(inputs.cell.setting)
        check_cell_files(every)
        for inputs in every:
            check_drawn_images(inputs)
        for dataset in dict.fromkeys(one for inputs in every for one in inputs.datasets.values() if one.is_imported):
            self._rows_of(dataset)
        for inputs in _one_per(encoded, lambda cell: (cell.setting, cell.dataset, cell.protocol, cell.targets)):
            self._check_against_towers(inputs)

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
                    progress(before + part, total, f"features of {one.need.dataset.name} ({size})")

            self.features(one.need.setting, one.need.dataset, one.need.items, one.need.view, count)
            done += one.missing
        return self._store.encoded_images - images, self._store.encoded_bytes - size_before

    def prepare_data(self, cells: Sequence[Cell], progress: Count | None = None) -> None:
        """Write the mini datasets that are not on disk yet."""
        for root, datasets in mini_datasets_of(map(CellInputs, cells)).items():
            ensure_mini_grid(root, datasets, progress)

    def test_sets(self, inputs: CellInputs) -> dict[str, TestSet]:
        """The images that a cell is tested on, by name of the test set; features come from the store (`prepare`)."""
        return {name: self._test_set(inputs, name) for name in inputs.data.tests}

    def towers_of(self, setting: Setting) -> Towers:
        """The frozen CLIP of a setting, loaded once per process."""
        section = setting.backbone.model_copy(update={"local_features": "value"})  # which are read, no weight says
        if section not in self._towers:
            backbone = load_backbone(section.name, section.pretrained, section.precision, self._device)
            self._towers[section] = Towers(backbone, backbone.text)
        return self._towers[section]

    def device_of(self, inputs: CellInputs) -> torch.device:
        """The device that a cell is fitted and classified on."""
        if inputs.source.is_imported:
            return torch.device(self._device)
        return self.towers_of(inputs.cell.setting).text.device

    def scale_of(self, inputs: CellInputs) -> float:
        """CLIP's logit scale."""
        if inputs.source.is_imported:
            return inputs.source.imported.scale
        return self.towers_of(inputs.cell.setting).text.logit_scale

    def provenance_of(self, inputs: CellInputs) -> Provenance:
        """What a cell's numbers are computed with; of imported features, their hash stands for the weights'."""
        if inputs.source.is_imported:
            return provenance_of(f"{IMPORTED}{inputs.source.imported.fingerprint}", torch.device(self._device))
        backbone = self.towers_of(inputs.cell.setting).backbone
        return provenance_of(backbone.weights_fingerprint, backbone.device)

    def class_text(self, inputs: CellInputs, part: str) -> ClassText:
        """Names, descriptions and template of the classes of `train` or of a test set, encoded once per process."""
        setting, dataset, classes = inputs.cell.setting, inputs.dataset_of(part), inputs.data.classes[part]
        if dataset.is_imported and not encodes_text(setting):
            return ClassText(((),) * (classes.stop - classes.start), template=self._rows_of(dataset).text(classes))
        sentences = inputs.sentences(dataset.name) if dataset.name in inputs.described else None
        template = template_of(setting, dataset)
        key = (setting.backbone, dataset, (classes.start, classes.stop), sentences, template)
        if key not in self._texts:
            names = inputs.class_names(part)
            towers = self.towers_of(setting)
            descriptions, mask = (None, None)
            if sentences is not None:
                descriptions, mask = encode_bank(towers.text, sentences[classes], names)
            tokens = name_tokens(towers.backbone.tokenizer, names)
            self._texts[key] = ClassText(tokens, descriptions, mask, encode_template(towers.text, template, names))
        return self._texts[key]

    def features(
        self,
        setting: Setting,
        dataset: Dataset,
        items: tuple[Item, ...],
        view: View | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ImageFeatures:
        """Features of the items in order, in one view: see `views`."""
        (features,) = self.views(setting, dataset, items, [view], progress)
        return features

    def views(
        self,
        setting: Setting,
        dataset: Dataset,
        items: tuple[Item, ...],
        views: Sequence[View | None],
        progress: Callable[[int, int], None] | None = None,
    ) -> list[ImageFeatures]:
        """Features of the items in order, in each view: imported, or stored, computed where they are missing."""
        norms = reads_norms(setting)
        if dataset.is_imported:
            rows = self._rows_of(dataset)
            return [rows.features(items, None if view is None else view.number, norms) for view in views]
        return self._store.views(
            self._backbone_of(setting),
            dataset.name,
            dataset.image_root,
            items,
            local=beside_of(setting),
            views=views,
            progress=progress,
            norms=norms,
        )

    def raw_text(self, inputs: CellInputs, part: str) -> Tensor:
        """The template's features (C, D) of the classes of `train` or of a test set, at their lengths.

        Of imported ones whose lengths aren't known they are 1; (C, 0) where there are none.
        """
        setting, dataset, classes = inputs.cell.setting, inputs.dataset_of(part), inputs.data.classes[part]
        if dataset.is_imported:
            return self._rows_of(dataset).raw_text(classes)
        key = (setting.backbone, dataset, (classes.start, classes.stop))
        if key not in self._raw_texts:
            tower, names = self.towers_of(setting).text, inputs.class_names(part)
            self._raw_texts[key] = encode_template(tower, dataset.template, names, raw=True)
        return self._raw_texts[key]

    def train_views(self, inputs: CellInputs) -> tuple[View | None, ...]:
        """The stored views that are read of training images; None is the one feature of an image."""
        setting = inputs.cell.setting
        if not inputs.source.is_imported:
            return train_views(setting)
        return tuple(map(View, range(crops_read(setting, inputs.source.imported)))) or (None,)

    def train_images(self, inputs: CellInputs, pool: tuple[Item, ...]) -> CachedTrainImages | OnlineTrainImages:
        """The training pool: stored views, or pixels encoded again at every step where augmentation is online."""
        setting, dataset = inputs.cell.setting, inputs.source
        if not (stored := self.train_views(inputs)):
            return OnlineTrainImages(self._backbone_of(setting), dataset.image_root, pool, local_kind(setting))
        return CachedTrainImages(self.views(setting, dataset, pool, stored), [item.path for item in pool], self._device)

    def _check_against_towers(self, inputs: CellInputs) -> None:
        """Refuse what CLIP's towers cannot serve: too many patches, prompts too long, a start of another shape.

        The cell's class texts are encoded on the way.
        """
        setting, towers = inputs.cell.setting, self.towers_of(inputs.cell.setting)
        backbone = towers.backbone
        if uses_local(setting):
            scorer = local_scorer(setting.alignment)
            scorer.check_patches(setting.prompt.n_prompts, backbone.n_positions, backbone.name)
        for part in inputs.data.classes:
            text = self.class_text(inputs, part)
            if setting.learns_prompts:
                names = inputs.class_names(part)
                check_prompt_lengths(towers.text, text.name_tokens, names, setting.prompt.context_length)
        if setting.learns_prompts:
            _check_start(inputs, towers)
        if beside_of(setting) == "hidden" and not backbone.hidden_width:
            raise UserError(
                f"{setting.definition.name}: reads features before the projection, which {backbone.name} doesn't "
                "have; use another backbone"
            )

    def _rows_of(self, dataset: Dataset) -> ImportRows:
        """The features of an import, read once per process as long as their content stays the same."""
        about = dataset.imported
        if about.fingerprint not in self._imports:
            self._imports[about.fingerprint] = ImportRows(about)
        return self._imports[about.fingerprint]

    def _backbone_of(self, setting: Setting) -> Backbone:
        return self.towers_of(setting).backbone

    def _pace_of(self, need: FeatureNeed, missing: Sequence[ImageKey]) -> float | None:
        backbone = self._backbone_of(need.setting)
        known = self._store.pace.known(encoder_title(backbone, need.local, backbone.device.type))
        return known or measure_pace(backbone, need.image_root, missing, need.local, need.view)

    def _test_set(self, inputs: CellInputs, name: str) -> TestSet:
        images = self.features(inputs.cell.setting, inputs.dataset_of(name), inputs.data.tests[name])
        return TestSet(images, self.class_text(inputs, name))


def _check_start(inputs: CellInputs, towers: Towers) -> None:
    """Refuse a template without words to begin with, and a file of contexts whose shape is another."""
    prompt = inputs.cell.setting.prompt
    start_of(inputs)
    if (path := init_path(prompt.init)) is not None:
        classes = (len(inputs.class_names("train")),) if prompt.class_specific else ()
        read_start(path, (*classes, prompt.n_prompts, prompt.context_length, towers.text.width))


def _one_per(cells: Sequence[CellInputs], group: Callable[[Cell], object]) -> list[CellInputs]:
    """The inputs of the first cell of each group."""
    first: dict[object, CellInputs] = {}
    for inputs in cells:
        first.setdefault(group(inputs.cell), inputs)
    return list(first.values())
