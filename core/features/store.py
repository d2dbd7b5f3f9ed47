"""Frozen image features: computed once, stored, and shared by every trial; or computed anew at every step.

Shapes: R replicas, B images, P positions, D joint width, V cached views.
"""

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from filelock import Timeout
from torch import Tensor

from dualpt.core.arrays import ImageFeatures, StoredRows
from dualpt.core.clip.backbone import Backbone
from dualpt.core.config import LocalKind
from dualpt.core.data.digests import DigestIndex
from dualpt.core.data.image_faults import find_unreadable
from dualpt.core.data.images import DECODERS, Preprocess, decode
from dualpt.core.data.splits import Item, listing
from dualpt.core.errors import UserError
from dualpt.core.features.encoding import encode_into
from dualpt.core.features.pace import Pace
from dualpt.core.features.rows import Column, ImageKey
from dualpt.core.features.shelf import FeatureShelf
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import unwritable

FEATURES_VERSION = 2
"""Raise it when the same weights and pixels give other features, or lie otherwise on disk: older ones are not read."""

WAIT_SECONDS = 1.0
"""Between two looks at how far another process is that builds what is wanted here."""

Progress = Callable[[int, int], None]
"""Called with images done and images in total."""


class Encoder(Protocol):
    """What a shelf must know of a backbone: `dualpt.core.clip.backbone.Backbone`, or its facts without weights."""

    @property
    def name(self) -> str: ...
    @property
    def weights_fingerprint(self) -> str: ...
    @property
    def preprocess(self) -> Preprocess: ...
    @property
    def precision(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def n_positions(self) -> int: ...


class FeatureStore:
    """Features on disk, one shelf per (weights, preprocessing, local kind, precision, dataset, view).

    Global features are float32. Local features are float32 for float32 towers and float16 for half-precision ones: the
    whole real grid with ViT-B/16 takes 27 GB in float16.

    Args:
        folder: where shelves lie; everything in it can be deleted and is computed again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pace = Pace(folder)
        self.encoded_images = 0
        """Encoded through this object so far; what other processes encoded meanwhile is not counted."""
        self.encoded_bytes = 0
        self._digests = DigestIndex(folder / "digests")
        self._shelves: dict[Path, FeatureShelf] = {}

    def features(
        self,
        backbone: Backbone,
        dataset: str,
        image_root: Path,
        items: Sequence[Item],
        local: LocalKind | None,
        view: int | None = None,
        progress: Progress | None = None,
    ) -> ImageFeatures:
        """Features of `items` in their order; images without stored features are encoded first.

        Args:
            backbone: what encodes them.
            dataset: registry name; images are told apart by path and content within it.
            image_root: folder that the items' paths are relative to.
            items: labelled images.
            local: which local features, or None for global ones alone.
            view: None for the plain centre crop, or the number of a random crop and flip.
            progress: called after every batch of encoded images, here or by another process that is waited for.

        Raises:
            UserError: an image is missing or unreadable, or the disk is full; batches done so far are kept.
        """
        images = self._keys(image_root, items)
        shelf = self._shelf_for(backbone, dataset, images, local, view)
        if shelf.missing(images):
            with _held(shelf, images, progress):
                self._fill(shelf, backbone, image_root, images, local, view, progress)
        shelf.note_use()
        labels = torch.tensor([item.label for item in items], dtype=torch.int64)
        global_features, local_features = shelf.read(images)
        return ImageFeatures(global_features, local_features if local else None, labels)

    def missing(
        self,
        encoder: Encoder,
        dataset: str,
        image_root: Path,
        items: Sequence[Item],
        local: LocalKind | None,
        view: int | None = None,
    ) -> tuple[list[ImageKey], int]:
        """The images that `features` would encode, and the bytes that one of them takes. Writes no features."""
        images = self._keys(image_root, items)
        shelf = self._shelf_for(encoder, dataset, images, local, view)
        return shelf.missing(images), sum(column.row_bytes for column in shelf.columns)

    def _keys(self, image_root: Path, items: Sequence[Item]) -> list[ImageKey]:
        digests = self._digests.digests(image_root, [item.path for item in items])
        return [ImageKey(item.path, digest) for item, digest in zip(items, digests, strict=True)]

    def _shelf_for(
        self, encoder: Encoder, dataset: str, images: Sequence[ImageKey], local: LocalKind | None, view: int | None
    ) -> FeatureShelf:
        """The shelf to read from, without damage: for global features alone, any that happens to have them all."""
        own = _sound(self._shelf(encoder, dataset, local, view))
        if local is None and own.missing(images):
            others: tuple[LocalKind, ...] = ("value", "tokens")
            for kind in others:
                shelf = _sound(self._shelf(encoder, dataset, kind, view))
                if not shelf.missing(images):
                    return shelf
        return own

    def _shelf(self, encoder: Encoder, dataset: str, local: LocalKind | None, view: int | None) -> FeatureShelf:
        view_name = "plain" if view is None else f"view-{view:03d}"
        weights, preprocess = encoder.weights_fingerprint, encoder.preprocess.fingerprint
        how = fingerprint([FEATURES_VERSION, preprocess])
        folder = (
            self.folder
            / f"{encoder.name}-{weights[:12]}-{how[:8]}"
            / f"{local or 'global'}-{encoder.precision}"
            / dataset
            / view_name
        )
        if folder not in self._shelves:
            columns = [Column("global.f32", "float32", (encoder.width,))]
            if local is not None:
                dtype, end = ("float32", "f32") if encoder.precision == "fp32" else ("float16", "f16")
                columns.append(Column(f"local.{end}", dtype, (encoder.n_positions, encoder.width)))
            about = {"version": FEATURES_VERSION, "backbone": encoder.name, "weights": weights}
            about |= {"preprocess": preprocess, "local": local}
            about |= {"precision": encoder.precision, "dataset": dataset, "view": view_name}
            self._shelves[folder] = FeatureShelf(folder, columns, about)
        return self._shelves[folder]

    def _fill(
        self,
        shelf: FeatureShelf,
        backbone: Backbone,
        image_root: Path,
        images: Sequence[ImageKey],
        local: LocalKind | None,
        view: int | None,
        progress: Progress | None,
    ) -> None:
        """Encode what the shelf lacks of `images`; another process may have done so while the lock was awaited."""
        shelf.forget_incomplete()
        missing = shelf.missing(images)
        if not missing:
            return
        shelf.check_space(len(missing))
        shelf.describe()
        total = len(images)
        done = total - len(missing)
        row_bytes = sum(column.row_bytes for column in shelf.columns)

        def written(size: int) -> None:
            nonlocal done
            done += size
            self.encoded_images += size
            self.encoded_bytes += size * row_bytes
            if progress is not None:
                progress(done, total)

        start = time.perf_counter()
        encode_into(shelf, backbone, image_root, missing, local, view, written)
        pace_of = encoder_title(backbone, local, backbone.device.type)
        self.pace.note(pace_of, len(missing), time.perf_counter() - start)


def encoder_title(encoder: Encoder, local: LocalKind | None, device: str) -> str:
    """What the pace of a build depends on, besides the machine."""
    return f"{encoder.name} {local or 'global'} {encoder.precision} {device}"


def _sound(shelf: FeatureShelf) -> FeatureShelf:
    """The shelf; where its files were touched by others since they were written, without the rows that suffered."""
    if shelf.touched() and shelf.damaged():
        with _held(shelf, (), None):
            shelf.forget_damaged()
    return shelf


@contextmanager
def _held(shelf: FeatureShelf, images: Sequence[ImageKey], progress: Progress | None) -> Iterator[None]:
    """The shelf's lock; while another process has it, its progress with the same images is shown."""
    lock = shelf.lock()
    while not lock.is_locked:
        try:
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            if progress is not None:
                progress(len(images) - len(shelf.missing(images)), len(images))
        except OSError as error:
            raise unwritable(shelf.folder, error) from None
    try:
        yield
    finally:
        lock.release()


class CachedTrainImages:
    """Training batches from stored features (`core.arrays.TrainImages`), in memory and in their stored number format.

    On a GPU with room for it the whole pool is held there, so that a batch neither waits nor crosses the bus.

    Args:
        views: the same images seen in V ways. A single one gives the same features in every epoch; of several, each
            image shows one per epoch, chosen by a hash of image and epoch.
        paths: the images' names. The hash is of the name and not of the row, because a pool's rows differ with the
            replicas that share it.
        device: where batches are put.
    """

    def __init__(
        self, views: Sequence[ImageFeatures], paths: Sequence[str], device: str | torch.device = "cpu"
    ) -> None:
        self._device = torch.device(device)
        self._global: list[Tensor | StoredRows] = [view.global_features for view in views]
        self._local = [view.local_features for view in views if view.local_features is not None]
        self._identities = torch.tensor([zlib.crc32(path.encode()) for path in paths])
        if self._device.type == "cuda" and self._fits():
            self._identities = self._identities.to(self._device)
            self._global = [features[:].to(self._device) for features in self._global]
            self._local = [features[:].to(self._device) for features in self._local]

    def batch(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Features of `rows` (R, B): global (R, B, D) and local (R, B, P, D) or None."""
        rows = rows.to(self._identities.device)
        shown = view_of(self._identities[rows], epoch, len(self._global))
        global_features = _gather(self._global, shown, rows).to(self._device)
        return global_features, _gather(self._local, shown, rows).to(self._device) if self._local else None

    def _fits(self) -> bool:
        """Whether the pool takes at most half of the GPU's free memory."""
        free, _ = torch.cuda.mem_get_info(self._device)
        pools = (*self._global, *self._local)
        return sum(math.prod(pool.shape) * pool.dtype.itemsize for pool in pools) <= free // 2


def _gather(views: Sequence[Tensor | StoredRows], shown: Tensor, rows: Tensor) -> Tensor:
    """Row `rows[i]` of view `shown[i]` for every i; views may be mapped files, so that they are not stacked.

    On a GPU each view is read at every row: choosing rows by a mask would wait for their number.
    """
    if len(views) == 1:
        return views[0][rows]
    gathered = torch.empty(*rows.shape, *views[0].shape[1:], dtype=views[0].dtype, device=rows.device)
    for number, features in enumerate(views):
        chosen = shown == number
        if rows.is_cuda:
            gathered = torch.where(
                chosen.view(*rows.shape, *[1] * (gathered.ndim - rows.ndim)), features[rows], gathered
            )
        else:
            gathered[chosen] = features[rows[chosen]]
    return gathered


def view_of(identities: Tensor, epoch: int, n_views: int) -> Tensor:
    """Which of `n_views` each image shows in an epoch: int64 of the shape of `identities`, spread like random draws.

    A hash and no generator, so that a resumed run, another batch order and another replica see the same view.
    """
    mask = 0xFFFFFFFF
    mixed = (identities * 0x9E3779B1 + (epoch + 1) * 0x85EBCA77) & mask
    for multiplier in (0x21F0AAAD, 0x735A2D97):  # a 32-bit integer hash: xor-shift and multiply, twice
        mixed = ((mixed ^ (mixed >> 15)) * multiplier) & mask
    return (mixed ^ (mixed >> 15)) % n_views


class OnlineTrainImages:
    """Training batches cropped and encoded at every step, as CoOp does (`core.arrays.TrainImages`).

    Args:
        backbone: what encodes them.
        image_root: folder that the items' paths are relative to.
        items: the pool of training images.
        local: which local features, or None for none.

    Raises:
        UserError: images that cannot be read, found here and not in the middle of training.
    """

    def __init__(self, backbone: Backbone, image_root: Path, items: Sequence[Item], local: LocalKind | None) -> None:
        self._backbone, self._local = backbone, local
        self._root, self._paths = image_root, [item.path for item in items]
        self._pool = ThreadPoolExecutor(DECODERS)
        if faults := find_unreadable(image_root, self._paths):
            raise UserError(listing(faults))

    def batch(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Features of `rows` (R, B): global (R, B, D) and local (R, B, P, D) or None, float32.

        Replicas share the crop of an image in an epoch, so that an image of several is encoded once.
        """
        distinct, places = rows.cpu().unique(return_inverse=True)
        pixels = self._pool.map(lambda row: self._crop(self._paths[row], epoch), distinct.tolist())
        global_features, local_features = self._backbone.encode_images(torch.stack(list(pixels)), self._local)
        places = places.to(global_features.device)
        return global_features[places], None if local_features is None else local_features[places]

    def _crop(self, path: str, epoch: int) -> Tensor:
        return self._backbone.preprocess.view(decode(self._root / path), seed=f"{path}:{epoch}")
