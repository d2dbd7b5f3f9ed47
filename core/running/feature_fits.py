"""Methods on frozen features: from a pack of cells to what they learned, and how it classifies.

Shapes: R cells, V views, P distinct images, N training images, M validation images, D joint width, C classes.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.data.protocols import CellData
from dualpt.core.data.splits import Item
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.method_files import naming_its_line
from dualpt.core.methods.interface import Classifier, Fitted, Images, Labelled, Method, Support
from dualpt.core.running.fitted_checks import check_fitted, held_to_its_rules
from dualpt.core.running.frozen_parts import FrozenParts
from dualpt.core.running.pack_check import check_pack, fitted_alone
from dualpt.core.running.undeclared_reads import naming_undeclared
from dualpt.core.training.evaluate import MAX_IMAGES, Evaluation, Scores, joined, measure, score
from dualpt.core.training.progress import Report

MAX_LOGITS = 2**25
"""Logits held at once, at most (128 MiB in float32); bounds memory, not results."""
NOT_FINITE = "its classifier has values that are not finite"
NOTHING_CHOSEN: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class FeatureFit:
    """What became of one cell."""

    classifier: Classifier
    """With R = 1, on the CPU."""
    chosen: Mapping[str, float]
    """Options that were chosen on validation images."""
    losses: tuple[float, ...]
    """Mean loss of each epoch; empty for closed forms."""
    seconds: float
    """Wall time of fitting the pack, divided by its cells."""
    failure: str | None
    val: Evaluation | None = None
    """None where there are no validation images, or the fit failed."""
    tests: Mapping[str, Evaluation] = field(default_factory=dict)
    """By name of the test set; empty where the fit failed."""


def fit_cells(
    parts: FrozenParts,
    pack: Sequence[CellInputs],
    data: Sequence[CellData] | None = None,
    chosen: Mapping[str, float] = NOTHING_CHOSEN,
    *,
    tested: bool = True,
    report: Report | None = None,
) -> list[FeatureFit]:
    """Fit the cells of one pack at once, and classify with what they learned.

    Args:
        data: of each cell, what to fit and judge on; None is the cell's own.
        chosen: options in place of the settings', which left them open.
        tested: whether the test sets are classified.
        report: called while a method trains that takes many epochs, with the losses of the cells in their order.

    Raises:
        UserError: data that the method can't use, or a fault in a user's own file, naming its line.
    """
    loaded = pack[0].cell.setting.definition
    method = cast("Method[Any]", loaded.instance)
    options = [loaded.options({**dict(inputs.cell.setting.own), **chosen}) for inputs in pack]
    support = replace(support_of(parts, pack, data), report=report)
    declared = naming_undeclared(loaded.path, support, pack[0].cell.setting.reads)
    with naming_its_line(loaded.path, loaded.fit_line), declared:
        alone = None if loaded.path is None else fitted_alone(method, support, options)
        begun = time.perf_counter()
        with nullcontext() if loaded.path is None else held_to_its_rules(method, support):
            fitted = method.fit(support, options)
        if support.labels.is_cuda:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - begun) / len(pack)
        with torch.no_grad():
            check_fitted(fitted, support)
            if alone is not None:
                check_pack(method, support, options, fitted, alone)
        failures = _failures(fitted, len(pack))
        vals, tests = _judged(parts, pack[0], fitted.classifier, support, tested)
    return [
        FeatureFit(
            classifier=fitted.classifier.of_cell(r).on("cpu"),
            chosen=fitted.chosen[r] if fitted.chosen else {},
            losses=tuple(fitted.losses[r]) if fitted.losses else (),
            seconds=seconds,
            failure=failure,
            val=vals[r] if failure is None else None,
            tests={name: rows[r] for name, rows in tests.items()} if failure is None else {},
        )
        for r, failure in enumerate(failures)
    ]


def support_of(parts: FrozenParts, pack: Sequence[CellInputs], data: Sequence[CellData] | None = None) -> Support:
    """What the cells' method is given of their images and classes; `data` as in `fit_cells`."""
    first, setting = pack[0], pack[0].cell.setting
    data = [inputs.data for inputs in pack] if data is None else data
    device = parts.device_of(first)
    pool, samples = pool_of([one.train for one in data])
    stored = parts.views(setting, first.source, pool, parts.train_views(first))
    views = [Images.of(features, device) for features in stored]
    rows = samples.to(device)
    text = parts.class_text(first, "train") if setting.reads.descriptions else None
    return Support(
        images=_gathered(views, rows),
        labels=torch.tensor([item.label for item in pool], device=device)[rows],
        raw_text=parts.raw_text(first, "train").to(device, copy=True),  # a method may write to what it is given
        scale=parts.scale_of(first),
        seeds=[inputs.cell.seed for inputs in pack],
        val=_validation(parts, first, data, device),
        projection=_copied(parts.towers_of(setting).backbone.projection) if setting.reads.hidden else None,
        descriptions=None if text is None else _copied(text.descriptions),
        description_mask=None if text is None else _copied(text.description_mask),
    )


def _copied(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()


def pool_of(samples: Sequence[tuple[Item, ...]]) -> tuple[tuple[Item, ...], Tensor]:
    """The distinct images of several equally large samples, and each sample as rows into them (R, n)."""
    places: dict[Item, int] = {}
    rows = [[places.setdefault(item, len(places)) for item in sample] for sample in samples]
    return tuple(places), torch.tensor(rows, dtype=torch.int64)


def _validation(
    parts: FrozenParts, first: CellInputs, data: Sequence[CellData], device: torch.device
) -> Labelled | None:
    pool, samples = pool_of([one.val for one in data])
    if not pool:
        return None
    rows = samples.to(device)
    images = Images.of(parts.features(first.cell.setting, first.source, pool), device)
    labels = torch.tensor([item.label for item in pool], device=device)
    return Labelled(images.at(rows), labels[rows])


def _gathered(views: Sequence[Images], rows: Tensor) -> Images:
    """Views of a pool (P, ...) at the rows (R, N) of each cell: (R, V, N, ...)."""
    each = [view.at(rows) for view in views]

    def stacked(tensors: list[Tensor | None]) -> Tensor | None:
        there = [tensor for tensor in tensors if tensor is not None]
        return torch.stack(there, dim=1) if there else None

    directions = torch.stack([one.directions for one in each], dim=1)
    return Images(directions, stacked([one.norms for one in each]), stacked([one.hidden for one in each]))


def _failures(fitted: Fitted, n_cells: int) -> list[str | None]:
    """Why each cell failed: as the method says, or because it left what is not finite."""
    said = list(fitted.failures) or [None] * n_cells
    tensors = [tensor for tensor in fitted.classifier.tensors().values() if tensor.is_floating_point()]
    sound = [all(bool(tensor[r].isfinite().all()) for tensor in tensors) for r in range(n_cells)]
    return [why or (None if fine else NOT_FINITE) for why, fine in zip(said, sound, strict=True)]


@torch.no_grad()
def _judged(
    parts: FrozenParts,
    inputs: CellInputs,
    classifier: Classifier,
    support: Support,
    tested: bool,
) -> tuple[list[Evaluation | None], dict[str, list[Evaluation]]]:
    """Per cell, how it does on its validation images; by test set, how each cell does there."""
    vals: list[Evaluation | None] = [None] * len(support.labels)
    if (val := support.val) is not None:
        for r, labels in enumerate(val.labels):
            logits = classifier.of_cell(r).logits(val.images.at(r))[0]
            vals[r] = measure(joined([score(logits, labels)]), labels, logits.shape[-1])
    tests: dict[str, list[Evaluation]] = {}
    for name, items in inputs.data.tests.items() if tested else ():
        serving = serving_classes(parts, inputs, classifier, name)
        images = parts.features(inputs.cell.setting, inputs.dataset_of(name), items)
        tests[name] = _classified(serving, images, len(inputs.class_names(name)), len(vals), support.labels.device)
    return vals, tests


def serving_classes(parts: FrozenParts, inputs: CellInputs, classifier: Classifier, name: str) -> Classifier:
    """The classifier of a test set's classes, which may not be those it was fitted to.

    Args:
        inputs: the cell, or one of its pack, whose method fitted the classifier.
        name: of the test set.
    """
    if inputs.class_names(name) == inputs.class_names("train"):
        return classifier
    method = cast("Method[Any]", inputs.cell.setting.definition.instance)
    raw_text = parts.raw_text(inputs, name).to(parts.device_of(inputs))
    return method.for_classes(classifier, raw_text, parts.scale_of(inputs))


def _classified(
    classifier: Classifier, images: ImageFeatures, n_classes: int, n_cells: int, device: torch.device
) -> list[Evaluation]:
    at_once = max(1, min(MAX_IMAGES, MAX_LOGITS // (n_classes * n_cells)))
    chunks = images.chunks(at_once)
    scores = joined([score(classifier.logits(Images.of(chunk, device)), chunk.labels) for chunk in chunks])
    return [measure(Scores(*row), images.labels, n_classes) for row in zip(*scores, strict=True)]
