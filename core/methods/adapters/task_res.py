"""TaskRes: what is learned is added to the class names.

    logits = s cos(f, t_c + a r_c),   r = 0 at first,   loss = cross-entropy

f (D) is a normalised feature, t_c (D) the raw text feature (mean over templates, not normalised), r (C, D) the learned
residual, a its scale and s CLIP's. Adam with Dassl's L2 decay of 5e-4 (the recipe names none), a warm-up epoch and a
cosine by epoch; Dassl leaves out the images that do not fill a minibatch. Its authors crop anew at every step, here one
of the stored views is drawn.
"""

from collections.abc import Sequence
from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from dualpt.core.methods import descent
from dualpt.core.methods.adapters.cosine_head import cosine_classifier, cosine_logits
from dualpt.core.methods.choosing import check_classes
from dualpt.core.methods.interface import Fitted, Method, MethodOptions, Needs, Support

FEW_SHOTS, FEW_EPOCHS, MANY_EPOCHS = 4, 100, 200
"""Published epochs: 100 up to 4 shots, 200 above."""


class TaskResOptions(MethodOptions):
    residual_scale: float = Field(0.5, gt=0, le=100)
    """Factor of the learned residual, a; its authors take 1 on Flowers102."""
    learning_rate: float = Field(2e-3, gt=0, le=10)
    """Adam learning rate after the warm-up epoch; its authors take 2e-4 on ImageNet."""
    epochs: int | None = Field(None, ge=1, le=100_000)
    """Passes over the training images; None takes its authors': 100 up to 4 shots, 200 above."""
    batch_size: int = Field(256, ge=1, le=65_536)
    """Images per step."""
    weight_decay: float = Field(5e-4, ge=0, le=1)
    """Adam's L2 decay on the residual."""
    warmup_learning_rate: float = Field(1e-5, ge=0, le=1)
    """Constant learning rate of epoch 0."""
    views: int = Field(20, ge=0, le=1000)
    """Random crops per training image, one of which is drawn at every pass; 0 takes the plain centre crop."""
    min_crop_area: float = Field(0.08, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


class TaskRes(Method[TaskResOptions]):
    name = "taskres"
    title = "TaskRes"
    short_title = "TaskRes"
    group = "adapter"
    source = "geekyutao/TaskRes@5195359: trainers/taskres.py, configs/trainers/TaskRes, train_regular.sh"
    options = TaskResOptions
    packable = frozenset({"learning_rate", "residual_scale"})

    def needs(self, options: TaskResOptions) -> Needs:
        return Needs(views=options.views, min_crop_area=options.min_crop_area)

    def fit(self, support: Support, options: Sequence[TaskResOptions]) -> Fitted:
        check_classes(support, self.name)
        pool, labels = support.rows, support.row_labels
        scales = support.raw_text.new_tensor([one.residual_scale for one in options])[:, None, None]
        residual = torch.zeros_like(support.raw_text.repeat(len(options), 1, 1)).requires_grad_()

        def loss_of(rows: Tensor) -> Tensor:
            logits = cosine_logits(descent.take(pool, rows), support.raw_text + scales * residual, support.scale)
            return descent.cross_entropy(logits, descent.take(labels, rows))

        common = options[0]
        epochs = common.epochs or (FEW_EPOCHS if descent.shots_of(support) <= FEW_SHOTS else MANY_EPOCHS)
        batches = descent.image_batches(
            support.seeds,
            views=support.images.directions.shape[1],
            images=support.labels.shape[1],
            size=common.batch_size,
            epochs=epochs,
            drop_last=True,
        )
        steps = descent.descend(
            [residual],
            loss_of,
            batches,
            optimizer=partial(torch.optim.Adam, weight_decay=common.weight_decay),
            learning_rate=[one.learning_rate for one in options],
            schedule=descent.cosine_by_epoch(epochs, common.warmup_learning_rate),
        )
        losses = descent.history(steps, epochs, support.report)
        classifier = cosine_classifier(support.raw_text + scales * residual, support.scale)
        return Fitted(classifier, losses=losses.tolist(), failures=descent.divergences(losses))
