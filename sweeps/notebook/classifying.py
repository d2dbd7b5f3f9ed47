"""What a cell learned as a classifier of arrays, images and image files, in the manner of scikit-learn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dualpt.core.errors import UserError
from dualpt.sweeps.notebook.arguments import naming_arguments

if TYPE_CHECKING:
    from torch import Tensor

    from dualpt.core.learned.fitted import LearnedClassifier
    from dualpt.core.learned.prompts import LearnedPrompts

ImageLike: TypeAlias = "str | Path | Image.Image | NDArray[np.uint8]"
"""A file, a Pillow image, or an array (height, width, 3), grey (height, width), of uint8."""
Images: TypeAlias = "ImageLike | Sequence[ImageLike]"
"""One or several; an array (n, height, width, 3) holds n."""


@naming_arguments
def load_classifier(
    path: str | Path, *, classes: Sequence[str] | None = None, device: str = "auto", **settings: Any
) -> "Classifier":
    """The classifier that a file holds, as `dualpt train --save` writes one and every trained cell has one.

    Args:
        path: the `.safetensors` file.
        classes: other classes than those learned for, where what was learned serves any names.
        device: a torch device, or `auto` for a GPU where there is one.
        settings: where things lie on this machine: `data__root`, `backbone__pretrained`, `descriptions__bank`.

    Raises:
        UserError: the file is missing or not such a file, or the backbone's weights are not here.
    """
    from dualpt.sweeps.tools.predict import learned_in

    return Classifier(learned_in(Path(path), dotted(settings)), classes=classes, device=device)


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments as keys of the setting: `optim__epochs` is `optim.epochs`, which Python would not take.

    Raises:
        UserError: a key is given in both spellings.
    """
    found: dict[str, Any] = {}
    for word, value in values.items():
        key = word.replace("__", ".")
        if key in found:
            raise UserError(f"{key} is given twice, once as '{word}'; keep one of them")
        found[key] = list(value) if isinstance(value, tuple | range) else value
    return found


class Classifier:
    """Classifies images by what a cell learned, as that cell was judged."""

    def __init__(
        self,
        learned: "LearnedPrompts | LearnedClassifier",
        *,
        classes: Sequence[str] | None = None,
        device: str = "auto",
    ) -> None:
        """
        Raises:
            UserError: as `PromptClassifier` and `FeatureClassifier` of `dualpt.core.learned`.
        """
        from dualpt.sweeps.tools.predict import classifier_of

        self._classifier = classifier_of(learned, classes, device)
        self.classes: tuple[str, ...] = self._classifier.class_names
        """By label."""
        self.dataset: str = learned.cell.dataset
        """What it was learned on."""

    def __repr__(self) -> str:
        return f"<Classifier of {len(self.classes)} classes, learned on {self.dataset}>"

    def predict(self, images: Images) -> NDArray[np.str_]:
        """The most probable class of each image.

        Returns:
            Names, (n,); one image is n = 1.

        Raises:
            UserError: an image that cannot be read, or an array that is not one of images.
        """
        names: NDArray[np.str_] = np.asarray(self.classes)
        found: NDArray[np.str_] = names[self.predict_proba(images).argmax(axis=1)]
        return found

    def predict_proba(self, images: Images) -> NDArray[np.float32]:
        """Probabilities of all classes, the softmax of the logits that cells are judged by.

        Returns:
            (n, C), the classes in the order of `classes`.

        Raises:
            UserError: as `predict`.
        """
        from dualpt.core.learned.image_classifier import IMAGES_AT_ONCE

        listed = _listed(images)
        parts = [self._probabilities(listed[i : i + IMAGES_AT_ONCE]) for i in range(0, len(listed), IMAGES_AT_ONCE)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)), np.float32)

    def top(self, images: Images, k: int = 3) -> pd.DataFrame:
        """The `k` most probable classes of each image: `image` (its place), `rank` from 1 on, `name`, `probability`.

        Raises:
            UserError: as `predict`.
        """
        found = self.predict_proba(images)
        order = np.argsort(-found, axis=1, kind="stable")[:, :k]
        rows = [
            (image, rank, self.classes[label], float(found[image, label]))
            for image, labels in enumerate(order)
            for rank, label in enumerate(labels, start=1)
        ]
        return pd.DataFrame(rows, columns=["image", "rank", "name", "probability"])

    def _probabilities(self, images: "Sequence[ImageLike]") -> NDArray[np.float32]:
        import torch

        tensors = torch.stack([self._tensor(image, place) for place, image in enumerate(images)])
        logits: Tensor = self._classifier.score(tensors)
        found: NDArray[np.float32] = logits.float().softmax(-1).cpu().numpy()
        return found

    def _tensor(self, image: "ImageLike", place: int) -> "Tensor":
        return self._classifier.backbone.preprocess.plain(_as_rgb(image, place))


def _listed(images: Images) -> "list[ImageLike]":
    if isinstance(images, str | Path | Image.Image):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim < 4:
        return [images]
    return list(images)


def _as_rgb(image: "ImageLike", place: int) -> Image.Image:
    """An image as the loader of files gives it.

    Raises:
        UserError: an unreadable file, or values that are not 8-bit samples.
    """
    from dualpt.core.data.checking.image_faults import REMEDY, SPOILT, WIDE_MODES, decode_faithfully

    if isinstance(image, str | Path):
        return decode_faithfully(Path(image))
    if isinstance(image, np.ndarray):
        return _from_array(image, place)
    if not isinstance(image, Image.Image):
        kind = type(image).__name__
        raise UserError(f"image {place}: expected a path, a Pillow image or an array of uint8, found {kind}")
    if image.mode.startswith(WIDE_MODES):
        raise UserError(f"image {place} (mode {image.mode}) {SPOILT}; {REMEDY}")
    return image.convert("RGB")


def _from_array(values: "NDArray[Any]", place: int) -> Image.Image:
    if values.dtype != np.uint8:
        raise UserError(
            f"image {place}: values of {values.dtype}; give uint8 from 0 to 255 "
            "(for fractions: (255 * x).round().astype('uint8'))"
        )
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)) or 0 in values.shape:
        raise UserError(f"image {place}: shape {values.shape}; give (height, width, 3), or (height, width) for grey")
    return Image.fromarray(values).convert("RGB")
