"""What turns image files into classes, whatever was learned: the frozen CLIP, and the classes by name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.config.sections import BackboneSection
from dualpt.core.data.checking.image_faults import decode_faithfully
from dualpt.core.data.images import DECODERS
from dualpt.core.errors import UserError
from dualpt.core.provenance import IMPORTED

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


class ImageClassifier(ABC):
    """Classifies image files."""

    backbone: Backbone
    class_names: tuple[str, ...]

    @abstractmethod
    def score(self, pixels: Tensor) -> Tensor:
        """Logits (n, C) of preprocessed images (n, 3, height, width)."""

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
            rows = iter(self.score(torch.stack(sound)).cpu()) if sound else iter(())
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


def open_backbone(section: BackboneSection, weights: str, what: str, device: str) -> Backbone:
    """The frozen CLIP that something was learned with.

    Args:
        weights: SHA-256 of its weights.
        what: was learned, in words.
        device: a torch device, or `auto` for a GPU where there is one.

    Raises:
        UserError: it is missing, has other weights, or isn't known.
    """
    if weights.startswith(IMPORTED):
        raise UserError(
            f"data.features: {what} learned on imported features whose weights, or norms where the method reads raw "
            "ones, aren't known; import them with --weights (and norms), or learn on images"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = load_backbone(section.name, section.pretrained, section.precision, device)
    if backbone.weights_fingerprint != weights:
        raise UserError(
            f"backbone.pretrained: {what} learned with other weights of {section.name} (SHA-256 {weights[:16]}…, found "
            f"{backbone.weights_fingerprint[:16]}…); name the ones used then as backbone.pretrained=FILE"
        )
    return backbone
