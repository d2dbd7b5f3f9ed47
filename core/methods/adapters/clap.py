"""CLAP: ZS-LP whose weights are held near the class names, each the more firmly the better zero-shot knows its class.

    loss = cross-entropy + weight * mean_c l_c |w_c - t_c|²
    l_c  = mean over the class's training views of softmax(s f.t / |t|)_c

t_c (D) is the raw text feature, not normalised, so distances are in its units. l_c (C) is fixed before training. The
rest is ZS-LP.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from dualpt.core.methods.adapters.cosine_head import cosine_logits
from dualpt.core.methods.adapters.zs_lp import ZsLpOptions, fit_prototypes
from dualpt.core.methods.choosing import check_every_class
from dualpt.core.methods.interface import Fitted, Method, Needs, Support


class ClapOptions(ZsLpOptions):
    penalty_weight: float = Field(1.0, ge=0, le=1000)
    """Weight of the distance to the class names; 0 is ZS-LP."""


class Clap(Method[ClapOptions]):
    name = "clap"
    title = "CLAP"
    short_title = "CLAP"
    group = "adapter"
    source = "jusiro/CLAP@dbdf409: trainers/adapters.py (ZS, l2), configs/trainers/SGD_lr1e-1_B256_ep300.yaml"
    every_class = True
    options = ClapOptions
    packable = frozenset({"learning_rate", "penalty_weight"})

    def needs(self, options: ClapOptions) -> Needs:
        return Needs(views=options.views, min_crop_area=options.min_crop_area)

    def fit(self, support: Support, options: Sequence[ClapOptions]) -> Fitted:
        check_every_class(support, self.name)
        weights = support.raw_text.new_tensor([one.penalty_weight for one in options])
        multipliers = weights[:, None] * zero_shot_confidence(support)

        def penalty(prototypes: Tensor) -> Tensor:
            return (multipliers * (prototypes - support.raw_text).square().sum(dim=-1)).mean(dim=1)

        return fit_prototypes(support, options, penalty)


def zero_shot_confidence(support: Support) -> Tensor:
    """Mean zero-shot probability of the true class over each class's training views, l: (R, C)."""
    pool, labels = support.rows, support.row_labels
    logits = cosine_logits(pool, support.raw_text.expand(len(pool), -1, -1), support.scale)
    of_truth = logits.softmax(dim=-1).gather(2, labels[..., None])[..., 0]
    sums = torch.zeros_like(logits[:, 0]).scatter_add_(1, labels, of_truth)
    return sums / torch.zeros_like(sums).scatter_add_(1, labels, torch.ones_like(of_truth))
