"""A linear map of frozen features into the joint space, trained near where it began: what RLA and ProLIP share.

    logits = s norm(h P) T^T,   loss = cross-entropy + (anchor / K) |P - P_0|_F^2

h (n, W) features, P (W, D), T (C, D) normalised text features, K shots (N / C), s CLIP's scale. The authors take 300
full-batch Adam steps with eps 1e-4 and a cosine; step i sees crop i + 1, modulo their number.

Shapes: R cells, V views, N training images, C classes, D joint width, W width of the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.methods.choosing import check_every_class
from dualpt.core.methods.descent import cosine_by_step, cross_entropy, descend, divergences, history
from dualpt.core.methods.interface import Classifier, Fitted, Images, MethodOptions, Support

ADAM = partial(torch.optim.Adam, eps=1e-4, fused=True)


class ProjectionOptions(MethodOptions):
    learning_rate: float = Field(1e-5, gt=0, le=1)
    """Adam's, before its cosine."""
    anchor: float = Field(1.0, ge=0, le=1000)
    """Weight of the squared distance from the start, divided by the shots."""
    steps: int = Field(300, ge=1, le=100000)
    """Full-batch steps."""
    views: int = Field(20, ge=0, le=300)
    """Random crops of each training image, one per step in turn: at most `steps` + 1 are read; 0 takes the plain crop.
    The authors store 300."""
    min_crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""

    @property
    def views_read(self) -> int:
        """How many of the crops have a step that sees them, the first counted: step i sees crop i + 1."""
        return min(self.views, self.steps + 1)


PACKABLE = frozenset({"learning_rate", "anchor"})


@dataclass(frozen=True)
class ProjectedClassifier(Classifier):
    """Cosines of mapped normalised features with the text features."""

    projection: Tensor
    """(R, W, D)"""
    text: Tensor
    """(R, C, D), normalised."""
    scale: Tensor
    """(R,)"""

    def logits(self, images: Images) -> Tensor:
        return self.scale[:, None, None] * (F.normalize(self.read(images) @ self.projection, dim=-1) @ self.text.mT)

    def read(self, images: Images) -> Tensor:
        """The features (n, W) that are mapped."""
        return images.directions


def fit_projection(
    method: str,
    classifier: type[ProjectedClassifier],
    features: Tensor,
    start: Tensor,
    support: Support,
    options: Sequence[ProjectionOptions],
) -> Fitted:
    """Train from `start` (W, D) on features (R, V, N, W).

    Raises:
        UserError: one class only, or a class without images.
    """
    check_every_class(support, method)
    n_cells, n_views, n_images, _ = features.shape
    steps, text = options[0].steps, support.text
    anchors = features.new_tensor([one.anchor * len(text) / n_images for one in options])
    projection = start.expand(n_cells, -1, -1).clone().requires_grad_()

    def losses_of(view: int) -> Tensor:
        return projection_losses(projection, start, features[:, view], support.labels, support.scale * text, anchors)

    losses = descend(
        [projection],
        losses_of,
        [[(step + 1) % n_views] for step in range(steps)],
        optimizer=ADAM,
        learning_rate=[one.learning_rate for one in options],
        schedule=cosine_by_step(steps),
    )
    curve = history(losses, steps, support.report)
    learned = classifier(
        projection=projection.detach(),
        text=text.expand(n_cells, -1, -1),
        scale=features.new_full((n_cells,), support.scale),
    )
    return Fitted(learned, losses=curve.tolist(), failures=divergences(curve))


def projection_losses(
    projection: Tensor, start: Tensor, features: Tensor, labels: Tensor, zero_shot: Tensor, anchors: Tensor
) -> Tensor:
    """Losses (R,) of projections (R, W, D) that began at `start` (W, D).

    Args:
        features: (R, N, W) with labels (R, N).
        zero_shot: (C, D), the normalised text features times CLIP's scale.
        anchors: (R,), weights of the squared distance from the start.
    """
    mapped = F.normalize(features @ projection, dim=-1)
    moved = (projection - start).square().sum((1, 2))
    return cross_entropy(mapped @ zero_shot.T, labels) + anchors * moved


def with_classes(classifier: Classifier, raw_text: Tensor, scale: float) -> Classifier:
    """The same map with the text features of other classes (C', D)."""
    assert isinstance(classifier, ProjectedClassifier)
    text = F.normalize(raw_text, dim=-1).expand(len(classifier.projection), -1, -1)
    return replace(classifier, text=text, scale=torch.full_like(classifier.scale, scale))
