"""What is found inside one cell: computed by `core.learned.inspection` on the cell's own test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.arrays import TestSet
from dualpt.core.cell import Cell
from dualpt.core.clip.backbone import Backbone
from dualpt.core.data.checking.image_faults import decode_faithfully
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.learned.fitted import LearnedClassifier
from dualpt.core.learned.inspection.by_class import Agreement, ClassAccuracy, agreement, class_accuracies
from dualpt.core.learned.inspection.confusion import Confusion, Judgement
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.methods.interface import Images
from dualpt.core.running.feature_fits import serving_classes
from dualpt.core.running.frozen_parts import Count, FrozenParts
from dualpt.core.training.calibration import Reliability
from dualpt.core.training.evaluate import MAX_IMAGES
from dualpt.sweeps.inspecting.prompt_measurements import InsidePrompts, Look

PAIRS = 6
"""Confused pairs shown for each test set."""
PAIR_IMAGES = 4
"""Images shown of each pair."""


@dataclass(frozen=True, eq=False)
class SetMeasurements:
    """Of one test set."""

    name: str
    class_names: tuple[str, ...]
    accuracy: float
    """In percent."""
    n_images: int
    reliability: Reliability
    negative_log_likelihood: float
    """Mean over images, in nats."""
    confusions: list[Confusion]
    by_class: list[ClassAccuracy]
    """Beside the zero-shot classifier."""
    beside_zero_shot: Agreement | None
    """None where no text features are at hand."""
    images: dict[int, Tensor]
    """Pixels (height, width, 3), 0..1, of the images that confusions show, by their place in the test set."""
    looks: list[Look]
    """Empty where no prompts were learned."""


@dataclass(frozen=True, eq=False)
class Measurements:
    cell: Cell
    prompts: InsidePrompts | None
    """None where no prompts were learned."""
    tests: list[SetMeasurements]
    left_out: str
    """What can't be shown of this cell, and why; empty where everything is."""


def look_inside(
    learned: LearnedPrompts | LearnedClassifier, parts: FrozenParts, images: int, progress: Count | None = None
) -> Measurements:
    """Examine what a cell learned on its test images.

    Args:
        parts: whose feature store holds (or gets) the test images' features.
        images: of learned prompts, how many images of each test set to look at closely, right and wrong ones by turns.

    Raises:
        UserError: the dataset is not on this machine, or the weights are others.
    """
    cell = learned.cell
    parts.prepare_data([cell], progress)
    parts.check([cell])
    inputs = CellInputs(cell)
    prompts = None
    if isinstance(learned, LearnedPrompts):
        parts.prepare([cell], progress)
        prompts = InsidePrompts.of(learned)
    tests = []
    for name, test in parts.test_sets(inputs).items():
        if prompts is not None:
            logits = prompts.classifier.logits(test.images)[:, inputs.data.classes[name]]
        else:
            assert isinstance(learned, LearnedClassifier)
            logits = _logits(parts, inputs, learned, name, test)
        judged = Judgement(logits.float().cpu(), test.images.labels.cpu())
        zero_shot = _zero_shot(parts, inputs, name, test)
        tests.append(_measure_set(parts, inputs, name, judged, zero_shot, prompts, images))
    return Measurements(cell, prompts, tests, _left_out(inputs))


def _left_out(inputs: CellInputs) -> str:
    missing = []
    if not inputs.cell.setting.learns_prompts:
        missing.append(
            f"{inputs.cell.setting.method_name} learns no prompts, so there are no nearest words, no similarity to "
            "descriptions and no maps of where prompts look"
        )
    if inputs.source.is_imported:
        missing.append("the features were imported without their images, so none are shown")
    return "; ".join(missing)


def _logits(parts: FrozenParts, inputs: CellInputs, learned: LearnedClassifier, name: str, test: TestSet) -> Tensor:
    """(n, C) of a test set's images, as the cell was judged by."""
    device = parts.device_of(inputs)
    serving = serving_classes(parts, inputs, learned.classifier.on(device), name)
    with torch.no_grad():
        chunks = test.images.chunks(MAX_IMAGES)
        return torch.cat([serving.logits(Images.of(chunk, device))[0] for chunk in chunks])


def _zero_shot(parts: FrozenParts, inputs: CellInputs, name: str, test: TestSet) -> Judgement | None:
    """The zero-shot classifier's judgement of the same images; None where there are no text features."""
    text = F.normalize(parts.raw_text(inputs, name).float().cpu(), dim=-1)
    if not text.shape[1]:
        return None
    chunks = test.images.chunks(MAX_IMAGES)
    cosines = torch.cat([chunk.global_features.float().cpu() @ text.T for chunk in chunks])
    return Judgement(parts.scale_of(inputs) * cosines, test.images.labels.cpu())


def _measure_set(
    parts: FrozenParts,
    inputs: CellInputs,
    name: str,
    judged: Judgement,
    zero_shot: Judgement | None,
    prompts: InsidePrompts | None,
    images: int,
) -> SetMeasurements:
    confusions, names = judged.confusions(PAIRS), inputs.class_names(name)
    dataset, looks = inputs.dataset_of(name), []
    shown: Mapping[int, Tensor] = {}
    if not dataset.is_imported:
        files = [dataset.image_root / item.path for item in inputs.data.tests[name]]
        pixels = _reader(parts.towers_of(inputs.cell.setting).backbone)
        shown = {i: pixels(files[i]) for pair in confusions for i in pair.images[:PAIR_IMAGES]}
        if prompts is not None:
            classes = inputs.data.classes[name]
            pairs = torch.stack([judged.labels, judged.predictions], dim=1) + classes.start
            chosen = _looked_at(judged, confusions, images)
            looks = [prompts.look(files[i], pixels(files[i]), pairs[i].tolist()) for i in chosen]
    return SetMeasurements(
        name=name,
        class_names=names,
        accuracy=judged.accuracy,
        n_images=len(judged.labels),
        reliability=judged.reliability,
        negative_log_likelihood=judged.scores.losses.double().mean().item(),
        confusions=confusions,
        by_class=class_accuracies(judged, zero_shot, names),
        beside_zero_shot=None if zero_shot is None else agreement(judged, zero_shot),
        images=dict(shown),
        looks=looks,
    )


def _looked_at(judged: Judgement, confusions: Sequence[Confusion], images: int) -> list[int]:
    """Places of images to look at closely: the surest right ones and the surest mistakes by turns."""
    wrong = [image for pair in confusions for image in pair.images[:1]]
    right = judged.surest(images)
    chosen = [image for both in zip(right, wrong, strict=False) for image in both]
    return (chosen + right[len(wrong) :] + wrong[len(right) :])[:images]


def _reader(backbone: Backbone) -> Callable[[Path], Tensor]:
    """Reads a file as the tower sees it: resized and cropped, (height, width, 3), 0..1."""
    preprocess = backbone.preprocess
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))

    def read(file: Path) -> Tensor:
        return (preprocess.plain(decode_faithfully(file)) * std + mean).clamp(0, 1).permute(1, 2, 0)

    return read
