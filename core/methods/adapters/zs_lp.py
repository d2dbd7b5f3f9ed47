"""ZS-LP: a linear probe by cosine whose weights begin at the class names.

    logits = s f.w_c / |w_c|,   w_c = t_c at first,   loss = cross-entropy

f (D) is a normalised feature, t_c (D) the raw text feature (mean over templates, not normalised) and s CLIP's scale.
SGD with momentum, no decay, a warm-up epoch and a cosine by epoch. Every epoch shuffles the pool of all V N views of
the N training images and takes as many full minibatches as the N images alone would give, at least one.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from dualpt.core.methods import descent
from dualpt.core.methods.adapters.cosine_head import cosine_classifier, cosine_logits
from dualpt.core.methods.choosing import check_classes
from dualpt.core.methods.interface import Fitted, Method, MethodOptions, Needs, Support


class ZsLpOptions(MethodOptions):
    learning_rate: float = Field(0.1, gt=0, le=100)
    """SGD learning rate after the warm-up epoch."""
    epochs: int = Field(300, ge=1, le=100_000)
    """Epochs, each of as many minibatches as one view of every training image fills."""
    batch_size: int = Field(256, ge=1, le=65_536)
    """Views per step."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum."""
    weight_decay: float = Field(0.0, ge=0, le=1)
    """SGD weight decay (L2) on the weights."""
    warmup_learning_rate: float = Field(1e-5, ge=0, le=1)
    """Constant learning rate of epoch 0."""
    views: int = Field(20, ge=0, le=1000)
    """Random crops per training image in the pool; 0 takes the plain centre crop alone."""
    min_crop_area: float = Field(0.08, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


Penalty = Callable[[Tensor], Tensor]
"""From prototypes (R, C, D) to what is added to each replica's loss (R)."""


class ZsLp(Method[ZsLpOptions]):
    name = "zs-lp"
    title = "ZS-LP"
    short_title = "ZS-LP"
    group = "adapter"
    source = "jusiro/CLAP@dbdf409: trainers/adapters.py (ZS, none), configs/trainers/SGD_lr1e-1_B256_ep300.yaml"
    options = ZsLpOptions
    packable = frozenset({"learning_rate"})

    def needs(self, options: ZsLpOptions) -> Needs:
        return Needs(views=options.views, min_crop_area=options.min_crop_area)

    def fit(self, support: Support, options: Sequence[ZsLpOptions]) -> Fitted:
        check_classes(support, self.name)
        return fit_prototypes(support, options, lambda prototypes: prototypes.new_zeros(len(prototypes)))


def fit_prototypes(support: Support, options: Sequence[ZsLpOptions], penalty: Penalty) -> Fitted:
    """Train prototypes (R, C, D) from the raw text features, with a penalty on where they go."""
    pool, labels = support.rows, support.row_labels
    prototypes = support.raw_text.repeat(len(options), 1, 1).requires_grad_()

    def loss_of(rows: Tensor) -> Tensor:
        logits = cosine_logits(descent.take(pool, rows), prototypes, support.scale)
        return descent.cross_entropy(logits, descent.take(labels, rows)) + penalty(prototypes)

    common, images = options[0], support.labels.shape[1]
    epochs = descent.pool_batches(
        support.seeds,
        rows=pool.shape[1],
        size=common.batch_size,
        batches=max(1, images // common.batch_size),
        epochs=common.epochs,
    )
    steps = descent.descend(
        [prototypes],
        loss_of,
        epochs,
        optimizer=partial(torch.optim.SGD, momentum=common.momentum, weight_decay=common.weight_decay),
        learning_rate=[one.learning_rate for one in options],
        schedule=descent.cosine_by_epoch(common.epochs, common.warmup_learning_rate),
    )
    losses = descent.history(steps, common.epochs, support.report)
    classifier = cosine_classifier(prototypes, support.scale)
    return Fitted(classifier, losses=losses.tolist(), failures=descent.divergences(losses))
