"""A classifier from learned prompts: the way from a result back to use.

    prompts = load_prompts("contexts.safetensors")
    classifier = PromptClassifier(prompts)

It gives the logits that `training.evaluate` judged the cell by. Shapes: n images, C classes, N prompts per class, L
context tokens, W text width, P patches, K descriptions per class, D joint width.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.backbone import Backbone
from dualpt.core.clip.feature_checks import check_directions
from dualpt.core.config.activity import uses_local
from dualpt.core.descriptions.reading import encode_bank, name_tokens
from dualpt.core.errors import UserError
from dualpt.core.learned.image_classifier import IMAGES_AT_ONCE, ImageClassifier, open_backbone
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.learned.scorers import local_scorer, prompt_options
from dualpt.core.prompts.encoder import check_prompt_lengths
from dualpt.core.recipes import global_weight_on
from dualpt.core.training.alignment import mean_feature
from dualpt.core.training.evaluate import class_weights, prompted_logits


class PromptClassifier(ImageClassifier):
    """Classifies images with learned prompts.

    Args:
        prompts: As `dualpt.core.learned.prompts.load_prompts` reads them, or of a `CellResult`.
        class_names: Other classes than those on record; contexts shared by all classes serve any names.
        device: A torch device, or `auto` for a GPU where there is one.

    Raises:
        UserError: The backbone is missing or has other weights than the contexts were learned with, a prompt does not
            fit, or `class_names` were given where contexts are class-specific or descriptions enter at test.
    """

    def __init__(
        self, prompts: LearnedPrompts, *, class_names: Sequence[str] | None = None, device: str = "auto"
    ) -> None:
        setting = prompts.cell.setting
        section = setting.backbone
        _check_class_names(prompts, class_names)
        self.backbone: Backbone = open_backbone(section, prompts.weights, "the prompts were", device)
        self.tower = self.backbone.text
        self.class_names = tuple(prompts.class_names if class_names is None else class_names)
        self.contexts = prompts.contexts.to(self.tower.device)
        self.setting = setting
        self.prompt_features = self._encode_prompts()
        """(C, N, D), normalised."""
        self.local_scorer = local_scorer(setting.alignment)
        self._local_weight = torch.tensor([setting.inference.local_weight], device=self.tower.device)
        self._class_weights = self._describe(prompts)

    @torch.no_grad()
    def encode(self, images: Tensor, *, local: bool | None = None) -> ImageFeatures:
        """Frozen features of preprocessed images (n, 3, height, width); labels are all 0.

        Args:
            local: Whether local features are computed too; None where the logits need them.
        """
        wanted = uses_local(self.setting) if local is None else local
        pooled, patches = self.backbone.encode_images(images, self.setting.backbone.local_features if wanted else None)
        check_directions(pooled, "the features of the image tower")
        return ImageFeatures(pooled, patches, torch.zeros(len(pooled), dtype=torch.int64))

    def score(self, pixels: Tensor) -> Tensor:
        """Logits (n, C) of preprocessed images (n, 3, height, width)."""
        return self.logits(self.encode(pixels))

    @torch.no_grad()
    def logits(self, images: ImageFeatures) -> Tensor:
        """Logits (n, C), global, local and description terms as they are weighted at test."""
        chunks = [
            prompted_logits(
                chunk,
                self.prompt_features[None],
                self._class_weights,
                scale=self.tower.logit_scale,
                local_weight=self._local_weight,
                local_scorer=self.local_scorer,
            )[0][0]
            for chunk in images.chunks(IMAGES_AT_ONCE)
        ]
        return torch.cat(chunks) if chunks else torch.empty(0, len(self.class_names))

    @torch.no_grad()
    def _encode_prompts(self) -> Tensor:
        prompt, tokens = self.setting.prompt, name_tokens(self.backbone.tokenizer, self.class_names)
        check_prompt_lengths(self.tower, tokens, self.class_names, prompt.context_length)
        encoder = prompt_options(prompt, init=None).encoder(self.tower, tokens)
        features = encoder.encode(self.contexts[None])[0]
        check_directions(features, "the features of the learned prompts")
        return features

    def _describe(self, prompts: LearnedPrompts) -> Tensor:
        """(1, C, D): class features and the description term, as they are weighted at test."""
        on_device = partial(torch.tensor, device=self.tower.device)
        weight = on_device([self.setting.inference.description_weight])
        global_weight = on_device([global_weight_on(prompts.cell.dataset, self.setting.inference.global_weight)])
        descriptions = None
        if prompts.sentences is not None and bool(weight > 0):
            descriptions = mean_feature(*encode_bank(self.tower, prompts.sentences, self.class_names))
        return class_weights(self.prompt_features[None], global_weight, weight, descriptions)


def _check_class_names(prompts: LearnedPrompts, class_names: Sequence[str] | None) -> None:
    if class_names is None:
        return
    if not class_names or len(set(class_names)) != len(class_names):
        raise UserError("class names: give each class once, and at least one")
    if prompts.cell.setting.prompt.class_specific:
        raise UserError("these contexts are class-specific: they serve only the classes they were learned for")
    if prompts.sentences is not None:
        raise UserError("descriptions enter these prompts' logits, and other classes have none on record")
