"""Images that the field's loader spoils are told from those that it reads well, mode by mode."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpt.core.data.checking.image_faults import (
    check_depth,
    decode_faithfully,
    find_unreadable,
    image_faults,
    is_spoilt,
)
from dualpt.core.data.images import decode
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError
from tests.core.data.test_images import (
    save_16_bit_rgb,
    save_alpha,
    save_bmp,
    save_cmyk,
    save_cmyk_tiff,
    save_grey,
    save_grey_with_alpha,
    save_one_bit,
    save_palette,
    save_palette_with_transparency,
    truncated,
)

DEEP = np.arange(8000, 12_094, dtype=np.uint16)[:4080].reshape(60, 68)
"""Values of a 16-bit camera: all above 255."""


def save_pgm(path: Path) -> None:
    path.write_bytes(b"P5\n68 60\n65535\n" + DEEP.astype(">u2").tobytes())


SPOILT = {
    "16-bit PNG": lambda path: Image.fromarray(DEEP).save(path, "PNG"),
    "16-bit TIFF": lambda path: Image.fromarray(DEEP).save(path, "TIFF"),
    "16-bit TIFF, high byte first": lambda path: Image.frombytes("I;16B", (68, 60), DEEP.astype(">u2").tobytes()).save(
        path, "TIFF"
    ),
    "32-bit TIFF": lambda path: Image.fromarray(DEEP.astype(np.int32) * 100).save(path, "TIFF"),
    "32-bit TIFF below zero": lambda path: Image.fromarray(DEEP.astype(np.int32) - 8100).save(path, "TIFF"),
    "16-bit PGM": save_pgm,
    "floats from 0 to 1": lambda path: Image.fromarray((DEEP / 12_094).astype(np.float32)).save(path, "TIFF"),
    "floats above 255": lambda path: Image.fromarray(DEEP.astype(np.float32)).save(path, "TIFF"),
    "floats, some of them NaN": lambda path: Image.fromarray(np.where(DEEP > 9000, np.nan, 7).astype(np.float32)).save(
        path, "TIFF"
    ),
}

FINE = {
    "16-bit PNG of small values": lambda path: Image.fromarray(DEEP % 256).save(path, "PNG"),
    "32-bit TIFF of small values": lambda path: Image.fromarray((DEEP % 256).astype(np.int32)).save(path, "TIFF"),
    "floats from 0 to 255": lambda path: Image.fromarray((DEEP % 256).astype(np.float32)).save(path, "TIFF"),
    "a mask of floats": lambda path: Image.fromarray((DEEP % 2).astype(np.float32)).save(path, "TIFF"),
    "16-bit colours": save_16_bit_rgb,
    "CMYK": save_cmyk,
    "CMYK in a TIFF": save_cmyk_tiff,
    "grey": save_grey,
    "grey with alpha": save_grey_with_alpha,
    "palette": save_palette,
    "palette with transparency": save_palette_with_transparency,
    "alpha": save_alpha,
    "one bit": save_one_bit,
    "BMP": save_bmp,
}


@pytest.mark.parametrize("kind", SPOILT)
def test_values_that_are_cut_off(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.jpg"  # the content says what it is
    SPOILT[kind](path)
    assert is_spoilt(path)
    assert len(np.unique(np.asarray(decode(path)))) <= 256 // 2 or "below zero" in kind  # what the field would see
    with pytest.raises(UserError, match=r"has grey values outside 0..255 .*; save it with 8 bits per sample"):
        decode_faithfully(path)
    with pytest.raises(UserError, match=r"image.jpg has grey values"):
        check_depth([Item("image.jpg", 0, "a")], tmp_path)


@pytest.mark.parametrize("kind", FINE)
def test_values_that_are_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.png"
    FINE[kind](path)
    assert not is_spoilt(path)
    assert np.array_equal(np.asarray(decode_faithfully(path)), np.asarray(Image.open(path).convert("RGB")))
    check_depth([Item("image.png", 0, "a")], tmp_path)


def test_a_16_bit_photograph_is_white_to_the_fields_loader(tmp_path: Path) -> None:
    """Which is why it is refused: `decode` itself stays the loader that published numbers are of."""
    Image.fromarray(DEEP).save(tmp_path / "image.png")
    assert set(np.asarray(decode(tmp_path / "image.png")).flat) == {255}


def test_all_faults_of_a_folder_are_found(tmp_path: Path) -> None:
    save_grey(tmp_path / "good.jpg")
    truncated(tmp_path / "bad.jpg")
    Image.fromarray(DEEP).save(tmp_path / "deep.png")
    save_alpha(tmp_path / "glass.png")
    Image.new("RGBA", (4, 4), (9, 9, 9, 255)).save(tmp_path / "opaque.png")
    steps: list[tuple[int, int]] = []
    paths = ["good.jpg", "bad.jpg", "gone.jpg", "deep.png", "glass.png", "opaque.png"]
    found = image_faults(tmp_path, paths, lambda done, total: steps.append((done, total)))
    assert [line.partition(":")[0] for line in found.unreadable] == [str(tmp_path / p) for p in ("bad.jpg", "gone.jpg")]
    assert (found.spoilt, found.transparent) == (("deep.png",), ("glass.png",))
    assert steps[-1] == (6, 6)
    assert find_unreadable(tmp_path, paths) == list(found.unreadable)


@pytest.mark.timeout(20)
def test_a_named_pipe_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "image.jpg")
    with pytest.raises(UserError, match=r"image.jpg: is a named pipe and cannot be read as a file"):
        decode(tmp_path / "image.jpg")
