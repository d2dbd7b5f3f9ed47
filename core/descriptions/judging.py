"""What a frozen CLIP makes of a bank: how varied its features are, and what it gains over the hand-written template.

Shapes: C classes, K descriptions per class, D joint width, n images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.descriptions.bank import Sentences
from dualpt.core.descriptions.reading import encode_bank, encode_template
from dualpt.core.training.alignment import mean_feature
from dualpt.core.training.evaluate import zero_shot


@dataclass(frozen=True)
class FeatureQuality:
    """Cosines of text features; nearer to 1 is more alike."""

    within: float | None
    """Mean over pairs of sentences of a class, then over classes with at least two; None where there are none."""
    between: float | None
    """Mean over pairs of classes, of their mean features; None for a single class."""


@dataclass(frozen=True)
class Gain:
    """Zero-shot accuracies in percent, and their difference in points."""

    images: int
    template: float
    descriptions: float
    gain: float
    standard_error: float
    """Of the gain, paired by image."""


def feature_quality(tower: TextTower, sentences: Sentences, class_names: Sequence[str]) -> FeatureQuality:
    """Cosines of a bank whose sentences all fit the tower; classes without sentences are left out."""
    described = [label for label, texts in enumerate(sentences) if texts]
    features, mask = encode_bank(
        tower, tuple(sentences[label] for label in described), [class_names[label] for label in described]
    )
    counts = mask.sum(1).float()
    several = counts > 1
    # The squared norm of a sum of unit vectors is their number plus all their pairwise cosines, each twice.
    within = (features.sum(1).square().sum(-1) - counts) / (counts * (counts - 1)).clamp_min(1)
    means, n = mean_feature(features, mask), len(described)
    between = (means.sum(0).square().sum() - n) / (n * (n - 1)) if n > 1 else None
    return FeatureQuality(
        within=within[several].mean().item() if several.any() else None,
        between=None if between is None else between.item(),
    )


def zero_shot_gain(
    tower: TextTower, sentences: Sentences, class_names: Sequence[str], template: str, images: ImageFeatures
) -> Gain:
    """Judge the mean description feature as a classifier against the template's, on the same images.

    Args:
        tower: the frozen text tower.
        sentences: by label, at least one for each class.
        class_names: by label.
        template: hand-written, `{}` being the class name.
        images: validation images.
    """
    features, mask = encode_bank(tower, sentences, class_names)
    by_template = zero_shot(encode_template(tower, template, class_names), images, scale=tower.logit_scale)
    by_bank = zero_shot(mean_feature(features, mask), images, scale=tower.logit_scale)
    labels = images.labels.cpu()
    difference = _hits(by_bank.predictions, labels) - _hits(by_template.predictions, labels)
    n = len(labels)
    return Gain(
        images=n,
        template=by_template.accuracy,
        descriptions=by_bank.accuracy,
        gain=by_bank.accuracy - by_template.accuracy,
        standard_error=100 * (difference.std(unbiased=True) / n**0.5).item() if n > 1 else float("nan"),
    )


def _hits(predictions: Tensor, labels: Tensor) -> Tensor:
    return (predictions == labels).to(torch.float64)
