"""From cells to results. Config stops here; below are flat arguments and tensors.

A `Bench` holds what cells share in one process (frozen CLIPs, text features, the feature store) and trains packs of
cells as replicas of the same steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.alignment import mean_feature
from core.arrays import ClassText, ImageFeatures, TestSet
from core.backbone import Backbone, load_backbone
from core.cells import Cell, pack_of
from core.config import BackboneSection, Setting, uses_local
from core.data.protocols import TARGET, CellData
from core.data.splits import Item
from core.describing.bank import Sentences
from core.descriptions import encode_bank, encode_template, name_tokens
from core.encoding import measure_pace
from core.errors import UserError
from core.evaluate import Evaluation, zero_shot
from core.feature_needs import FeatureEstimate, FeatureNeed, check_room, estimate, local_kind, needs_of, train_views
from core.feature_records import ImageKey
from core.features import CachedTrainImages, FeatureStore, OnlineTrainImages, encoder_title
from core.inputs import (
    cell_key,
    check_cell_files,
    data_of,
    data_root,
    datasets_of,
    described_datasets,
    info_of,
    mini_datasets_of,
    recipe_of,
    sentences_of,
    split_of,
)
from core.learned_prompts import LearnedPrompts
from core.locations import cache_root
from core.mini.grid import ensure_mini_grid
from core.prompts import check_prompt_lengths
from core.provenance import Provenance, provenance_of
from core.results import CellMetrics, harmonic_mean
from core.text_tower import TextTower
from core.trainer import TrainResult, train

Count = Callable[[int, int, str], None]
"""Called with done, total and what is being done."""


@dataclass(frozen=True)
class CellResult:
    cell: Cell
    key: str
    """Hash of everything that determines the numbers."""
    metrics: CellMetrics
    per_class: Mapping[str, Mapping[str, float]]
    """Test set name (`test`, `base`, `new`, `target/<dataset>`) -> class name -> accuracy in percent."""
    loss_curve: tuple[float, ...] = ()
    contexts: Tensor | None = None
    """Learned contexts (N, L, W), or (C, N, L, W) where class-specific."""
    sample_fingerprint: str | None = None
    failure: str | None = None
    """Why the cell failed (for example a loss that is not finite), or None."""
    class_names: tuple[str, ...] = ()
    """Every class of the dataset, by label."""
    sentences: Sentences | None = None
    """Of every class, where descriptions enter at test."""
    provenance: Provenance | None = None

    @property
    def prompts(self) -> LearnedPrompts | None:
        """The learned contexts with what explains them; None where nothing was learned."""
        if self.contexts is None or self.provenance is None:
            return None
        weights = self.provenance.weights
        return LearnedPrompts(self.contexts, self.cell, self.key, self.class_names, self.sentences, weights)


@dataclass(frozen=True, eq=False)
class _Towers:
    backbone: Backbone
    text: TextTower


class Bench:
    """What cells share in one process.

    Args:
        cache: folder of the feature store; None is the user's cache folder.
        device: a torch device, or `auto` for a GPU where there is one.
    """

    def __init__(self, *, cache: Path | None = None, device: str = "auto") -> None:
        self._store = FeatureStore((cache or cache_root()) / "features")
        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._towers: dict[BackboneSection, _Towers] = {}
        self._texts: dict[tuple[object, ...], ClassText] = {}

    def key(self, cell: Cell) -> str:
        """Hash of all that determines the cell's numbers (see `core.inputs.cell_key`); loads no model."""
        return cell_key(cell)

    def check(self, cells: Sequence[Cell]) -> None:
        """Find every fault of the cells' inputs before compute is spent.

        Raises:
            UserError: one line naming the file or key and the remedy.
        """
        for cell in cells:
            datasets_of(cell)
        for cell in _one_per(cells, lambda cell: cell.setting.backbone):
            self._towers_of(cell.setting)
        check_cell_files(cells)
        for cell in _one_per(cells, lambda cell: (cell.setting, cell.dataset, cell.protocol, cell.targets)):
            towers = self._towers_of(cell.setting)
            self._check_patches(cell.setting, towers)
            for part in (data := data_of(cell)).classes:
                text = self._class_text(cell, part)
                if cell.setting.method == "prompt":
                    names = _names(cell, data, part)
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
        check_room(self._store.folder, estimates)
        total = sum(one.missing for one in estimates)
        size = f"{sum(one.bytes for one in estimates) / 1e6:,.0f} MB in all"
        done = 0
        images, size_before = self._store.encoded_images, self._store.encoded_bytes
        for one in estimates:
            if not one.missing:
                continue

            def count(encoded: int, wanted: int, before: int = done, one: FeatureEstimate = one) -> None:
                if progress is not None:
                    part = max(0, encoded - (wanted - one.missing))
                    progress(before + part, total, f"features of {one.need.dataset} ({size})")

            self._features(one.need.setting, one.need.dataset, one.need.items, one.need.view, count)
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

    def run(
        self,
        cells: Sequence[Cell],
        report: Callable[[int, int], None] | None = None,
        checkpoint: Path | None = None,
    ) -> list[CellResult]:
        """Train and judge one pack; results in the given order.

        Args:
            cells: cells of equal `pack_of`, trained as replicas of the same steps.
            report: called with finished and total epochs.
            checkpoint: file to continue from and to write to; removed by the caller when results are kept.
        """
        if len({pack_of(cell) for cell in cells}) != 1:
            raise ValueError("cells of one pack must share everything but seed, weights and learning rate")
        if cells[0].setting.method != "prompt":
            return [self._run_zero_shot(cell) for cell in cells]
        results = self._train(cells, report, checkpoint)
        return [self._result(cell, result) for cell, result in zip(cells, results, strict=True)]

    def _train(
        self, cells: Sequence[Cell], report: Callable[[int, int], None] | None, checkpoint: Path | None
    ) -> list[TrainResult]:
        first, setting = cells[0], cells[0].setting
        data = [data_of(cell) for cell in cells]
        recipes = [recipe_of(cell) for cell in cells]
        prompt, alignment = setting.prompt, setting.alignment
        pool, samples = _pool([one.train for one in data])
        val_pool, val_samples = _pool([one.val for one in data])
        store_images = self._train_images(setting, first.dataset, pool)
        return train(
            tower=self._towers_of(setting).text,
            text=self._class_text(first, "train"),
            train_images=store_images,
            train_labels=torch.tensor([item.label for item in pool]),
            samples=samples,
            val=self._features(setting, first.dataset, val_pool) if val_pool else None,
            val_samples=val_samples if val_pool else None,
            tests=self.test_sets(first),
            seeds=[cell.seed for cell in cells],
            llm_weight=[cell.setting.alignment.llm_weight for cell in cells],
            local_weight=[cell.setting.alignment.local_weight for cell in cells],
            inference_local_weight=[cell.setting.inference.local_weight for cell in cells],
            inference_description_weight=[cell.setting.inference.description_weight for cell in cells],
            learning_rate=[recipe.learning_rate for recipe in recipes],
            context_length=prompt.context_length,
            n_prompts=prompt.n_prompts,
            class_token_position=prompt.class_token_position,
            class_specific=prompt.class_specific,
            init=prompt.init,
            init_std=prompt.init_std,
            llm_form=alignment.llm_form,
            llm_target=alignment.llm_target,
            local_form=alignment.local_form,
            topk=alignment.topk,
            attention_beta=alignment.attention_beta,
            ot_epsilon=alignment.ot_epsilon,
            ot_iterations=alignment.ot_iterations,
            ot_marginals=alignment.ot_marginals,
            ot_relaxation=alignment.ot_relaxation,
            momentum=setting.optim.momentum,
            weight_decay=setting.optim.weight_decay,
            warmup_learning_rate=setting.optim.warmup_learning_rate,
            batch_size=recipes[0].batch_size,
            epochs=recipes[0].epochs,
            report=None if report is None else lambda progress: report(progress.epoch, progress.epochs),
            checkpoint=checkpoint,
        )

    def _run_zero_shot(self, cell: Cell) -> CellResult:
        data = data_of(cell)
        evaluations = {}
        for name, test in self.test_sets(cell).items():
            classifier = _zero_shot_classifier(cell.setting, test.text)
            evaluations[name] = zero_shot(classifier, test.images)
        return CellResult(
            cell=cell,
            key=self.key(cell),
            metrics=CellMetrics(**_accuracies(evaluations)),
            per_class=self._per_class(cell, data, evaluations),
            provenance=self._provenance(cell.setting),
        )

    def _result(self, cell: Cell, result: TrainResult) -> CellResult:
        data = data_of(cell)
        metrics = CellMetrics(
            val_accuracy=None if result.val is None else result.val.accuracy,
            train_loss=result.loss_curve[-1] if result.loss_curve else None,
            train_seconds=result.seconds,
            plan_entropy=result.plan_entropy,
            **_accuracies(result.tests),
        )
        return CellResult(
            cell=cell,
            key=self.key(cell),
            metrics=metrics,
            per_class=self._per_class(cell, data, result.tests),
            loss_curve=tuple(result.loss_curve),
            contexts=result.contexts,
            sample_fingerprint=data.sample_fingerprint,
            failure=result.failure,
            class_names=split_of(cell.setting, cell.dataset).class_names,
            sentences=sentences_of(cell.setting, cell.dataset) if cell.setting.inference.description_weight else None,
            provenance=self._provenance(cell.setting),
        )

    def _provenance(self, setting: Setting) -> Provenance:
        backbone = self._towers_of(setting).backbone
        return provenance_of(backbone.weights_fingerprint, backbone.device)

    def _per_class(
        self, cell: Cell, data: CellData, evaluations: Mapping[str, Evaluation]
    ) -> dict[str, dict[str, float]]:
        return {
            test: dict(zip(_distinct(_names(cell, data, test)), evaluation.per_class, strict=True))
            for test, evaluation in evaluations.items()
        }

    def _towers_of(self, setting: Setting) -> _Towers:
        """The frozen CLIP of a setting, loaded once per process."""
        section = setting.backbone
        if section not in self._towers:
            backbone = load_backbone(section.name, section.pretrained, section.precision, self._device)
            self._towers[section] = _Towers(backbone, TextTower(backbone.model, backbone.tokenizer))
        return self._towers[section]

    def _backbone_of(self, setting: Setting) -> Backbone:
        return self._towers_of(setting).backbone

    def _pace_of(self, need: FeatureNeed, missing: Sequence[ImageKey]) -> float | None:
        backbone = self._backbone_of(need.setting)
        known = self._store.pace.known(encoder_title(backbone, need.local, backbone.device.type))
        return known or measure_pace(backbone, need.image_root, missing, need.local, need.view)

    def _class_text(self, cell: Cell, part: str) -> ClassText:
        """Names, descriptions and template of the classes of `train` or of a test set, encoded once per process."""
        setting, data = cell.setting, data_of(cell)
        dataset, classes = data.datasets[part], data.classes[part]
        sentences = sentences_of(setting, dataset) if dataset in described_datasets(cell) else None
        key = (setting.backbone, setting.data.root, dataset, (classes.start, classes.stop), sentences)
        if key not in self._texts:
            names = _names(cell, data, part)
            towers = self._towers_of(setting)
            descriptions, mask = (None, None)
            if sentences is not None:
                descriptions, mask = encode_bank(towers.text, sentences[classes], names)
            template = encode_template(towers.text, info_of(setting, dataset).template, names)
            tokens = name_tokens(towers.backbone.tokenizer, names)
            self._texts[key] = ClassText(tokens, descriptions, mask, template)
        return self._texts[key]

    def _features(
        self,
        setting: Setting,
        dataset: str,
        items: tuple[Item, ...],
        view: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ImageFeatures:
        return self._store.features(
            self._backbone_of(setting),
            dataset,
            _image_root(setting, dataset),
            items,
            local=local_kind(setting),
            view=view,
            progress=progress,
        )

    def _train_images(
        self, setting: Setting, dataset: str, pool: tuple[Item, ...]
    ) -> CachedTrainImages | OnlineTrainImages:
        if not (stored := train_views(setting)):
            images = _image_root(setting, dataset)
            return OnlineTrainImages(self._backbone_of(setting), images, pool, local_kind(setting))
        views = [self._features(setting, dataset, pool, view) for view in stored]
        return CachedTrainImages(views, [item.path for item in pool], self._device)

    def _test_set(self, cell: Cell, data: CellData, name: str) -> TestSet:
        images = self._features(cell.setting, data.datasets[name], data.tests[name])
        return TestSet(images, self._class_text(cell, name))

    def _check_patches(self, setting: Setting, towers: _Towers) -> None:
        patches = towers.backbone.n_positions
        if uses_local(setting) and setting.alignment.local_form == "topk" and setting.alignment.topk > patches:
            raise UserError(
                f"alignment.topk: {setting.alignment.topk} patches asked for, {setting.backbone.name} has {patches}; "
                f"choose 1 to {patches}"
            )


def _zero_shot_classifier(setting: Setting, text: ClassText) -> Tensor:
    """(C, D): the template's features, or the normalised mean of each class's descriptions."""
    if setting.method == "zero-shot":
        assert text.template is not None
        return text.template
    assert text.descriptions is not None
    assert text.description_mask is not None
    return mean_feature(text.descriptions, text.description_mask)


def _accuracies(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Accuracies in percent by the field names of `CellMetrics`."""
    accuracy = {name: evaluation.accuracy for name, evaluation in evaluations.items()}
    targets = {name.removeprefix(TARGET): value for name, value in accuracy.items() if name.startswith(TARGET)}
    own = {f"{name}_accuracy": value for name, value in accuracy.items() if not name.startswith(TARGET)}
    both = {"base", "new"} <= set(accuracy)
    return {
        **own,
        "harmonic_mean": harmonic_mean(accuracy["base"], accuracy["new"]) if both else None,
        "targets": targets,
    }


def _names(cell: Cell, data: CellData, part: str) -> tuple[str, ...]:
    """Class names of `train` or of a test set, by label."""
    return split_of(cell.setting, data.datasets[part]).class_names[data.classes[part]]


def _image_root(setting: Setting, dataset: str) -> Path:
    info = info_of(setting, dataset)
    return info.image_root(data_root(setting, info))


def _pool(samples: Sequence[tuple[Item, ...]]) -> tuple[tuple[Item, ...], Tensor]:
    """The distinct images of several equally large samples, and each sample as rows into them (R, n)."""
    places: dict[Item, int] = {}
    rows = [[places.setdefault(item, len(places)) for item in sample] for sample in samples]
    return tuple(places), torch.tensor(rows, dtype=torch.int64)


def _distinct(names: Sequence[str]) -> list[str]:
    """Names as keys: the second of two equal names gets its label (ImageNet has two such pairs)."""
    return [name if name not in names[:label] else f"{name} ({label})" for label, name in enumerate(names)]


def _one_per(cells: Sequence[Cell], group: Callable[[Cell], object]) -> list[Cell]:
    """The first cell of each group."""
    first: dict[object, Cell] = {}
    for cell in cells:
        first.setdefault(group(cell), cell)
    return list(first.values())
