"""A classifier from learned prompts: the way from a result back to use.

    prompts = load_prompts("contexts.safetensors")
    classifier = PromptClassifier(prompts)

It gives the logits that `training.evaluate` judged the cell by. Shapes: n images, C classes, N prompts per class, L
context tokens, W text width, P patches, K descriptions per class, D joint width.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.clip.feature_checks import check_directions
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config import uses_local
from dualpt.core.data.checking.image_faults import decode_faithfully
from dualpt.core.data.images import DECODERS
from dualpt.core.descriptions.reading import encode_bank, name_tokens
from dualpt.core.errors import UserError
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.learned.scorers import local_scorer
from dualpt.core.prompts.encoder import PromptEncoder, check_prompt_lengths
from dualpt.core.training.alignment import mean_feature
from dualpt.core.training.evaluate import class_weights, prompted_logits

IMAGES_AT_ONCE = 64
"""Images decoded and encoded together; bounds memory, not results."""

Scored: TypeAlias = "tuple[Path, Tensor | UserError]"
"""An image with its logits (C,) on the CPU, or with the reason why it could not be read."""


@dataclass(frozen=True)
class ClassScore:
    """One class of a prediction."""

    name: str
    label: int
    probability: float
    """Softmax of the logits over all classes of the classifier, 0..1."""


class PromptClassifier:
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
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        _check_class_names(prompts, class_names)
        self.backbone: Backbone = load_backbone(section.name, section.pretrained, section.precision, device)
        if self.backbone.weights_fingerprint != prompts.weights:
            raise UserError(
                f"backbone.pretrained: the prompts were learned with other weights of {section.name} (SHA-256 "
                f"{prompts.weights[:16]}…, found {self.backbone.weights_fingerprint[:16]}…); name the ones they were "
                "learned with as backbone.pretrained=FILE"
            )
        self.tower = TextTower(self.backbone.model, self.backbone.tokenizer)
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

    def score_files(
        self, paths: Sequence[Path], progress: Callable[[int, int], None] | None = None
    ) -> Iterator[Scored]:
        """Logits of image files, in the given order; a file that cannot be read comes with its reason instead.

        Args:
            progress: Called with images done and images in all.
        """
        for start in range(0, len(paths), IMAGES_AT_ONCE):
            part = paths[start : start + IMAGES_AT_ONCE]
            with ThreadPoolExecutor(DECODERS) as pool:
                tensors = list(pool.map(self._read, part))
            sound = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
            rows = iter(self.logits(self.encode(torch.stack(sound))).cpu()) if sound else iter(())
            for path, tensor in zip(part, tensors, strict=True):
                yield path, tensor if isinstance(tensor, UserError) else next(rows)
            if progress is not None:
                progress(start + len(part), len(paths))

    def best(self, logits: Tensor, top: int) -> list[ClassScore]:
        """The most probable classes of one image's logits (C,), best first; `top` is cut to C."""
        probabilities, labels = logits.float().softmax(-1).topk(min(top, len(self.class_names)))
        pairs = zip(labels.tolist(), probabilities.tolist(), strict=True)
        return [ClassScore(self.class_names[label], label, probability) for label, probability in pairs]

    def _read(self, path: Path) -> Tensor | UserError:
        try:
            return self.backbone.preprocess.plain(decode_faithfully(path))
        except UserError as error:
            return error

    @torch.no_grad()
    def _encode_prompts(self) -> Tensor:
        prompt, tokens = self.setting.prompt, name_tokens(self.backbone.tokenizer, self.class_names)
        check_prompt_lengths(self.tower, tokens, self.class_names, prompt.context_length)
        encoder = PromptEncoder(
            self.tower,
            tokens,
            context_length=prompt.context_length,
            class_token_position=prompt.class_token_position,
            class_specific=prompt.class_specific,
        )
        features = encoder.encode(self.contexts[None])[0]
        check_directions(features, "the features of the learned prompts")
        return features

    def _describe(self, prompts: LearnedPrompts) -> Tensor:
        """(1, C, D): class features with the description term, where it has a weight at test."""
        weight = torch.tensor([self.setting.inference.description_weight], device=self.tower.device)
        descriptions = None
        if prompts.sentences is not None and bool(weight > 0):
            descriptions = mean_feature(*encode_bank(self.tower, prompts.sentences, self.class_names))
        return class_weights(self.prompt_features[None], weight, descriptions)


def _check_class_names(prompts: LearnedPrompts, class_names: Sequence[str] | None) -> None:
    if class_names is None:
        return
    if not class_names or len(set(class_names)) != len(class_names):
        raise UserError("class names: give each class once, and at least one")
    if prompts.cell.setting.prompt.class_specific:
        raise UserError("these contexts are class-specific: they serve only the classes they were learned for")
    if prompts.sentences is not None:
        raise UserError("descriptions enter these prompts' logits, and other classes have none on record")
