"""Nearest class mean: an image belongs to the class whose training images' mean direction is nearest.

    logits = s cos(f, m_c),   m_c = sum over images i of class c of f_i, normalised

f (n, D) are normalised features of the plain crop, s is CLIP's logit scale. The text tower takes no part. These are the
prototypes of Snell et al. 2017 (arXiv 1703.05175), on fixed features.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from dualpt.core.methods.interface import Fitted, LinearClassifier, Method, MethodOptions, Needs, Support


class NearestMean(Method[MethodOptions]):
    name = "nearest-mean"
    title = "Nearest class mean"
    short_title = "NCM"
    group = "training-free"
    source = "arXiv 1703.05175, section 2.2, on fixed features"

    def needs(self, options: MethodOptions) -> Needs:
        return Needs(text=False)

    def fit(self, support: Support, options: Sequence[MethodOptions]) -> Fitted:
        sums = support.one_hot.mT @ support.images.directions[:, 0]
        weights = support.scale * F.normalize(sums, dim=-1)
        return Fitted(LinearClassifier(weights, torch.zeros_like(weights[..., 0])))
