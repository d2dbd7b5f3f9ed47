"""Tip-Adapter: the labels of similar training images, added to zero-shot logits.

    logits = s f T^T + alpha exp(-beta (1 - f keys^T)) Y

f (n, D) images, T (C, D) text features, keys (N, D) the training images, all normalised; Y (N, C) their one-hot labels;
s is CLIP's scale. A key is the normalised mean of an image's raw views.

The authors search alpha and beta in ranges set per dataset (from 0.1 to between 3 and 50), on the full validation
split, and for ImageNet on the test images. Here one grid that covers all their ranges serves every dataset, searched on
the cell's validation images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.methods.choosing import check_classes, chosen, first_best, hits_by_weight, validation_images
from dualpt.core.methods.interface import Classifier, Fitted, Images, Method, MethodOptions, Needs, Support

ALPHAS = tuple(0.1 + (50 - 0.1) / 200 * i for i in range(200))
"""Candidates for alpha, from 0.1 to below 50."""
BETAS = ALPHAS
"""Candidates for beta."""
MAX_ELEMENTS = 2**17
"""Affinities held at once while candidates are tried, few enough for a processor's cache."""
ADVICE = "its paper sets alpha 1 and beta 5.5 on ImageNet"


class TipAdapterOptions(MethodOptions):
    alpha: float | None = Field(None, ge=0, le=1000)
    """Weight of the cache; None chooses it on validation images."""
    beta: float | None = Field(None, ge=0, le=1000)
    """Sharpness of the affinity to cached images; None chooses it on validation images."""
    views: int = Field(10, ge=0, le=300)
    """Random crops of a training image averaged into its key; 0 takes the plain crop."""
    min_crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


@dataclass(frozen=True)
class CacheClassifier(Classifier):
    """Zero-shot logits plus those of a cache."""

    text: Tensor
    """(R, C, D), normalised."""
    scale: Tensor
    """(R,) of zero-shot logits."""
    keys: Tensor
    """(R, N, D)"""
    labels: Tensor
    """(R, N) int64, of the keys."""
    alpha: Tensor
    """(R,)"""
    beta: Tensor
    """(R,)"""

    def logits(self, images: Images) -> Tensor:
        values = F.one_hot(self.labels, self.text.shape[1]).float()
        zero_shot, alpha, beta = (one[:, None, None] for one in (self.scale, self.alpha, self.beta))
        return cached_logits(images.directions, self.keys, values, zero_shot * self.text, alpha, beta)


class TipAdapter(Method[TipAdapterOptions]):
    name = "tip-adapter"
    title = "Tip-Adapter"
    short_title = "Tip"
    group = "training-free"
    source = "arXiv 2207.09519; gaopengcuhk/Tip-Adapter@d0e2d6f: main.py, utils.py"
    options = TipAdapterOptions

    def needs(self, options: TipAdapterOptions) -> Needs:
        undecided = options.alpha is None or options.beta is None
        return Needs(views=options.views, min_crop_area=options.min_crop_area, validation=undecided, norms=True)

    def fit(self, support: Support, options: Sequence[TipAdapterOptions]) -> Fitted:
        check_classes(support, self.name)
        keys = F.normalize(support.images.raw.mean(1), dim=-1)
        settings = options[0]
        weights = cache_weights(support, keys, self.name, settings.alpha, settings.beta)
        return Fitted(cache_classifier(support, keys, weights), chosen=chosen(settings, weights))


def cached_logits(
    images: Tensor, keys: Tensor, values: Tensor, zero_shot: Tensor, alpha: Tensor, beta: Tensor
) -> Tensor:
    """(R, n, C): zero-shot logits plus `alpha` times the scores of a cache.

    Args:
        images: (R, n, D) or (n, D), normalised.
        keys: (R, N, D)
        values: (R, N, C), one-hot.
        zero_shot: (R, C, D) or (C, D), the text features times CLIP's scale.
        alpha: (R, 1, 1)
        beta: (R, 1, 1)
    """
    return images @ zero_shot.mT + alpha * cache_scores(images @ keys.mT, values, beta)


def cache_scores(affinity: Tensor, values: Tensor, beta: Tensor | float) -> Tensor:
    """exp(-beta (1 - affinity)) values: (..., n, N) and (..., N, C) to (..., n, C)."""
    return (beta * (affinity - 1)).exp() @ values


def cache_weights(
    support: Support, keys: Tensor, method: str, alpha: float | None, beta: float | None
) -> list[dict[str, float]]:
    """Alpha and beta of every cell, for keys (R, N, D): as set, or chosen on validation images.

    Raises:
        UserError: one is undecided and there are no validation images.
    """
    if alpha is not None and beta is not None:
        return [{"alpha": alpha, "beta": beta}] * len(keys)
    alphas, betas = _candidates(alpha, ALPHAS), _candidates(beta, BETAS)
    undecided = [f"{method}.{name}" for name, value in (("alpha", alpha), ("beta", beta)) if value is None]
    hits = _search(support, keys, alphas, betas, undecided)
    return [{"alpha": alphas[a], "beta": betas[b]} for b, a in first_best(hits)]


def cache_classifier(support: Support, keys: Tensor, weights: Sequence[Mapping[str, float]]) -> CacheClassifier:
    """That of keys (R, N, D) with the alpha and beta of every cell."""
    return CacheClassifier(
        text=support.text.expand(len(keys), -1, -1),
        scale=keys.new_full((len(keys),), support.scale),
        keys=keys,
        labels=support.labels,
        alpha=keys.new_tensor([one["alpha"] for one in weights]),
        beta=keys.new_tensor([one["beta"] for one in weights]),
    )


def _candidates(value: float | None, grid: Sequence[float]) -> Sequence[float]:
    return grid if value is None else (value,)


def _search(
    support: Support, keys: Tensor, alphas: Sequence[float], betas: Sequence[float], undecided: Sequence[str]
) -> Tensor:
    """(R, B, A) int64: validation images that are classified correctly with every beta and alpha."""
    val = validation_images(support, undecided, ADVICE)
    zero_shot = support.scale * (val.images.directions @ support.text.mT)
    affinity = val.images.directions @ keys.mT
    weights, sharpness = keys.new_tensor(alphas), keys.new_tensor(betas)[:, None, None]
    n_cells, n_val, n_keys = affinity.shape
    at_once = max(1, MAX_ELEMENTS // (n_val * max(n_keys, zero_shot.shape[-1])))  # pairs of a cell and a beta

    def hits_of(cells: slice) -> Tensor:
        base, near, values, labels = (one[cells, None] for one in (zero_shot, affinity, support.one_hot, val.labels))
        parts = sharpness.split(max(1, at_once // n_cells))
        return torch.cat([hits_by_weight(base, cache_scores(near, values, b), labels, weights) for b in parts], dim=1)

    return torch.cat([hits_of(slice(r, r + at_once)) for r in range(0, n_cells, at_once)])
