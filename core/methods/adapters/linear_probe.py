"""Linear probe: multinomial logistic regression on normalised image features.

    min over W, b:  mean cross-entropy of f Wᵀ + b  +  |W|² / (2 C n)

n images, W (classes, D), and C the inverse strength of the penalty, which leaves b alone: scikit-learn's
`LogisticRegression`, minimised the same way: L-BFGS from zero until no entry of the gradient exceeds 1e-4, at most 1000
iterations. Beyond C = 100 that rule stops well before the minimum, so SciPy's line search ends elsewhere: on real
features up to 0.6 points apart at one C. With many classes that rule can stop before the first step, at weights of 0;
there the gradient is brought down to a tenth of its first value instead. Class names are not read.

Its authors choose C on validation images: the best of seven values from 1e6 to 1e-6 (ties go to the largest), then of
the interval from a tenth to ten times that value, eight times the half in log C whose end does better (ties go left).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from pydantic import Field
from torch import Tensor

from dualpt.core.methods.choosing import check_classes, validation_images
from dualpt.core.methods.interface import Fitted, Labelled, LinearClassifier, Method, MethodOptions, Needs, Support
from dualpt.core.methods.lbfgs import minimise
from dualpt.core.methods.memory_lines import filled, sums, whole
from dualpt.core.training.progress import Progress, Report

INVERSE_PENALTIES = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)
HALVINGS = 8
FITS = len(INVERSE_PENALTIES) + 2 + HALVINGS - 1
"""Of each cell, where C is chosen."""
TOLERANCE, MOST_ITERATIONS = 1e-4, 1000
CACHED = 2**19
"""Feature values of the cells that a CPU fits together; with more it waits for memory."""


class LinearProbeOptions(MethodOptions):
    inverse_penalty: float | None = Field(None, gt=0, le=1e9)
    """C, the inverse of the L2 penalty; None chooses it on validation images."""
    views: int = Field(1, ge=0, le=1000)
    """Random crops per training image, all trained on; 0 takes the plain centre crop."""
    min_crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


class LinearProbe(Method[LinearProbeOptions]):
    name = "linear-probe"
    title = "Linear probe"
    short_title = "LP"
    group = "adapter"
    source = "FereshteShakeri/FewShot-CLIP-Strong-Baseline@f81054f: methods/linear_probe.py"
    revision = 2
    options = LinearProbeOptions

    def needs(self, options: LinearProbeOptions) -> Needs:
        validation = options.inverse_penalty is None
        return Needs(options.views, options.min_crop_area, validation, text=False)

    def fit(self, support: Support, options: Sequence[LinearProbeOptions]) -> Fitted:
        check_classes(support, self.name)
        pool, labels = support.rows, support.row_labels
        regression = LogisticRegression(pool, labels, n_classes=len(support.raw_text))
        finite = pool.isfinite().all(dim=2).all(dim=1).tolist()
        failures = [None if one else "a training feature is not finite" for one in finite]
        given = options[0].inverse_penalty
        if given is not None:
            return Fitted(regression.fit([given] * len(options)), failures=failures)
        val = validation_images(support, [f"{self.name}.inverse_penalty"], "0.316 in CLIP's own example")
        found = _search(regression, val, support.report)
        chosen = [{"inverse_penalty": one} for one in _powers_of_ten(found.log_penalties)]
        return Fitted(found.classifier, chosen=chosen, failures=failures)


@dataclass(frozen=True)
class LogisticRegression:
    """R cells' regressions."""

    features: Tensor
    """(R, n, D)"""
    labels: Tensor
    """(R, n)"""
    n_classes: int
    tolerance: float = TOLERANCE
    iterations: int = MOST_ITERATIONS

    def fit(self, inverse_penalties: Sequence[float]) -> LinearClassifier:
        """Minimise with one C for each cell."""
        cells, n, width = self._lines.shape
        together = cells if self.features.is_cuda else max(1, CACHED // (n * width))
        penalties = self.features.new_tensor(list(inverse_penalties))
        parts = zip(*(all_of.split(together) for all_of in (self._lines, self.labels, penalties)), strict=True)
        found = torch.cat([self._minimum(*part) for part in parts])
        weights, bias = _read(found, width, self.n_classes)
        weights = weights[:, : self.features.shape[2]].mT.contiguous()
        return LinearClassifier(weights=weights, bias=bias[:, 0].contiguous())

    @cached_property
    def _lines(self) -> Tensor:
        """The features in whole lines of memory, both of images and of dimensions."""
        return filled(self.features, 1, 2)

    def _minimum(self, features: Tensor, labels: Tensor, inverse_penalties: Tensor) -> Tensor:
        """(cells, n), as `_read` reads it."""
        start = features.new_zeros(len(features), whole((features.shape[2] + 1) * self.n_classes))
        objective = _Objective(features, labels, inverse_penalties, self.n_classes)
        return minimise(objective, start, tolerance=self.tolerance, iterations=self.iterations)


def _read(unknowns: Tensor, width: int, n_classes: int) -> tuple[Tensor, Tensor]:
    """Weights (P, D, C) and bias (P, 1, C) in unknowns (P, n): rows of weights by dimension, the bias, zeros."""
    end = width * n_classes
    return unknowns[:, :end].view(-1, width, n_classes), unknowns[:, None, end : end + n_classes]


class _Objective:
    """Value and gradient of the regressions with these numbers; features are copied whenever some have dropped out.

    Features come in whole lines of memory; the zeros that fill them up leave values and gradients as they are.
    """

    def __init__(self, features: Tensor, labels: Tensor, inverse_penalties: Tensor, n_classes: int) -> None:
        n = labels.shape[1]
        self._all = features, filled(labels, 1), 1 / (inverse_penalties * n)
        self._now, self._cells, self._n_classes = self._all, len(features), n_classes
        self._shares = filled(features.new_full((1, n), 1 / n), 1)
        """Of each image in a mean: (1, n), 0 for what fills up."""

    def __call__(self, x: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        """Of unknowns (P, n), as `_read` reads them."""
        if len(problems) != self._cells:
            features, labels, decay = self._all
            self._now, self._cells = (features[problems], labels[problems], decay[problems]), len(problems)
        features, labels, decay = self._now
        weights, bias = _read(x, features.shape[2], self._n_classes)
        log_probabilities = torch.baddbmm(bias, features, weights).log_softmax(dim=-1)
        of_truth = log_probabilities.gather(2, labels[..., None])
        value = decay / 2 * sums(weights.square().flatten(1)) - sums(of_truth[..., 0] * self._shares)
        residual = log_probabilities.exp_()
        residual.scatter_add_(2, labels[..., None], torch.full_like(of_truth, -1)).mul_(self._shares[..., None])
        gradient = torch.zeros_like(x)
        of_weights, of_bias = _read(gradient, features.shape[2], self._n_classes)
        of_weights.copy_(torch.bmm(features.mT, residual).add_(weights * decay[:, None, None]))
        of_bias.copy_(residual.sum(dim=1, keepdim=True))
        return value, gradient


@dataclass(frozen=True)
class _Scored:
    """A fit of every cell, at a C of its own."""

    log_penalties: Tensor
    """(R) float64, log10 of C."""
    classifier: LinearClassifier
    correct: Tensor
    """(R), validation images."""

    def where(self, chosen: Tensor, other: "_Scored") -> "_Scored":
        """This fit where `chosen` (R), else the other."""
        mine, theirs = self.classifier, other.classifier
        return _Scored(
            torch.where(chosen, self.log_penalties, other.log_penalties),
            LinearClassifier(
                torch.where(chosen[:, None, None], mine.weights, theirs.weights),
                torch.where(chosen[:, None], mine.bias, theirs.bias),
            ),
            torch.where(chosen, self.correct, other.correct),
        )


def _powers_of_ten(exponents: Tensor) -> list[float]:
    """Each as it is alone: a tensor's are rounded by how many there are."""
    return [10**one for one in exponents.tolist()]


def _search(regression: LogisticRegression, val: Labelled, report: Report | None = None) -> _Scored:
    """The fit at the C that each cell's validation images choose; each fit is reported."""
    images, n_val = filled(val.images.directions, 1, 2), val.labels.shape[1]
    fits, no_losses = itertools.count(1), (math.nan,) * len(val.labels)

    def at(log_penalties: Tensor) -> _Scored:
        classifier = regression.fit(_powers_of_ten(log_penalties))
        logits = torch.baddbmm(classifier.bias[:, None], images, filled(classifier.weights.mT, 1))[:, :n_val]
        if report is not None:
            report(Progress(next(fits), FITS, no_losses, unit="fit"))
        return _Scored(log_penalties, classifier, (logits.argmax(dim=-1) == val.labels).sum(dim=1))

    ones = torch.ones(len(val.labels), dtype=torch.float64, device=val.labels.device)
    best, *others = (at(math.log10(one) * ones) for one in INVERSE_PENALTIES)
    for other in others:
        best = other.where(other.correct > best.correct, best)
    left, right = at(best.log_penalties - 1), at(best.log_penalties + 1)
    for _ in range(HALVINGS - 1):
        middle, rightwards = at((left.log_penalties + right.log_penalties) / 2), left.correct < right.correct
        left, right = middle.where(rightwards, left), right.where(rightwards, middle)
    return right.where(left.correct < right.correct, left)
