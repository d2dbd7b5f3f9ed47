"""How far a classifier's confidence is from its accuracy.

Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, section 2: top-label
confidence, equal-width bins open on the left and closed on the right.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15
"""Bins of equal width over (0, 1], as Guo et al. use."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Images by confidence: what a reliability diagram shows. Tensors are (BINS,); lower confidences come first."""

    counts: Tensor
    """Images, int64."""
    confidence: Tensor
    """Mean confidence, 0..1; NaN in an empty bin."""
    accuracy: Tensor
    """Share classified correctly, 0..1; NaN in an empty bin."""

    @property
    def expected_calibration_error(self) -> float:
        """Mean over images of |accuracy - confidence| of their bin, in percent."""
        gaps = (self.accuracy - self.confidence).abs().nan_to_num()
        return 100 * (gaps * self.counts).sum().item() / int(self.counts.sum())

    @property
    def mean_confidence(self) -> float:
        """Over images, 0..1."""
        return (self.confidence.nan_to_num() * self.counts).sum().item() / int(self.counts.sum())


def reliability(confidences: Tensor, correct: Tensor) -> Reliability:
    """Sort images into bins.

    Args:
        confidences: softmax probability of the predicted class (n,), 0..1, at least one.
        correct: whether that class is the true one (n,), bool.
    """
    confidences = confidences.double()
    bins = (confidences * BINS).ceil().long().clamp(1, BINS) - 1
    counts = torch.bincount(bins, minlength=BINS)
    return Reliability(
        counts=counts,
        confidence=torch.bincount(bins, weights=confidences, minlength=BINS) / counts,
        accuracy=torch.bincount(bins, weights=correct.double(), minlength=BINS) / counts,
    )
