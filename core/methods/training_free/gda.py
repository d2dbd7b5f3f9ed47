"""GDA, "a hard-to-beat baseline": Gaussian discriminant analysis with one covariance, added to zero-shot logits.

    logits = s f T^T + alpha (f W + b),   W = mu P,   b = log(1/C) - diag(mu P mu^T) / 2

f (n, D) images and T (C, D) text features, normalised; s is CLIP's scale; mu (C, D) are the class means of the n rows,
all views of all training images; G = X^T X of the rows X less their class mean, and S = G / (n - 1).

- `shrunk`, the authors' few-shot script: P = D pinv(G + tr(S) I), the Kubokawa-Srivastava estimator.
- `class-mean`, their base-to-new script: P = pinv(mean over classes of the covariance of a class).

A new class with text feature w (D,) is estimated from the 64 rows nearest to w and 16 copies of w: mu is the mean of
these 80, and P the mean over new classes of D pinv(G_w + tr(G_w) / 63 I), G_w = X^T X of the 64 rows less w. alpha
stays that of the base classes, so their P must be of the same size, as `class-mean` is; `shrunk` is about n / D times
smaller.

The authors choose alpha on the full validation split, and for ImageNet on the test images; here it is chosen on the
cell's validation images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.config.sections import Protocol
from dualpt.core.errors import UserError
from dualpt.core.methods.choosing import check_every_class, chosen, first_best, hits_by_weight, validation_images
from dualpt.core.methods.interface import (
    Classifier,
    Fitted,
    LinearClassifier,
    Method,
    MethodOptions,
    Needs,
    Support,
)

ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Candidates for alpha."""
Covariance = Literal["shrunk", "class-mean"]

ZERO = "GDA: no class has two different rows, so the covariance is zero; raise the shots or the option views"
NEW_CLASSES = "gda: new classes need gda.covariance=class-mean, as in its authors' base-to-new script"


class GdaOptions(MethodOptions):
    alpha: float | None = Field(None, ge=0, le=10000)
    """Weight of the discriminant; None chooses it on validation images."""
    covariance: Covariance = "shrunk"
    """How the covariance is estimated: `shrunk` as the authors do in few-shot, `class-mean` as in base-to-new."""
    views: int = Field(10, ge=0, le=300)
    """Random crops of each training image, each a row of the estimates; 0 takes the plain crop."""
    min_crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""
    nearest: int = Field(64, ge=2, le=10000)
    """Rows of base classes that a new class is estimated from; read with `covariance: class-mean`."""
    text_copies: int = Field(16, ge=0, le=10000)
    """Copies of a new class's text feature among them; read with `covariance: class-mean`."""


@dataclass(frozen=True)
class GdaClassifier(LinearClassifier):
    """The linear classifier, and what new classes are estimated from."""

    alpha: Tensor
    """(R,)"""
    rows: Tensor
    """(R, n, D), normalised; n is 0 with a `shrunk` covariance, which serves no new classes."""
    nearest: Tensor
    """(R,) int64"""
    text_copies: Tensor
    """(R,) int64"""


class Gda(Method[GdaOptions]):
    name = "gda"
    title = "GDA"
    short_title = "GDA"
    group = "training-free"
    source = "arXiv 2402.04087; mrflogs/ICLR24@560fe21: main_few_shots.py, main_base2new.py"
    protocols = frozenset({"few-shot", "base-to-new"})
    every_class = True
    options = GdaOptions
    by_protocol: ClassVar[Mapping[Protocol, Mapping[str, Any]]] = {"base-to-new": {"covariance": "class-mean"}}

    def check(self, options: GdaOptions, protocol: Protocol) -> None:
        if protocol == "base-to-new" and options.covariance != "class-mean":
            raise UserError(NEW_CLASSES)

    def needs(self, options: GdaOptions) -> Needs:
        return Needs(
            views=options.views,
            min_crop_area=options.min_crop_area,
            validation=options.alpha is None,
            rows=2,
            rows_of_one=options.covariance == "shrunk",
        )

    def fit(self, support: Support, options: Sequence[GdaOptions]) -> Fitted:
        check_every_class(support, self.name)
        settings = options[0]
        rows, labels = support.rows, support.row_labels
        weights, bias = discriminant(rows, labels, len(support.raw_text), settings.covariance)
        alphas = _alphas(support, weights, bias, settings.alpha)
        zero_shot = support.scale * support.text
        alpha = rows.new_tensor(alphas)
        classifier = GdaClassifier(
            weights=zero_shot + alpha[:, None, None] * weights,
            bias=alpha[:, None] * bias,
            alpha=alpha,
            rows=rows if settings.covariance == "class-mean" else rows[:, :0],
            nearest=torch.full_like(labels[:, 0], settings.nearest),
            text_copies=torch.full_like(labels[:, 0], settings.text_copies),
        )
        return Fitted(classifier, chosen=chosen(settings, [{"alpha": one} for one in alphas]))

    def for_classes(self, classifier: Classifier, raw_text: Tensor, scale: float) -> LinearClassifier:
        """The discriminant of classes that only their text describes.

        Raises:
            UserError: fitted with another covariance than the authors' for base-to-new, or from too few rows.
        """
        assert isinstance(classifier, GdaClassifier)
        nearest, copies = int(classifier.nearest[0]), int(classifier.text_copies[0])
        if not classifier.rows.shape[1]:
            raise UserError(NEW_CLASSES)
        if classifier.rows.shape[1] < nearest:
            n = classifier.rows.shape[1]
            raise UserError(f"gda: {n} views of training images, and gda.nearest asks for {nearest}; lower it to {n}")
        text = F.normalize(raw_text, dim=-1)
        gaussians = [_new_class_gaussians(rows, text, nearest, copies) for rows in classifier.rows]
        weights, bias = linear_form(*(torch.stack(part) for part in zip(*gaussians, strict=True)))
        alpha = classifier.alpha
        return LinearClassifier(scale * text + alpha[:, None, None] * weights, alpha[:, None] * bias)


def discriminant(rows: Tensor, labels: Tensor, n_classes: int, covariance: Covariance) -> tuple[Tensor, Tensor]:
    """The image part: weights (R, C, D) and biases (R, C) from rows (R, n, D) with labels (R, n).

    Raises:
        UserError: the covariance is zero or, for `class-mean`, some class has fewer than two rows.
    """
    one_hot = F.one_hot(labels, n_classes).to(rows.dtype)
    counts = one_hot.sum(1)[..., None]
    means = one_hot.mT @ rows / counts
    centred = rows - means.gather(1, labels[..., None].expand_as(rows))
    if covariance == "shrunk":
        precision = _shrunk_precision((centred.mT @ centred).double(), rows.shape[1])
    else:
        if (counts < 2).any():
            raise UserError("gda.covariance=class-mean needs two rows per class; raise the shots or gda.views")
        shares = one_hot @ (1 / (n_classes * (counts - 1)))
        precision = _pseudo_inverse((centred.mT @ (centred * shares)).double())
    return linear_form(means, precision.to(rows.dtype))


def linear_form(means: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (R, C, D) and biases (R, C) of Gaussians with means (R, C, D), one precision (R, D, D), equal priors."""
    weights = means @ precision
    return weights, -(weights * means).sum(-1) / 2 - torch.tensor(float(means.shape[1])).log()


ROUNDING = 1e-12
"""Squared distance from its class's mean that rounding alone gives a row of length 1 in single precision, and more."""


def _shrunk_precision(gram: Tensor, n_rows: int) -> Tensor:
    """D (G + tr(S) I)^-1 for a gram matrix (..., D, D) of `n_rows` centred rows, S = G / (n - 1)."""
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    if not (trace > n_rows * ROUNDING).all():
        raise UserError(ZERO)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    ridge = (trace / (n_rows - 1))[..., None, None] * identity
    return gram.shape[-1] * torch.cholesky_inverse(torch.linalg.cholesky(gram + ridge))


def _pseudo_inverse(covariance: Tensor) -> Tensor:
    """Of (R, D, D), with the cut-off of single precision, in which the authors compute."""
    if not (covariance.diagonal(dim1=-2, dim2=-1).sum(-1) > ROUNDING).all():
        raise UserError(ZERO)
    cutoff = covariance.shape[-1] * torch.finfo(torch.float32).eps
    inverse: Tensor = torch.linalg.pinv(covariance, rtol=cutoff, hermitian=True)
    return inverse


def _alphas(support: Support, weights: Tensor, bias: Tensor, alpha: float | None) -> list[float]:
    """Per cell, the weight of the discriminant."""
    if alpha is not None:
        return [alpha] * len(weights)
    val = validation_images(support, ["gda.alpha"], "its authors try 1e-4, 1e-3, ... 100")
    zero_shot = support.scale * (val.images.directions @ support.text.mT)
    image_part = val.images.directions @ weights.mT + bias[:, None]
    hits = hits_by_weight(zero_shot, image_part, val.labels, weights.new_tensor(ALPHAS))
    return [ALPHAS[index] for (index,) in first_best(hits)]


def _new_class_gaussians(rows: Tensor, text: Tensor, nearest: int, copies: int) -> tuple[Tensor, Tensor]:
    """Means (C', D) and the one precision (D, D) of classes of which only the text (C', D) is known.

    With X the k nearest rows less the text and t = tr(X^T X) / (k - 1),
    (X^T X + t I)^-1 = (I - X^T (X X^T + t I)^-1 X) / t, which inverts k x k instead of D x D.
    """
    found = rows[(text @ rows.T).topk(nearest).indices]
    means = (found.sum(1) + copies * text) / (nearest + copies)
    away = (found - text[:, None]).double()
    inner = away @ away.mT
    ridge = inner.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None] / (nearest - 1)
    if not (ridge > ROUNDING).all():
        raise UserError("gda: the images nearest to a new class are the same as its text")
    factor = torch.linalg.cholesky(inner + ridge * torch.eye(nearest, dtype=inner.dtype, device=inner.device))
    taken = (torch.linalg.solve_triangular(factor, away, upper=False) / ridge.sqrt()).flatten(0, 1)
    width = text.shape[1]
    identity = torch.eye(width, dtype=inner.dtype, device=inner.device)
    return means, (width * ((1 / ridge).mean() * identity - taken.T @ taken / len(text))).to(rows.dtype)
