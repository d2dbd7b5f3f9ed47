"""Least-squares probe: ridge regression from raw image features to class indicators in {-1, +1}.

    min over W, b:  |X Wᵀ + 100 b 1ᵀ - Y|² + l2 (|W|² + |b|²)

X (n, D) are the features, each column less its mean and over its standard deviation plus 1e-5; Y (n, C) is +1 at the
class and -1 elsewhere. The published code appends a column of 100 to X, so the bias is hardly penalised. X is centred,
so that column is orthogonal to the others and the two parts are solved apart:

    100 b = 1e4 sum_i y_i / (1e4 n + l2),   W = Yᵀ X (XᵀX + l2 I)⁻¹

One eigendecomposition, of XᵀX or of X Xᵀ, whichever is smaller, serves every l2. In double precision.

Its logits are regression scores near [-1, 1]: they rank classes, but their softmax is far from certain of any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from dualpt.core.methods.choosing import check_classes, validation_images
from dualpt.core.methods.interface import Classifier, Fitted, Images, Labelled, Method, MethodOptions, Needs, Support

BIAS_CONSTANT = 100.0
LEAST_DEVIATION = 1e-5
L2_CHOICES = tuple(2.0**power for power in range(-10, 20))
"""What l2 is chosen from, around the published 2¹⁰."""


class LeastSquaresOptions(MethodOptions):
    l2: float | None = Field(1024.0, gt=0, le=1e12)
    """Ridge penalty; None chooses a power of two on validation images (ties go to the largest)."""
    views: int = Field(0, ge=0, le=1000)
    """Random crops per training image, all regressed on; 0 takes the plain centre crop."""
    min_crop_area: float = Field(0.08, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


@dataclass(frozen=True)
class RawLinearClassifier(Classifier):
    """Raw features times weights, plus a bias."""

    weights: Tensor
    """(R, C, D)"""
    bias: Tensor
    """(R, C)"""

    def logits(self, images: Images) -> Tensor:
        raw = images.raw.expand(len(self.weights), -1, -1)
        return torch.baddbmm(self.bias[:, None], raw, self.weights.mT)


class LeastSquares(Method[LeastSquaresOptions]):
    name = "least-squares"
    title = "Least-squares probe"
    short_title = "LSQ"
    group = "training-free"
    source = "google-research/big_vision@0127fb6: evaluators/fewshot_lsr.py, configs/common_fewshot.py"
    options = LeastSquaresOptions
    packable = frozenset({"l2"})

    def needs(self, options: LeastSquaresOptions) -> Needs:
        views, min_crop_area = options.views, options.min_crop_area
        return Needs(views=views, min_crop_area=min_crop_area, validation=options.l2 is None, norms=True, text=False)

    def fit(self, support: Support, options: Sequence[LeastSquaresOptions]) -> Fitted:
        check_classes(support, self.name)
        given = [one.l2 for one in options if one.l2 is not None]
        if len(given) == len(options):
            return Fitted(_ridge(support).classifier(given))
        val = validation_images(support, [f"{self.name}.l2"], "1024 in big_vision")
        ridge = _ridge(support)
        best = _best_l2(ridge, val)
        used = [choice if one.l2 is None else one.l2 for one, choice in zip(options, best, strict=True)]
        chosen = [{"l2": choice} if one.l2 is None else {} for one, choice in zip(options, best, strict=True)]
        return Fitted(ridge.classifier(used), chosen=chosen)


class Ridge:
    """R cells' regressions, decomposed: weights at l2 are left @ (right / (eigenvalues + l2))."""

    def __init__(self, features: Tensor, labels: Tensor, n_classes: int) -> None:
        """Of raw features (R, n, D) and labels (R, n)."""
        x = features.double()
        self._mean = x.mean(dim=1, keepdim=True)
        self._deviation = x.std(dim=1, correction=0, keepdim=True) + LEAST_DEVIATION
        x = (x - self._mean) / self._deviation
        y = 2 * torch.nn.functional.one_hot(labels, n_classes).double() - 1
        self._n, self._sums = x.shape[1], y.sum(dim=1)
        if x.shape[1] >= x.shape[2]:
            self._eigenvalues, vectors = torch.linalg.eigh(x.mT @ x)
            self._left, self._right = vectors, vectors.mT @ (x.mT @ y)
        else:
            self._eigenvalues, vectors = torch.linalg.eigh(x @ x.mT)
            self._left, self._right = x.mT @ vectors, vectors.mT @ y

    def classifier(self, l2: Sequence[float]) -> RawLinearClassifier:
        """At one l2 for each cell, of raw features, in single precision."""
        ridge = self._sums.new_tensor(l2)[:, None]
        weights = self._left @ (self._right / (self._eigenvalues + ridge)[..., None]) / self._deviation.mT
        bias = BIAS_CONSTANT**2 * self._sums / (BIAS_CONSTANT**2 * self._n + ridge) - (self._mean @ weights)[:, 0]
        return RawLinearClassifier(weights.mT.float().contiguous(), bias.float())


def _ridge(support: Support) -> Ridge:
    raw, labels = support.images.raw.flatten(1, 2), support.row_labels
    return Ridge(raw, labels, n_classes=len(support.raw_text))


def _best_l2(ridge: Ridge, val: Labelled) -> list[float]:
    """Per cell, the choice that classifies most validation images correctly; ties go to the largest."""
    raw, cells = val.images.raw, len(val.labels)
    correct = []
    for l2 in reversed(L2_CHOICES):
        classifier = ridge.classifier([l2] * cells)
        logits = torch.baddbmm(classifier.bias[:, None], raw, classifier.weights.mT)
        correct.append((logits.argmax(dim=-1) == val.labels).sum(dim=1))
    best = torch.stack(correct).argmax(dim=0)
    return [L2_CHOICES[::-1][index] for index in best.tolist()]
