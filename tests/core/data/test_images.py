"""Images become the pixels that the field's loader gives, and random views are the same on every machine."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from dualpt.core.data.images import CROP_AREA, CROP_ASPECT, Preprocess, crop_box, decode
from dualpt.core.errors import UserError

CLIP = Preprocess((224, 224), (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def photograph(width: int = 60, height: int = 40) -> Image.Image:
    """Smooth colours, so that lossy formats change little."""
    y, x = np.mgrid[0:height, 0:width]
    channels = np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256], axis=-1)
    return Image.fromarray(channels.astype(np.uint8))


def save_cmyk(path: Path) -> None:
    photograph().convert("CMYK").save(path, "JPEG")


def save_grey(path: Path) -> None:
    photograph().convert("L").save(path, "JPEG")


def save_palette(path: Path) -> None:
    photograph().convert("P", palette=Image.Palette.ADAPTIVE).save(path, "PNG")


def save_palette_with_transparency(path: Path) -> None:
    photograph().convert("P", palette=Image.Palette.ADAPTIVE).save(path, "PNG", transparency=3)


def save_alpha(path: Path) -> None:
    picture = photograph().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(path, "PNG")


def save_one_bit(path: Path) -> None:
    photograph().convert("1").save(path, "PNG")


def save_16_bit(path: Path) -> None:
    Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27).save(path, "PNG")


def save_rotated_by_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    photograph().save(path, "JPEG", exif=exif)


def save_gif(path: Path) -> None:
    photograph().save(path, "GIF")


def save_animation(path: Path) -> None:
    photograph().save(path, "GIF", save_all=True, append_images=[photograph().rotate(180)])


def save_mpo(path: Path) -> None:
    """As stereo cameras and telephones write it: several JPEGs in one file, the first of which counts."""
    photograph().save(path, "MPO", save_all=True, append_images=[photograph().rotate(180)])


def save_cmyk_tiff(path: Path) -> None:
    photograph().convert("CMYK").save(path, "TIFF")


def save_grey_with_alpha(path: Path) -> None:
    picture = photograph().convert("LA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(path, "PNG")


def save_16_bit_rgb(path: Path) -> None:
    """Pillow writes no such PNG; two bytes a channel, most significant first."""
    samples = (np.asarray(photograph()).astype(">u2") * 257).tobytes()
    rows = b"".join(b"\0" + samples[start : start + 360] for start in range(0, len(samples), 360))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def save_float(path: Path) -> None:
    Image.fromarray(np.linspace(0, 300, 2400, dtype=np.float32).reshape(40, 60)).save(path, "TIFF")


def save_webp(path: Path) -> None:
    photograph().save(path, "WEBP", lossless=True)


def save_bmp(path: Path) -> None:
    photograph().save(path, "BMP")


def save_with_broken_exif(path: Path) -> None:
    photograph().save(path, "JPEG", exif=b"Exif\0\0not a directory")


def save_one_pixel_wide(path: Path) -> None:
    photograph(1, 90).save(path, "PNG")


def save_one_pixel_high(path: Path) -> None:
    photograph(90, 1).save(path, "PNG")


def save_one_pixel(path: Path) -> None:
    photograph(1, 1).save(path, "PNG")


ODD_IMAGES = [
    save_cmyk,
    save_grey,
    save_palette,
    save_palette_with_transparency,
    save_alpha,
    save_one_bit,
    save_16_bit,
    save_rotated_by_exif,
    save_gif,
    save_animation,
    save_mpo,
    save_cmyk_tiff,
    save_grey_with_alpha,
    save_16_bit_rgb,
    save_float,
    save_webp,
    save_bmp,
    save_with_broken_exif,
    save_one_pixel_wide,
    save_one_pixel_high,
    save_one_pixel,
]


@pytest.mark.parametrize("save", ODD_IMAGES)
def test_odd_images_give_the_pixels_of_the_fields_loader(tmp_path: Path, save) -> None:
    path = tmp_path / "image.jpg"  # whatever it is: the content says so, not the extension
    save(path)
    picture = decode(path)
    expected = Image.open(path).convert("RGB")
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture), np.asarray(expected))

    tensor = CLIP.plain(picture)
    config = PreprocessCfg(size=224, mean=CLIP.mean, std=CLIP.std)
    assert torch.equal(tensor, image_transform_v2(config, is_train=False)(expected))
    assert tensor.shape == (3, 224, 224)
    assert tensor.isfinite().all()
    assert CLIP.view(picture, "seed").shape == (3, 224, 224)


def test_16_bit_colours_keep_their_upper_bytes(tmp_path: Path) -> None:
    save_16_bit_rgb(tmp_path / "image.png")
    assert np.array_equal(np.asarray(decode(tmp_path / "image.png")), np.asarray(photograph()))


def test_the_first_picture_of_several_counts(tmp_path: Path) -> None:
    save_mpo(tmp_path / "image.jpg")
    with Image.open(tmp_path / "image.jpg") as several:
        assert several.format == "MPO"
    assert np.abs(np.asarray(decode(tmp_path / "image.jpg")).astype(int) - np.asarray(photograph())).max() < 40


def test_exif_rotation_is_ignored_as_in_the_field(tmp_path: Path) -> None:
    save_rotated_by_exif(tmp_path / "image.jpg")
    assert decode(tmp_path / "image.jpg").size == (60, 40)


def truncated(path: Path) -> None:
    photograph(300, 300).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:2000])


def empty(path: Path) -> None:
    path.touch()


def a_web_page(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


def header_only(path: Path) -> None:
    photograph().save(path, "PNG")
    path.write_bytes(path.read_bytes()[:40])


def a_png_that_claims_a_billion_pixels(path: Path) -> None:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)))


def truncated_png(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:9000])


def truncated_gif(path: Path) -> None:
    photograph(200, 200).save(path, "GIF")
    path.write_bytes(path.read_bytes()[:900])


def a_vector_drawing(path: Path) -> None:
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        truncated_png,
        truncated_gif,
        a_vector_drawing,
        a_folder,
        empty,
        a_web_page,
        header_only,
        a_png_that_claims_a_billion_pixels,
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path: Path, damage) -> None:
    damage(tmp_path / "broken.jpg")
    with pytest.raises(UserError) as caught:
        decode(tmp_path / "broken.jpg")
    said = "is a folder and cannot be read" if damage is a_folder else "not a readable image ("
    assert str(caught.value).startswith(f"{tmp_path / 'broken.jpg'}: {said}")
    assert "\n" not in str(caught.value)


def test_views_depend_on_the_seed_alone() -> None:
    picture = photograph(200, 150)
    first = CLIP.view(picture, "a:0")
    random.seed(9)
    torch.manual_seed(9)
    assert torch.equal(first, CLIP.view(picture, "a:0"))
    assert not torch.equal(first, CLIP.view(picture, "a:1"))
    assert not torch.equal(first, CLIP.view(picture, "b:0"))


def test_views_do_not_change_between_versions() -> None:
    """Stored views of another machine or year must be those of today."""
    boxes = [crop_box(500, 375, random.Random(f"golden:{i}")) for i in range(3)]
    assert boxes == GOLDEN_BOXES


GOLDEN_BOXES = [(81, 73, 235, 231), (102, 54, 287, 270), (264, 35, 214, 216)]


def test_crops_have_the_fields_distribution() -> None:
    """Area, aspect and place agree with torchvision's RandomResizedCrop over many draws."""
    torch.manual_seed(0)
    image = Image.new("RGB", (500, 375))
    generator = random.Random("crops")
    ours = np.array([crop_box(500, 375, generator) for _ in range(6000)], dtype=float)
    theirs = np.array([RandomResizedCrop.get_params(image, CROP_AREA, CROP_ASPECT) for _ in range(6000)], dtype=float)
    theirs = theirs[:, [1, 0, 3, 2]]  # top, left, height, width
    assert np.allclose(ours.mean(0), theirs.mean(0), atol=6)
    assert np.allclose(ours.std(0), theirs.std(0), atol=6)
    area = ours[:, 2] * ours[:, 3] / (500 * 375)
    assert 0.075 < area.min() < 0.1
    assert area.max() > 0.9


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 900), (900, 1), (7, 3), (3000, 10)])
def test_crops_of_extreme_shapes_stay_inside(width: int, height: int) -> None:
    for seed in range(50):
        left, top, crop_width, crop_height = crop_box(width, height, random.Random(seed))
        assert 0 <= left <= left + crop_width <= width
        assert 0 <= top <= top + crop_height <= height
        assert crop_width > 0
        assert crop_height > 0


def test_preprocessing_has_a_fingerprint() -> None:
    assert CLIP.fingerprint == Preprocess(CLIP.size, CLIP.mean, CLIP.std).fingerprint
    assert CLIP.fingerprint != Preprocess((240, 240), CLIP.mean, CLIP.std).fingerprint
    assert CLIP.fingerprint != Preprocess(CLIP.size, CLIP.mean, CLIP.std, "bilinear").fingerprint
