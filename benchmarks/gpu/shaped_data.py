"""A data root with the eleven datasets' class lists and numbers of images, and nothing in the images.

Each dataset is registered as the user's own, with a split file like the field's. Its images are single pixels of
different colours: they are drawn, hashed, encoded and stored as photographs are, but decode at once.
"""

import json
import struct
import zlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import yaml

from benchmarks.class_shapes import in_words, real_class_shapes
from dualpt.core.clip.tokenizer import tokenizer_of
from dualpt.core.data.catalog import dataset_info

PREFIX = "shaped-"
"""Before the name of the dataset whose shape one has."""
SHOTS = (1, 2, 4, 8, 16)
TRAIN, VAL = 20, 4
"""Training and validation images per class, of which at most 16 and 4 are drawn."""


def write_shaped_root(
    root: Path, *, datasets: Sequence[str] | None = None, longest: int | None = None, tested: int | None = None
) -> list[str]:
    """Write the data root.

    Args:
        root: An existing folder.
        datasets: Real datasets by registry name; None for all eleven.
        longest: Class lists are cut to this; None leaves them complete.
        tested: Test images of each are cut to this; None leaves as many as are published.

    Returns:
        The names of the datasets in the root.
    """
    tokenizer, colour, entries = tokenizer_of(None), count(), {}
    for name, shapes in real_class_shapes().items():
        if datasets is not None and name not in datasets:
            continue
        folder, (_, n_val, n_test) = root / name, dataset_info(name).n_images or (0, 0, 0)
        classes = in_words(shapes[:longest], tokenizer)
        n_test = max(len(classes), min(n_test, tested or n_test))
        sizes = {"train": TRAIN * len(classes), "val": VAL * len(classes) if n_val else 0, "test": n_test}
        split = {}
        for part, size in sizes.items():
            (folder / part).mkdir(parents=True)
            split[part] = [(f"{part}/{i:06d}.png", i % len(classes), classes[i % len(classes)]) for i in range(size)]
            for path, _, _ in split[part]:
                (folder / path).write_bytes(_pixel(next(colour)))
        (folder / "split.json").write_text(json.dumps(split))
        entries[f"{PREFIX}{name}"] = {"folder": name, "split": "split.json", "template": dataset_info(name).template}
    (root / "datasets.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
    return list(entries)


def _pixel(number: int) -> bytes:
    """A PNG of one pixel, whose 24 bits of colour are `number`."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)  # one pixel of three 8-bit channels
    row = b"\0" + number.to_bytes(3, "big")
    parts = {b"IHDR": header, b"IDAT": zlib.compress(row), b"IEND": b""}
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
