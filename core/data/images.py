"""From an image file to the tensor a tower sees, as the field's loader does it.

That loader is `PIL.Image.open(path).convert("RGB")`: no EXIF rotation, and conversion before resizing, which makes
palette and grey images RGB first. The content and not the extension says which file type it is. What the loader spoils
is found by `image_faults`. Torch is loaded where an image becomes a tensor, and not to read files.
"""

import os
import random
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from math import exp, log, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from PIL import Image, UnidentifiedImageError

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.regular import check_regular

if TYPE_CHECKING:
    from torch import Tensor

CROP_AREA = (0.08, 1.0)
"""Share of the image's area that a random crop takes, smallest and largest."""
MIN_CROP_AREA = CROP_AREA[0]
CROP_ASPECT = (3 / 4, 4 / 3)
"""Width / height of a random crop, smallest and largest."""
CROP_ATTEMPTS = 10

DECODERS = max(2, min(16, os.cpu_count() or 2))
"""Threads that read, decode and resize images; Pillow works outside Python's lock."""

# The field's loader ignores the transparency of such images, and so does `decode`.
warnings.filterwarnings("ignore", "Palette images with Transparency", UserWarning)


def decode(path: Path) -> Image.Image:
    """Read an image file as RGB.

    Raises:
        UserError: the file is missing, truncated, or not an image.
    """
    check_regular(path, "replace it by an image")
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"{path}: image missing; complete the images or set data.root") from None
    except UnidentifiedImageError:
        raise UserError(f"{path}: not a readable image (of no format that Pillow knows); replace the file") from None
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error on damaged files
        fault = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"{path}: not a readable image ({fault}); replace the file") from None


class View(NamedTuple):
    """One way of cropping and flipping every image at random."""

    number: int
    min_area: float = MIN_CROP_AREA
    """Smallest share of the image's area that the crop takes."""

    @property
    def title(self) -> str:
        """`view-003`; with the smallest area where that is not the field's."""
        return f"view-{self.number:03d}" + ("" if self.min_area == MIN_CROP_AREA else f"-area-{self.min_area:g}")


@dataclass(frozen=True)
class Preprocess:
    """How images become (3, height, width) tensors for one backbone."""

    size: tuple[int, int]
    """Height and width in pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"

    @property
    def fingerprint(self) -> str:
        """What features depend on besides the weights."""
        return fingerprint([asdict(self), CROP_AREA, CROP_ASPECT, CROP_ATTEMPTS])

    def plain(self, image: Image.Image) -> "Tensor":
        """Resize and centre-crop, as at test: open_clip's own transform.

        Shape: (3, height, width) float32.
        """
        return self._plain(image)

    def view(self, image: Image.Image, seed: str, min_area: float = MIN_CROP_AREA) -> "Tensor":
        """Random resized crop and flip, as in CoOp's training; equal seeds give equal views on every machine.

        Args:
            min_area: smallest share of the image's area that the crop takes.

        Shape: (3, height, width) float32.
        """
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms import functional as transforms

        generator = random.Random(seed)
        left, top, width, height = crop_box(image.width, image.height, generator, min_area)
        crop = transforms.resized_crop(
            image, top, left, height, width, list(self.size), InterpolationMode(self.interpolation)
        )
        if generator.random() < 0.5:
            crop = transforms.hflip(crop)
        tensor: Tensor = transforms.normalize(transforms.to_tensor(crop), list(self.mean), list(self.std))
        return tensor

    @cached_property
    def _plain(self) -> "Callable[[Image.Image], Tensor]":
        from open_clip.transform import image_transform

        transform: Callable[[Image.Image], Tensor] = image_transform(
            self.size,
            is_train=False,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
            resize_mode=self.resize_mode,
        )
        return transform


def crop_box(
    width: int, height: int, generator: random.Random, min_area: float = MIN_CROP_AREA
) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels of a random crop, by torchvision's `RandomResizedCrop` rule.

    That transform draws from torch's global generator, which would tie a view to everything drawn before it.
    """
    for _ in range(CROP_ATTEMPTS):
        area = width * height * generator.uniform(min_area, CROP_AREA[1])
        aspect = exp(generator.uniform(log(CROP_ASPECT[0]), log(CROP_ASPECT[1])))
        crop_width, crop_height = round(sqrt(area * aspect)), round(sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = generator.randint(0, width - crop_width)
            top = generator.randint(0, height - crop_height)
            return left, top, crop_width, crop_height
    # Too long or too wide an image: its largest centred part of an allowed aspect.
    crop_width = min(width, round(height * CROP_ASPECT[1]))
    crop_height = min(height, round(width / CROP_ASPECT[0]))
    return (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height
