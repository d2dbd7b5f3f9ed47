"""From image files to rows on a shelf: decoding, encoding and writing at the same time.

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

from dualpt.core.clip.backbone import Backbone
from dualpt.core.config import LocalKind
from dualpt.core.data.images import DECODERS, decode
from dualpt.core.errors import UserError
from dualpt.core.features.rows import ImageKey
from dualpt.core.features.shelf import FeatureShelf

BATCH_IMAGES = 128
"""Images encoded and committed at a time: what a killed build loses at most, besides those on their way."""
BATCHES_AHEAD = 2
"""Batches being decoded while one is encoded, and batches encoded that wait to be written."""
PROBE_IMAGES = 8
"""Images encoded to measure the pace where nothing is known of it."""


def encode_into(
    shelf: FeatureShelf,
    backbone: Backbone,
    image_root: Path,
    images: Sequence[ImageKey],
    local: LocalKind | None,
    view: int | None,
    written: Callable[[int], None],
) -> None:
    """Encode `images` and commit them batch by batch; the caller holds the shelf's lock.

    Args:
        written: called with the size of every batch that is on disk.

    Raises:
        UserError: an image that cannot be read, features that are not finite or zero, or a full disk. Batches before it
            stay.
    """
    writing: deque[tuple[int, Future[None]]] = deque()

    def settle(left: int) -> None:
        while len(writing) > left:
            size, future = writing.popleft()
            future.result()
            written(size)

    with ThreadPoolExecutor(1) as writer:
        for batch, pixels in _loaded_ahead(backbone, image_root, images, view):
            features = backbone.encode_images(pixels, local)
            writing.append((len(batch), writer.submit(_commit, shelf, backbone, image_root, batch, features)))
            settle(BATCHES_AHEAD)
        settle(0)


def measure_pace(
    backbone: Backbone, image_root: Path, images: Sequence[ImageKey], local: LocalKind | None, view: int | None
) -> float:
    """Images per second of decoding and encoding, from a few images that are not kept; the first one only warms up."""
    load = loader(backbone, image_root, view)
    probe = [load(image) for image in images[: PROBE_IMAGES + 1]]
    backbone.encode_images(probe[0][None], local)[0].cpu()
    timed = images[1 : PROBE_IMAGES + 1] or images[:1]
    start = time.perf_counter()
    with ThreadPoolExecutor(DECODERS) as pool:
        pixels = torch.stack(list(pool.map(load, timed)))
    decoded = time.perf_counter()
    backbone.encode_images(pixels, local)[0].cpu()
    # On the CPU both want the same cores; a GPU encodes while the CPU decodes.
    decoding, encoding = decoded - start, time.perf_counter() - decoded
    return len(timed) / (decoding + encoding if backbone.device.type == "cpu" else max(decoding, encoding))


def loader(backbone: Backbone, image_root: Path, view: int | None) -> Callable[[ImageKey], Tensor]:
    """How one image becomes (3, height, width): the centre crop, or the view whose seed is its content and number."""

    def load(image: ImageKey) -> Tensor:
        picture = decode(image_root / image.path)
        if view is None:
            return backbone.preprocess.plain(picture)
        return backbone.preprocess.view(picture, seed=f"{image.digest}:{view}")

    return load


def _loaded_ahead(
    backbone: Backbone, image_root: Path, images: Sequence[ImageKey], view: int | None
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


def _commit(
    shelf: FeatureShelf,
    backbone: Backbone,
    image_root: Path,
    batch: Sequence[ImageKey],
    features: tuple[Tensor, Tensor | None],
) -> None:
    values = [one for one in features if one is not None]
    lengths = features[0].norm(dim=-1)
    if not (lengths > 0.5).all() or not all(one.isfinite().all() for one in values):
        raise UserError(
            f"{image_root / batch[0].path}: its features or a neighbour's are not finite, or zero; "
            f"check the weights, or use another backbone.precision than {backbone.precision}"
        )
    shelf.append(batch, values)
