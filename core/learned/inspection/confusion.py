"""Which classes a classifier takes for which."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dualpt.core.training.calibration import Reliability, reliability
from dualpt.core.training.evaluate import Scores, score


@dataclass(frozen=True)
class Confusion:
    """Images of one class that were taken for one other."""

    true: int
    """Label."""
    predicted: int
    images: tuple[int, ...]
    """Their places in the test set, the most confidently wrong first."""
    share: float
    """Of the true class's images, 0..1."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """How the images of a test set were classified."""

    logits: Tensor
    """(n, C) on the CPU."""
    labels: Tensor
    """(n,) int64"""

    @property
    def predictions(self) -> Tensor:
        """(n,) int64"""
        return self.logits.argmax(1)

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * (self.predictions == self.labels).double().mean().item()

    @property
    def scores(self) -> Scores:
        """As the cell's own metrics are measured."""
        return score(self.logits, self.labels)

    @property
    def reliability(self) -> Reliability:
        """Images by confidence."""
        scores = self.scores
        return reliability(scores.confidences, scores.predictions == self.labels)

    def confusions(self, count: int) -> list[Confusion]:
        """The `count` directed pairs with most images, then with the largest share of their class."""
        n_classes = self.logits.shape[1]
        totals = torch.bincount(self.labels, minlength=n_classes)
        wrong = (self.predictions != self.labels).nonzero().flatten()
        pairs: dict[tuple[int, int], list[int]] = {}
        for image in wrong.tolist():
            pairs.setdefault((int(self.labels[image]), int(self.predictions[image])), []).append(image)
        margin = self.logits.max(1).values - self.logits.gather(1, self.labels[:, None]).flatten()
        found = [
            Confusion(true, predicted, tuple(sorted(images, key=lambda i: -float(margin[i]))), n / int(totals[true]))
            for (true, predicted), images in pairs.items()
            if (n := len(images))
        ]
        found.sort(key=lambda pair: (-len(pair.images), -pair.share, pair.true, pair.predicted))
        return found[:count]

    def surest(self, count: int) -> list[int]:
        """Correctly classified images, one per class, largest margin first."""
        top = self.logits.topk(min(2, self.logits.shape[1]), dim=1).values
        margin = top[:, 0] - top[:, -1]
        right = (self.predictions == self.labels).nonzero().flatten().tolist()
        by_class: dict[int, int] = {}
        for image in sorted(right, key=lambda i: -float(margin[i])):
            by_class.setdefault(int(self.labels[image]), image)
        return list(by_class.values())[:count]
