"""SS-Text: a linear classifier in closed form, class sums of image features pulled towards the text features.

    logits = s cos(f, w_c),   w_c = 1 / (N l_c) sum over images i of class c of s f_i + t_c

f (n, D) images and t_c (D,) text features, normalised; s is CLIP's scale. l_c, at least 1e-3, is 1/N in SS-Text and
1/n_c, with n_c the images of class c, in SS-Text+, which then repels the classes from their centre:
w_c - d_c / |d_c| with d_c = 2 w_c - mean over classes of w.

The authors' text features are means over templates of normalised features, left unnormalised; ours are normalised. With
one template the two are the same.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.methods.choosing import check_classes, class_counts
from dualpt.core.methods.interface import Fitted, LinearClassifier, Method, MethodOptions, Support


class SsTextOptions(MethodOptions):
    text_weight: Literal["images", "class-images"] = "images"
    """What the pull towards the text is one over: all training images (SS-Text), or those of the class (SS-Text+)."""
    least_text_weight: float = Field(1e-3, gt=0, le=1)
    """Smallest pull towards the text."""
    repel: bool = False
    """Whether classes are moved one unit away from their centre (SS-Text+)."""


class SsText(Method[SsTextOptions]):
    name = "ss-text"
    title = "SS-Text"
    short_title = "SS-Text"
    group = "training-free"
    source = "jusiro/FCA@7ef90c5, jusiro/SS-Text@4ff4897: solvers/sstext.py, solvers/runner.py"
    options = SsTextOptions

    def fit(self, support: Support, options: Sequence[SsTextOptions]) -> Fitted:
        check_classes(support, self.name)
        settings = options[0]
        counts = class_counts(support)
        images = counts.sum(1, keepdim=True)
        pull = 1 / (images.expand_as(counts) if settings.text_weight == "images" else counts)
        pull = pull.clamp(min=settings.least_text_weight)  # infinite for a class without images, which keeps its text
        sums = support.scale * (support.one_hot.mT @ support.images.directions[:, 0])
        weights = sums / (images * pull)[..., None] + support.text
        weights = F.normalize(_repelled(weights) if settings.repel else weights, dim=-1)
        return Fitted(LinearClassifier(support.scale * weights, torch.zeros_like(counts)))


def _repelled(weights: Tensor) -> Tensor:
    """Classes (R, C, D) moved one unit away from their centre."""
    return weights - F.normalize(2 * weights - weights.mean(1, keepdim=True), dim=-1)
