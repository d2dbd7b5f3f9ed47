"""Classify images with learned prompts or with a fixed classifier, and measure: accuracy, calibration, likelihood.

Shapes: R replicas, n images, B images in a chunk, C classes, N prompts per class, P patches, D joint width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures, LoadedFeatures
from dualpt.core.training.alignment import LocalScorer, mean_feature
from dualpt.core.training.calibration import reliability
from dualpt.core.training.objective import class_logits, patch_similarity
from dualpt.core.training.transport import plan_entropy

MAX_IMAGES = 4096
"""Images scored at once, at most."""
MAX_SIMILARITIES = 2**23
"""Patch similarities held at once, at most (32 MiB in float32, of which transport holds several copies); bounds
memory, not results."""


@dataclass(frozen=True)
class Evaluation:
    """How one classifier did on one set of images."""

    accuracy: float
    """Percent of images classified correctly."""
    per_class: tuple[float, ...]
    """Percent for each class; NaN where it has no image."""
    count: int
    """Images."""
    predictions: Tensor
    """(n,) int64 on the CPU."""
    expected_calibration_error: float
    """Percent, as `calibration.Reliability` defines it."""
    negative_log_likelihood: float
    """Mean over images of -log softmax probability of the true class, in nats."""
    plan_entropy: float | None = None
    """Mean relative entropy of the local transport plans (0..1), where local logits of form `ot` were used."""

    @property
    def balanced_accuracy(self) -> float:
        """Percent; the mean of `per_class` over the classes that have images."""
        return fmean(value for value in self.per_class if not math.isnan(value))

    @property
    def beside_accuracy(self) -> dict[str, float]:
        """The other measures by their names in `core.results.MEASURES`."""
        return {
            "balanced_accuracy": self.balanced_accuracy,
            "ece": self.expected_calibration_error,
            "nll": self.negative_log_likelihood,
        }


class Scores(NamedTuple):
    """What logits say of images: all that is kept of them. Leading dimensions as the logits'."""

    predictions: Tensor
    """(..., B) int64; the first of equally high classes."""
    confidences: Tensor
    """(..., B) softmax probability of the predicted class, 0..1."""
    losses: Tensor
    """(..., B) -log softmax probability of the true class, in nats."""


def score(logits: Tensor, labels: Tensor) -> Scores:
    """Read logits (..., B, C) of images with labels (B,) by softmax."""
    logits = logits.float()
    normaliser = logits.logsumexp(-1)
    top, predictions = logits.max(-1)
    true = logits.gather(-1, labels.to(logits.device).expand(logits.shape[:-1])[..., None])[..., 0]
    return Scores(predictions, (top - normaliser).exp(), normaliser - true)


def joined(chunks: Sequence[Scores]) -> Scores:
    """The scores of consecutive images as one, on the CPU."""
    return Scores(*(torch.cat(parts, dim=-1).cpu() for parts in zip(*chunks, strict=True)))


def measure(scores: Scores, labels: Tensor, n_classes: int, entropy: float | None = None) -> Evaluation:
    """The evaluation of one classifier from its scores (n,), on the CPU, and labels (n,)."""
    labels = labels.cpu()
    correct = scores.predictions == labels
    totals = torch.bincount(labels, minlength=n_classes)
    hits = torch.bincount(labels[correct], minlength=n_classes)
    return Evaluation(
        accuracy=100 * correct.double().mean().item(),
        per_class=tuple((100 * hits.double() / totals).tolist()),
        count=len(labels),
        predictions=scores.predictions,
        expected_calibration_error=reliability(scores.confidences, correct).expected_calibration_error,
        negative_log_likelihood=scores.losses.double().mean().item(),
        plan_entropy=entropy,
    )


@torch.no_grad()
def evaluate(
    images: ImageFeatures,
    prompts: Tensor,
    *,
    scale: float,
    global_weight: Tensor,
    local_weight: Tensor,
    local_scorer: LocalScorer,
    description_weight: Tensor,
    mean_descriptions: Tensor | None,
) -> list[Evaluation]:
    """Classify by global_weight * global + local_weight * local + description_weight * description logits.

    Args:
        images: n images, the same for every replica; read chunk by chunk.
        prompts: Prompt features (R, C, N, D).
        scale: CLIP's logit scale.
        global_weight: (R,)
        local_weight, description_weight: (R,); a term whose weights are all zero is not computed.
        local_scorer: How patch similarities become one score per class.
        mean_descriptions: Normalised (C, D); None where every `description_weight` is zero.

    Returns:
        One evaluation per replica.
    """
    classes = class_weights(prompts, global_weight, description_weight, mean_descriptions)
    uses_local = bool((local_weight > 0).any())
    scores, entropies = [], []
    for chunk in images.chunks(_chunk_size(images, prompts, uses_local)):
        logits, weights = prompted_logits(
            chunk, prompts, classes, scale=scale, local_weight=local_weight, local_scorer=local_scorer
        )
        if weights is not None and local_scorer.transports:
            entropies.append(plan_entropy(weights / prompts.shape[2]).mean(-1).sum(-1))
        scores.append(score(logits, chunk.labels))
    entropy = (torch.stack(entropies).sum(0) / len(images)).tolist() if entropies else None
    return [
        measure(Scores(*row), images.labels, prompts.shape[1], entropy[r] if entropy and local_weight[r] > 0 else None)
        for r, row in enumerate(zip(*joined(scores), strict=True))
    ]


def class_weights(
    prompts: Tensor, global_weight: Tensor, description_weight: Tensor, mean_descriptions: Tensor | None
) -> Tensor:
    """What image features are compared with (R, C, D): both terms are linear in f, and one classifier holds both.

    Arguments as in `evaluate`.
    """
    classes = global_weight[:, None, None] * mean_feature(prompts)
    if mean_descriptions is None:
        return classes
    return classes + description_weight[:, None, None] * mean_descriptions


def prompted_logits(
    images: LoadedFeatures,
    prompts: Tensor,
    classes: Tensor,
    *,
    scale: float,
    local_weight: Tensor,
    local_scorer: LocalScorer,
) -> tuple[Tensor, Tensor | None]:
    """Logits of images that fit into memory together.

    Args:
        prompts: (R, C, N, D)
        classes: `class_weights` of the prompts (R, C, D).
        Others as in `evaluate`.

    Returns:
        Logits (R, B, C), and the weights of patches in them (R, B, C, N, P), None where no `local_weight` is positive.
    """
    logits = class_logits(_on(prompts, images.global_features)[None], classes, scale)
    if not bool((local_weight > 0).any()):
        return logits, None
    assert images.local_features is not None, "local_weight > 0 needs local image features"
    local = local_scorer(patch_similarity(_on(prompts, images.local_features[:])[None], prompts))
    return logits + scale * local_weight[:, None, None] * local.score, local.weights


def zero_shot(classifier: Tensor, images: ImageFeatures, *, scale: float) -> Evaluation:
    """Classify by the nearest of the class features (C, D): a template's, or `mean_feature` of descriptions.

    Args:
        scale: CLIP's logit scale, which makes cosines logits.
    """
    scores = [
        score(scale * (_on(classifier, chunk.global_features) @ classifier.T), chunk.labels)
        for chunk in images.chunks(MAX_IMAGES)
    ]
    return measure(joined(scores), images.labels, len(classifier))


def _chunk_size(images: ImageFeatures, prompts: Tensor, uses_local: bool) -> int:
    if not uses_local or images.local_features is None:
        return MAX_IMAGES
    per_image = prompts[..., 0].numel() * images.local_features.shape[1]
    return max(1, min(MAX_IMAGES, MAX_SIMILARITIES // per_image))


def _on(like: Tensor, features: Tensor) -> Tensor:
    """Stored features, which may be half precision and in a mapped file, in the format and on the device of `like`."""
    return features.to(like.device, like.dtype)
