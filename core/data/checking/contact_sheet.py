"""A contact sheet: a few images of each class beside its name, to see at a glance what a dataset holds."""

from collections import defaultdict
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dualpt.core.data.images import decode
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError

THUMBNAIL = 96
"""Side of a thumbnail in pixels."""
GAP = 4
CAPTION = 18
"""Height of a class name in pixels."""
BACKGROUND, INK, DAMAGED = (255, 255, 255), (20, 20, 20), (200, 60, 60)


def contact_sheet(
    image_root: Path, items: Sequence[Item], class_names: Sequence[str], per_class: int
) -> tuple[Image.Image, list[str]]:
    """Draw the first images of each class in the order of `items`; a red square stands for one that cannot be read.

    Returns:
        The sheet, and the error lines of images that could not be read.
    """
    chosen: defaultdict[int, list[Item]] = defaultdict(list)
    for item in items:
        if item.label < len(class_names) and len(chosen[item.label]) < per_class:
            chosen[item.label].append(item)
    width, height = per_class * (THUMBNAIL + GAP) + GAP, CAPTION + THUMBNAIL + 2 * GAP
    n_columns = max(1, round(sqrt(len(class_names) * height / width)))
    n_rows = ceil(len(class_names) / n_columns)
    sheet = Image.new("RGB", (n_columns * width, n_rows * height), BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    faults: list[str] = []
    for label, name in enumerate(class_names):
        left, top = label // n_rows * width + GAP, label % n_rows * height + GAP
        pen.text((left, top), _fitting(f"{label} {name}", font, width - 2 * GAP), fill=INK, font=font)
        for place, item in enumerate(chosen[label]):
            thumbnail = _thumbnail(image_root / item.path, faults)
            sheet.paste(thumbnail, (left + place * (THUMBNAIL + GAP), top + CAPTION))
    return sheet, faults


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, cut where it would run into the next class."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _thumbnail(path: Path, faults: list[str]) -> Image.Image:
    try:
        image = decode(path)
    except UserError as error:
        faults.append(str(error))
        return Image.new("RGB", (THUMBNAIL, THUMBNAIL), DAMAGED)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    framed = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (235, 235, 235))
    framed.paste(image, ((THUMBNAIL - image.width) // 2, (THUMBNAIL - image.height) // 2))
    return framed
