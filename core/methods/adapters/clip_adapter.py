"""CLIP-Adapter: a bottleneck on the image feature, blended with it.

    f' = norm(ratio relu(W2 relu(W1 f)) + (1 - ratio) f),   logits = s f'.t_c,   loss = cross-entropy

f (D) is an image feature, W1 (D // 4, D) and W2 (D, D // 4) have no bias and begin as `torch.nn.Linear` does, t_c (D)
is the normalised text feature and s CLIP's scale. Its authors feed raw features and here they are normalised, which is
the same: without biases, a feature's length multiplies both terms and is normalised away. Nothing learned belongs to a
class, so it serves new classes too.

Trained by CoOp's recipe, as its authors say to: SGD 0.002 with momentum 0.9 and decay 5e-4, batches of 32, a warm-up
epoch, a cosine by epoch, 50, 100 or 200 epochs by shots; Dassl leaves out the images that do not fill a minibatch. They
crop anew at every step, here one of the stored views is drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods import descent
from dualpt.core.methods.choosing import check_classes
from dualpt.core.methods.interface import Classifier, Fitted, Images, Method, MethodOptions, Needs, Support
from dualpt.core.random_streams import random_stream
from dualpt.core.recipes import resolve_recipe

REDUCTION = 4
"""D over the width of the bottleneck."""


class ClipAdapterOptions(MethodOptions):
    ratio: float = Field(0.2, ge=0, le=1)
    """Share of the adapted feature; the rest is CLIP's own."""
    learning_rate: float = Field(0.002, gt=0, le=10)
    """SGD learning rate after the warm-up epoch."""
    epochs: int | None = Field(None, ge=1, le=100_000)
    """Passes over the training images; None takes CoOp's: 50 at 1 shot, 100 at 2 and 4, 200 above."""
    batch_size: int = Field(32, ge=1, le=65_536)
    """Images per step."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum."""
    weight_decay: float = Field(5e-4, ge=0, le=1)
    """SGD weight decay (L2) on both matrices."""
    warmup_learning_rate: float = Field(1e-5, ge=0, le=1)
    """Constant learning rate of epoch 0."""
    views: int = Field(20, ge=0, le=1000)
    """Random crops per training image, one of which is drawn at every pass; 0 takes the plain centre crop."""
    min_crop_area: float = Field(0.08, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


@dataclass(frozen=True)
class AdaptedClassifier(Classifier):
    """Adapted image features against class names."""

    down: Tensor
    """W1 (R, D // 4, D)"""
    up: Tensor
    """W2 (R, D, D // 4)"""
    ratio: Tensor
    """(R)"""
    text: Tensor
    """(R, C, D): normalised text features times CLIP's scale."""

    def logits(self, images: Images) -> Tensor:
        features = images.directions.expand(len(self.ratio), -1, -1)
        return torch.bmm(adapted(features, self.down, self.up, self.ratio), self.text.mT)


class ClipAdapter(Method[ClipAdapterOptions]):
    name = "clip-adapter"
    title = "CLIP-Adapter"
    short_title = "CLIP-Ad."
    group = "adapter"
    source = "gaopengcuhk/CLIP-Adapter@08d07f8: clip_adapter.py; KaiyangZhou/CoOp: configs/trainers/CoOp"
    protocols = frozenset({"few-shot", "base-to-new", "cross-dataset", "domain-generalization"})
    options = ClipAdapterOptions
    packable = frozenset({"learning_rate", "ratio"})

    def needs(self, options: ClipAdapterOptions) -> Needs:
        return Needs(views=options.views, min_crop_area=options.min_crop_area)

    def fit(self, support: Support, options: Sequence[ClipAdapterOptions]) -> Fitted:
        check_classes(support, self.name)
        pool, labels = support.rows, support.row_labels
        down, up = (one.to(pool.device).requires_grad_() for one in initial_weights(support.seeds, pool.shape[-1]))
        ratio, text = pool.new_tensor([one.ratio for one in options]), support.scale * support.text

        def loss_of(rows: Tensor) -> Tensor:
            logits = adapted(descent.take(pool, rows), down, up, ratio) @ text.T
            return descent.cross_entropy(logits, descent.take(labels, rows))

        common, images, shots = options[0], support.labels.shape[1], descent.shots_of(support)
        recipe = resolve_recipe("coop", dataset="", shots=shots, n_images=images, epochs=common.epochs)
        batches = descent.image_batches(
            support.seeds,
            views=support.images.directions.shape[1],
            images=images,
            size=common.batch_size,
            epochs=recipe.epochs,
            drop_last=True,
        )
        steps = descent.descend(
            [down, up],
            loss_of,
            batches,
            optimizer=partial(torch.optim.SGD, momentum=common.momentum, weight_decay=common.weight_decay),
            learning_rate=[one.learning_rate for one in options],
            schedule=descent.cosine_by_epoch(recipe.epochs, common.warmup_learning_rate),
        )
        losses = descent.history(steps, recipe.epochs, support.report)
        classifier = AdaptedClassifier(down.detach(), up.detach(), ratio, text.repeat(len(options), 1, 1))
        return Fitted(classifier, losses=losses.tolist(), failures=descent.divergences(losses))

    def for_classes(self, classifier: Classifier, raw_text: Tensor, scale: float) -> AdaptedClassifier:
        assert isinstance(classifier, AdaptedClassifier)
        text = scale * F.normalize(raw_text, dim=-1)
        return AdaptedClassifier(
            classifier.down, classifier.up, classifier.ratio, text.repeat(len(classifier.ratio), 1, 1)
        )


def adapted(features: Tensor, down: Tensor, up: Tensor, ratio: Tensor) -> Tensor:
    """Adapted and normalised features (R, B, D) of features (R, B, D) of any length."""
    hidden = torch.bmm(features, down.mT).relu()
    change = torch.bmm(hidden, up.mT).relu()
    return F.normalize(torch.lerp(features, change, ratio[:, None, None]), dim=-1)


def initial_weights(seeds: Sequence[int], width: int) -> tuple[Tensor, Tensor]:
    """W1 (R, D // 4, D) and W2 (R, D, D // 4), uniform within 1 / sqrt(inputs), as `torch.nn.Linear` begins.

    Raises:
        UserError: features too narrow for a bottleneck.
    """
    if width < REDUCTION:
        raise UserError(f"clip-adapter: needs features at least {REDUCTION} wide, these are {width}")
    narrow = width // REDUCTION
    down, up = torch.empty(len(seeds), narrow, width), torch.empty(len(seeds), width, narrow)
    for r, seed in enumerate(seeds):
        stream = random_stream(seed, "clip-adapter weights")
        down[r].uniform_(-1 / math.sqrt(width), 1 / math.sqrt(width), generator=stream)
        up[r].uniform_(-1 / math.sqrt(narrow), 1 / math.sqrt(narrow), generator=stream)
    return down, up
