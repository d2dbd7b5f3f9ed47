"""Which image files cannot be used as they lie: unreadable ones, and those that the field's loader spoils.

`Image.convert("RGB")` cuts wide grey values off at 255: a 16-bit photograph of values 8,000 to 12,000 comes out all
white, one of floats from 0 to 1 all but black (seen with Pillow 13.0, modes `I;16`, `I` and `F`). 16-bit colours keep
their upper bytes and are fine. `decode` keeps to that loader, which published numbers
rest on; a user's own images are refused, since only the user can say how to map their values to 8 bits.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dualpt.core.data.images import DECODERS, decode
from dualpt.core.data.splits import Item, listing
from dualpt.core.errors import UserError

WIDE_MODES = ("I", "F")
"""Pillow's modes of more than 8 bits start so: `I;16` and its byte orders, `I` (32 bits), `F` (32-bit floats)."""
JPEG = b"\xff\xd8"
"""First bytes of a file whose samples Pillow reads as 8 bits."""
SPOILT = "has grey values outside 0..255 (16 or 32 bits), which the field's loader cuts off, leaving white or black"
REMEDY = "save it with 8 bits per sample, its values mapped to 0..255"


@dataclass(frozen=True)
class ImageFaults:
    """What was found among some images, by path in the order given."""

    unreadable: tuple[str, ...]
    """Error lines of those that `decode` refuses."""
    spoilt: tuple[str, ...]
    """Those whose values the loader cuts off."""
    transparent: tuple[str, ...]
    """Those with transparent parts: the loader shows the colours beneath."""


def image_faults(
    image_root: Path, paths: Sequence[str], progress: Callable[[int, int], None] | None = None
) -> ImageFaults:
    """Decode every image, in parallel threads.

    Args:
        image_root: the folder that paths are relative to.
        paths: the images.
        progress: called with images decoded and images to decode.
    """
    unreadable, spoilt, transparent = [], [], []

    def look(path: str) -> str | tuple[bool, bool]:
        try:
            decode(image_root / path)
            return is_spoilt(image_root / path), _is_transparent(image_root / path)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(DECODERS) as pool:
        for number, (path, found) in enumerate(zip(paths, pool.map(look, paths), strict=True), start=1):
            if isinstance(found, str):
                unreadable.append(found)
            else:
                spoilt += [path] if found[0] else []
                transparent += [path] if found[1] else []
            if progress is not None:
                progress(number, len(paths))
    return ImageFaults(tuple(unreadable), tuple(spoilt), tuple(transparent))


def find_unreadable(image_root: Path, paths: Sequence[str]) -> list[str]:
    """Decode every image, and return the error lines of those that `decode` refuses, in order."""

    def fault(path: str) -> str | None:
        try:
            decode(image_root / path)
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(DECODERS) as pool:
        return [line for line in pool.map(fault, paths) if line is not None]


def is_spoilt(path: Path) -> bool:
    """Whether the loader cuts off values of an image; False for a file that cannot be read, which `decode` names."""
    import numpy as np

    try:
        with path.open("rb") as file:
            if file.read(len(JPEG)) == JPEG:
                return False
        with Image.open(path) as image:
            if not image.mode.startswith(WIDE_MODES):
                return False
            values = np.asarray(image)
    except Exception:  # Pillow's decoders raise anything from OSError to struct.error on damaged files
        return False
    low, high = float(values.min()), float(values.max())
    fractions = values.dtype.kind == "f" and high <= 1 and bool((values % 1).any())
    return not (low >= 0 and high <= 255) or fractions  # NaN is in no range


def _is_transparent(path: Path) -> bool:
    with Image.open(path) as image:
        if not image.has_transparency_data:
            return False
        alpha = image.convert("RGBA").getchannel("A").getextrema()
    return alpha[0] != 255


def check_depth(items: Iterable[Item], image_root: Path) -> None:
    """Refuse images that the loader spoils; reads little of most files.

    Raises:
        UserError: the images, the first three by name, and the remedy.
    """
    paths = list(dict.fromkeys(item.path for item in items))
    with ThreadPoolExecutor(DECODERS) as pool:
        wide = pool.map(lambda path: is_spoilt(image_root / path), paths)
        spoilt = [path for path, found in zip(paths, wide, strict=True) if found]
    if spoilt:
        raise UserError(f"{image_root}: {listing(spoilt)} {SPOILT}; {REMEDY}")


def decode_faithfully(path: Path) -> Image.Image:
    """Read a user's own image file as RGB.

    Raises:
        UserError: the file cannot be read, or the loader spoils it.
    """
    image = decode(path)
    if is_spoilt(path):
        raise UserError(f"{path}: {SPOILT}; {REMEDY}")
    return image
