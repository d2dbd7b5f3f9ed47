"""Tip-Adapter-F: Tip-Adapter whose keys are trained.

    logits = s f T^T + alpha exp(-beta (1 - f keys^T)) Y

as in `tip_adapter`, where keys (N, D) begin; they do not stay normalised.

AdamW with eps 1e-4 and PyTorch's weight decay of 0.01, a cosine by step, minibatches of 256, 20 epochs (100 for
EuroSAT), each with a new crop of every image. alpha and beta are fixed during training, and then searched as in
`tip_adapter`.

The authors keep the epoch with the best TEST accuracy and report the better of it and the search (their issue 11); here
the last epoch is kept, and the search uses validation images. Their alpha during training is set per dataset: 1.17
(Food101, ImageNet, Pets, SUN397), 2 (DTD, EuroSAT), 3 (Caltech101, Cars, UCF101), 5 (Aircraft), 10 (Flowers).
"""

from collections.abc import Sequence
from functools import partial

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.methods.choosing import check_every_class, chosen
from dualpt.core.methods.descent import (
    cosine_by_step,
    cross_entropy,
    descend,
    divergences,
    history,
    image_batches,
    take,
)
from dualpt.core.methods.interface import Fitted, Method, Needs, Support
from dualpt.core.methods.training_free.tip_adapter import (
    CacheClassifier,
    TipAdapterOptions,
    cache_classifier,
    cache_weights,
    cached_logits,
)


class TipAdapterFOptions(TipAdapterOptions):
    views: int = Field(30, ge=0, le=300)
    """Random crops of each training image; 0 takes the plain crop."""
    key_views: int = Field(10, ge=1, le=300)
    """How many of them are averaged into the image's key; the others are trained on, or all if none are left."""
    learning_rate: float = Field(1e-3, gt=0, le=1)
    """AdamW's, before its cosine."""
    weight_decay: float = Field(0.01, ge=0, le=1)
    """AdamW's."""
    epochs: int = Field(20, ge=1, le=10000)
    """Passes over the training images."""
    batch_size: int = Field(256, ge=1, le=100000)
    """Images per step."""
    train_alpha: float = Field(1.17, ge=0, le=1000)
    """Weight of the cache while training."""
    train_beta: float = Field(1.0, ge=0, le=1000)
    """Sharpness of the affinity while training."""


class TipAdapterF(Method[TipAdapterFOptions]):
    name = "tip-adapter-f"
    title = "Tip-Adapter-F"
    short_title = "Tip-F"
    group = "adapter"
    source = "arXiv 2207.09519; gaopengcuhk/Tip-Adapter@d0e2d6f: main.py, configs"
    every_class = True
    options = TipAdapterFOptions
    packable = frozenset({"learning_rate", "train_alpha", "train_beta"})

    def needs(self, options: TipAdapterFOptions) -> Needs:
        undecided = options.alpha is None or options.beta is None
        return Needs(views=options.views, min_crop_area=options.min_crop_area, validation=undecided, norms=True)

    def fit(self, support: Support, options: Sequence[TipAdapterFOptions]) -> Fitted:
        check_every_class(support, self.name)
        settings = options[0]
        keys = F.normalize(support.images.raw[:, : settings.key_views].mean(1), dim=-1).requires_grad_()
        losses = _train(keys, support, options)
        weights = cache_weights(support, keys.detach(), self.name, settings.alpha, settings.beta)
        classifier: CacheClassifier = cache_classifier(support, keys.detach(), weights)
        return Fitted(classifier, chosen(settings, weights), losses=losses.tolist(), failures=divergences(losses))


def _train(keys: Tensor, support: Support, options: Sequence[TipAdapterFOptions]) -> Tensor:
    """Train keys (R, N, D) in place; the losses (R, epochs)."""
    settings = options[0]
    directions = support.images.directions
    views = directions[:, settings.key_views :] if directions.shape[1] > settings.key_views else directions
    pool, labels = views.flatten(1, 2).contiguous(), support.labels.repeat(1, views.shape[1])
    values, zero_shot = support.one_hot, support.scale * support.text
    alpha = keys.new_tensor([one.train_alpha for one in options])[:, None, None]
    beta = keys.new_tensor([one.train_beta for one in options])[:, None, None]

    def losses_of(rows: Tensor) -> Tensor:
        logits = cached_logits(take(pool, rows), keys, values, zero_shot, alpha, beta)
        return cross_entropy(logits, take(labels, rows))

    n_images = support.labels.shape[1]
    steps = settings.epochs * -(-n_images // settings.batch_size)
    losses = descend(
        [keys],
        losses_of,
        image_batches(
            support.seeds,
            views=views.shape[1],
            images=n_images,
            size=settings.batch_size,
            epochs=settings.epochs,
            drop_last=False,
        ),
        optimizer=partial(torch.optim.AdamW, eps=1e-4, weight_decay=settings.weight_decay, fused=True),
        learning_rate=[one.learning_rate for one in options],
        schedule=cosine_by_step(steps),
    )
    return history(losses, settings.epochs, support.report)
