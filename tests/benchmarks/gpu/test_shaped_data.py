"""A data root of real class lists: names that make the real numbers of tokens, and as many images as are published."""

from PIL import Image

from benchmarks.class_shapes import in_words, real_class_shapes
from benchmarks.gpu.shaped_data import write_shaped_root
from dualpt.core.clip.tokenizer import tokenizer_of
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.readers import read_split


def test_names_in_words_have_the_shapes_of_the_real_ones():
    tokenizer = tokenizer_of(None)
    for name in ("EuroSAT", "StanfordCars"):
        shapes = real_class_shapes()[name]
        words: dict[int, int] = {}
        for shape, text in zip(shapes, in_words(shapes, tokenizer), strict=True):
            tokens = tokenizer.encode(text)
            assert len(tokens) == len(shape)
            assert all(words.setdefault(made_up, token) == token for made_up, token in zip(shape, tokens, strict=True))
        assert len(set(words.values())) == len(words)


def test_a_shaped_dataset_reads_like_any_other(tmp_path):
    assert write_shaped_root(tmp_path, datasets=["EuroSAT", "ImageNet"], longest=3, tested=5) == [
        "shaped-EuroSAT",
        "shaped-ImageNet",
    ]
    info = dataset_info("shaped-EuroSAT", tmp_path)
    split = read_split(info, tmp_path)
    assert (len(split.class_names), len(split.train), len(split.val), len(split.test)) == (3, 60, 12, 5)
    assert not read_split(dataset_info("shaped-ImageNet", tmp_path), tmp_path).val  # the field's has none
    pixels = [Image.open(info.image_root(tmp_path) / item.path).getpixel((0, 0)) for item in split.train[:2]]
    assert pixels[0] != pixels[1]
