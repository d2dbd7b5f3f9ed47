"""RLA, a regularised linear adapter: a square matrix on image features, trained near the identity.

    logits = s norm(f M^T) T^T,   loss = cross-entropy + (1/K) |M - I|_F^2

f (n, D) images, T (C, D) text features, normalised; M (D, D); K shots; s CLIP's scale. The authors feed raw f, which
gives the same function of M. See `projection` for the recipe.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dualpt.core.methods.interface import Classifier, Fitted, Method, Needs, Support
from dualpt.core.methods.projection import (
    PACKABLE,
    ProjectedClassifier,
    ProjectionOptions,
    fit_projection,
    with_classes,
)


class RlaOptions(ProjectionOptions):
    """Those of the shared recipe."""


class Rla(Method[RlaOptions]):
    name = "rla"
    title = "RLA"
    short_title = "RLA"
    group = "adapter"
    source = "arXiv 2410.05270; astra-vision/ProLIP@b43e795: methods/RegLinearAdapter.py"
    protocols = frozenset({"few-shot", "base-to-new", "cross-dataset", "domain-generalization"})
    every_class = True
    options = RlaOptions
    packable = PACKABLE

    def needs(self, options: RlaOptions) -> Needs:
        return Needs(views=options.views_read, min_crop_area=options.min_crop_area)

    def fit(self, support: Support, options: Sequence[RlaOptions]) -> Fitted:
        features = support.images.directions
        identity = torch.eye(features.shape[-1], device=features.device)
        return fit_projection(self.name, ProjectedClassifier, features, identity, support, options)

    def for_classes(self, classifier: Classifier, raw_text: Tensor, scale: float) -> Classifier:
        return with_classes(classifier, raw_text, scale)
