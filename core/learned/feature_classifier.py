"""A classifier from what a method on frozen features learned: the logits that its cell was judged by."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.feature_checks import check_directions
from dualpt.core.descriptions.reading import encode_template
from dualpt.core.errors import UserError
from dualpt.core.learned.fitted import LearnedClassifier
from dualpt.core.learned.image_classifier import ImageClassifier, open_backbone
from dualpt.core.methods.interface import Classifier, Images, Method


class FeatureClassifier(ImageClassifier):
    """Classifies images by their frozen features.

    Args:
        learned: As `dualpt.core.learned.fitted.load_classifier` reads it, or of a `CellResult`.
        class_names: Other classes than those on record, for methods that serve any.
        device: A torch device, or `auto` for a GPU where there is one.

    Raises:
        UserError: The backbone is missing or has other weights than those that gave the features, or `class_names` were
            given to a method that serves its own classes alone.
    """

    def __init__(
        self, learned: LearnedClassifier, *, class_names: Sequence[str] | None = None, device: str = "auto"
    ) -> None:
        self.setting = learned.cell.setting
        self.backbone = open_backbone(self.setting.backbone, learned.weights, "the classifier was", device)
        self.class_names = tuple(learned.class_names if class_names is None else class_names)
        self.classifier = learned.classifier.on(self.backbone.device)
        """Of one cell, R = 1."""
        if class_names is not None:
            self.classifier = self._of_other_classes(learned)

    @torch.no_grad()
    def score(self, pixels: Tensor) -> Tensor:
        """Logits (n, C) of preprocessed images (n, 3, height, width)."""
        encoded = self.backbone.encode(pixels, "hidden" if self.setting.reads.hidden else None)
        check_directions(encoded.global_features, "the features of the image tower")
        labels = torch.zeros(len(pixels), dtype=torch.int64)
        return self.logits(ImageFeatures(encoded.global_features, encoded.beside, labels, encoded.norms))

    @torch.no_grad()
    def logits(self, images: ImageFeatures) -> Tensor:
        """Logits (n, C) of frozen features."""
        return self.classifier.logits(Images.of(images, self.backbone.device))[0]

    def _of_other_classes(self, learned: LearnedClassifier) -> Classifier:
        if not self.class_names or len(set(self.class_names)) != len(self.class_names):
            raise UserError("class names: give each class once, and at least one")
        method = cast("Method[Any]", self.setting.definition.instance)
        tower = self.backbone.text
        raw_text = encode_template(tower, learned.template, self.class_names, raw=True).to(self.backbone.device)
        try:
            return method.for_classes(self.classifier, raw_text, tower.logit_scale)
        except NotImplementedError as error:
            raise UserError(f"class names: {error}") from None
