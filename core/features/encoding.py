"""From image files to stored features: decoding, encoding and writing at the same time.

Threads decode and resize (Pillow works outside Python's lock), two batches ahead; the main thread feeds the tower; one
thread fetches features from the device, checks them and writes them. On a GPU no step waits for another: batches come
from pinned memory, and nothing in the main thread asks for a result.

Shapes: B images, P positions, D joint width.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.arrays import Beside
from dualpt.core.clip.backbone import Backbone, Encoded
from dualpt.core.data.images import DECODERS, View, decode
from dualpt.core.errors import UserError
from dualpt.core.features.folder import FeatureFolder
from dualpt.core.features.segment import ImageKey

BATCH_IMAGES = 128
"""Images encoded at a time."""
BATCHES_AHEAD = 2
"""Batches being decoded while one is encoded, and batches encoded that wait to be written."""
FILE_SECONDS = 5.0
FILE_BYTES = 64 * 2**20
"""A file is written once it holds a batch and took so long to encode, or is so large: a killed build loses a few
seconds' work, or a batch where that takes longer, and fast builds leave few files."""
PROBE_IMAGES = 8
"""Images encoded to measure the pace where nothing is known of it."""


def encode_into(
    folder: FeatureFolder,
    backbone: Backbone,
    image_root: Path,
    images: Sequence[ImageKey],
    local: Beside | None,
    view: View | None,
    written: Callable[[int], None],
) -> None:
    """Encode `images` and commit them file by file; the caller holds the folder's lock.

    Args:
        written: called with the number of images in every file that is on disk.

    Raises:
        UserError: an image that can't be read, or features that aren't finite or are zero. Batches before it are kept.
        StorageError: a full disk. Files before it are kept.
    """
    writer = _Writer(folder, backbone, image_root)
    writing: deque[Future[int]] = deque()

    def settle(left: int) -> None:
        while len(writing) > left:
            if size := writing.popleft().result():
                written(size)

    with ThreadPoolExecutor(1) as thread:
        try:
            for batch, pixels in _loaded_ahead(backbone, image_root, images, view):
                features = backbone.encode(pixels, local)
                writing.append(thread.submit(writer.add, batch, features))
                settle(BATCHES_AHEAD)
        finally:
            writing.append(thread.submit(writer.write))
            settle(0)


class _Writer:
    """Fetches encoded batches from the device, checks them, and writes them as files."""

    def __init__(self, folder: FeatureFolder, backbone: Backbone, image_root: Path) -> None:
        self._folder, self._backbone, self._image_root = folder, backbone, image_root
        self._images: list[ImageKey] = []
        self._batches: list[list[Tensor]] = []
        self._begun = time.monotonic()

    def add(self, batch: Sequence[ImageKey], features: Encoded) -> int:
        """Take a batch; the number of images written now.

        Raises:
            UserError: its features aren't finite or are zero, or a file can't be written.
        """
        rows = [
            values.to(column.torch_dtype).cpu()
            for column, values in zip(self._folder.columns, features, strict=False)  # local ones may not be kept
            if values is not None
        ]
        rows.append(features.norms.cpu())
        lengths = features.global_features.norm(dim=-1)
        if not (lengths > 0.5).all() or not all(values.isfinite().all() for values in rows):
            raise UserError(
                f"{self._image_root / batch[0].path}: its features or those of an image near it aren't finite, or are "
                f"zero; check the weights, or use another backbone.precision than {self._backbone.precision}"
            )
        self._images += batch
        self._batches.append(rows)
        full = len(self._images) * self._folder.row_bytes >= FILE_BYTES
        return self.write() if full or time.monotonic() - self._begun >= FILE_SECONDS else 0

    def write(self) -> int:
        """Write what is there as one file, and return how many images that was."""
        images, batches = self._images, self._batches
        self._images, self._batches = [], []
        if images:
            self._folder.add(images, [torch.cat(rows) for rows in zip(*batches, strict=True)])
        self._begun = time.monotonic()
        return len(images)


def measure_pace(
    backbone: Backbone, image_root: Path, images: Sequence[ImageKey], local: Beside | None, view: View | None
) -> float:
    """Images per second of decoding and encoding, from a few images that are not kept; the first one only warms up."""
    load = loader(backbone, image_root, view)
    probe = [load(image) for image in images[: PROBE_IMAGES + 1]]
    backbone.encode(probe[0][None], local).global_features.cpu()
    timed = images[1 : PROBE_IMAGES + 1] or images[:1]
    start = time.perf_counter()
    with ThreadPoolExecutor(DECODERS) as pool:
        pixels = torch.stack(list(pool.map(load, timed)))
    decoded = time.perf_counter()
    backbone.encode(pixels, local).global_features.cpu()
    # On the CPU both want the same cores; a GPU encodes while the CPU decodes.
    decoding, encoding = decoded - start, time.perf_counter() - decoded
    return len(timed) / (decoding + encoding if backbone.device.type == "cpu" else max(decoding, encoding))


def loader(backbone: Backbone, image_root: Path, view: View | None) -> Callable[[ImageKey], Tensor]:
    """How one image becomes (3, height, width): the centre crop, or the view whose seed is its content and number."""

    def load(image: ImageKey) -> Tensor:
        picture = decode(image_root / image.path)
        if view is None:
            return backbone.preprocess.plain(picture)
        return backbone.preprocess.view(picture, f"{image.digest}:{view.number}", view.min_area)

    return load


def _loaded_ahead(
    backbone: Backbone, image_root: Path, images: Sequence[ImageKey], view: View | None
) -> Iterator[tuple[Sequence[ImageKey], Tensor]]:
    """Batches with their pixels (B, 3, height, width), in pinned memory where a GPU is to have them."""
    load, pinned = loader(backbone, image_root, view), backbone.device.type == "cuda"
    batches = [images[start : start + BATCH_IMAGES] for start in range(0, len(images), BATCH_IMAGES)]
    pool = ThreadPoolExecutor(DECODERS)
    try:
        loading: deque[list[Future[Tensor]]] = deque()
        for number, batch in enumerate(batches):
            for following in batches[number + len(loading) : number + 1 + BATCHES_AHEAD]:
                loading.append([pool.submit(load, image) for image in following])
            pixels = torch.stack([future.result() for future in loading.popleft()])
            yield batch, pixels.pin_memory() if pinned else pixels
    finally:
        pool.shutdown(cancel_futures=True)
