"""What is found inside one cell's prompts: computed by `core.learned.inspection` on the cell's own test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.data.checking.image_faults import decode_faithfully
from dualpt.core.descriptions.reading import encode_bank
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs, sentences_of
from dualpt.core.learned.classifier import PromptClassifier
from dualpt.core.learned.inspection.confusion import Confusion, Judgement
from dualpt.core.learned.inspection.patches import PatchMaps, patch_grid, patch_maps
from dualpt.core.learned.inspection.similarity import DescriptionSimilarity, description_similarity
from dualpt.core.learned.inspection.vocabulary import NearestWords, nearest_words
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.running.cell_runner import CellRunner
from dualpt.core.running.frozen_parts import Count
from dualpt.core.training.calibration import Reliability

NEAREST = 3
"""Vocabulary words shown for each context token."""
PAIRS = 6
"""Confused pairs shown for each test set."""
PAIR_IMAGES = 4
"""Images shown of each pair."""


@dataclass(frozen=True, eq=False)
class Look:
    """One test image, and where the prompts of its own and of the predicted class look."""

    pixels: Tensor
    """(height, width, 3), 0..1: the image as the tower sees it, resized and cropped."""
    maps: tuple[tuple[str, PatchMaps], ...]
    """Class name and maps: of the true class, then, where it is another, of the predicted one."""


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
    images: dict[int, Tensor]
    """Pixels of the images that confusions show, by their place in the test set."""
    looks: list[Look]


@dataclass(frozen=True, eq=False)
class Measurements:
    prompts: LearnedPrompts
    words: NearestWords
    descriptions: DescriptionSimilarity | None
    """None where no bank describes the classes; `no_descriptions` says why."""
    no_descriptions: str
    tests: list[SetMeasurements]


def look_inside(
    prompts: LearnedPrompts, runner: CellRunner, images: int, progress: Count | None = None
) -> Measurements:
    """Examine learned prompts on the test images of their cell.

    Args:
        runner: whose feature store holds (or gets) the test images' features.
        images: how many images of each test set to look at closely, right and wrong ones by turns.

    Raises:
        UserError: the dataset is not on this machine, or the weights are others.
    """
    cell = prompts.cell
    runner.prepare_data([cell], progress)
    runner.check([cell])
    runner.prepare([cell], progress)
    classifier = PromptClassifier(prompts)
    descriptions, reason = _descriptions(prompts, classifier)
    inputs = CellInputs(cell)
    tests = []
    for name, test in runner.test_sets(inputs).items():
        classes = inputs.data.classes[name]
        judged = Judgement(classifier.logits(test.images)[:, classes].cpu(), test.images.labels.cpu())
        image_root = inputs.dataset_of(name).image_root
        files = [image_root / item.path for item in inputs.data.tests[name]]
        tests.append(_measure_set(name, classes, judged, files, classifier, images))
    words = nearest_words(classifier.backbone, _shared_contexts(prompts), NEAREST)
    return Measurements(
        prompts=prompts,
        words=words,
        descriptions=descriptions,
        no_descriptions=reason,
        tests=tests,
    )


def _shared_contexts(prompts: LearnedPrompts) -> Tensor:
    """(N, L, W): shared contexts, or, where they are class-specific, those of the first class."""
    return prompts.contexts[0] if prompts.cell.setting.prompt.class_specific else prompts.contexts


def _descriptions(prompts: LearnedPrompts, classifier: PromptClassifier) -> tuple[DescriptionSimilarity | None, str]:
    """Similarities with the descriptions, or the reason why there are none."""
    try:
        sentences = sentences_of(prompts.cell.setting, prompts.cell.dataset)
    except UserError as error:
        return None, str(error)
    features, mask = encode_bank(classifier.tower, sentences, prompts.class_names)
    return description_similarity(classifier.prompt_features, features, mask, sentences), ""


def _measure_set(
    name: str, classes: slice, judged: Judgement, files: Sequence[Path], classifier: PromptClassifier, images: int
) -> SetMeasurements:
    confusions = judged.confusions(PAIRS)
    wrong = [image for pair in confusions for image in pair.images[:1]]
    right = judged.surest(images)
    chosen = [image for both in zip(right, wrong, strict=False) for image in both]
    chosen += right[len(wrong) :] + wrong[len(right) :]
    pairs = torch.stack([judged.labels, judged.predictions], dim=1) + classes.start
    return SetMeasurements(
        name=name,
        class_names=classifier.class_names[classes],
        accuracy=judged.accuracy,
        n_images=len(files),
        reliability=judged.reliability,
        negative_log_likelihood=judged.scores.losses.double().mean().item(),
        confusions=confusions,
        images={i: _pixels(files[i], classifier) for pair in confusions for i in pair.images[:PAIR_IMAGES]},
        looks=[_look(files[i], pairs[i].tolist(), classifier) for i in chosen[:images]],
    )


def _look(file: Path, labels: Sequence[int], classifier: PromptClassifier) -> Look:
    """Maps of one image, for the classes of the given labels."""
    encoded = classifier.encode(_tensor(file, classifier)[None], local=True).local_features
    assert encoded is not None
    (patches,) = encoded[:1]  # stored rows are sliced, not indexed
    grid = patch_grid(classifier.backbone)
    maps = {
        label: patch_maps(patches, classifier.prompt_features[label], classifier.local_scorer, grid)
        for label in dict.fromkeys(labels)
    }
    return Look(_pixels(file, classifier), tuple((classifier.class_names[label], own) for label, own in maps.items()))


def _tensor(file: Path, classifier: PromptClassifier) -> Tensor:
    return classifier.backbone.preprocess.plain(decode_faithfully(file))


def _pixels(file: Path, classifier: PromptClassifier) -> Tensor:
    preprocess = classifier.backbone.preprocess
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
    return (_tensor(file, classifier) * std + mean).clamp(0, 1).permute(1, 2, 0)
