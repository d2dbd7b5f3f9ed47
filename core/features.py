"""Frozen image features: computed once, stored, and shared by every trial; or computed anew at every step.

Shapes: R replicas, B images, P positions, D joint width, V cached views.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from core.arrays import ImageFeatures
from core.backbone import Backbone
from core.data.digests import DigestIndex
from core.data.images import DECODERS, decode, find_unreadable
from core.data.splits import Item, listing
from core.errors import UserError
from core.feature_shelf import Column, FeatureShelf, ImageKey, open_shelves
from core.local_features import LocalKind

BATCH_IMAGES = 128
"""Images encoded and committed at a time: what a killed build loses at most."""

Progress = Callable[[int, int], None]
"""Called with images done and images in total."""


class FeatureStore:
    """Features on disk, one shelf per (weights, preprocessing, local kind, precision, dataset, view).

    Global features are float32. Local features are float32 for float32 towers and float16 for half-precision ones: the
    whole real grid with ViT-B/16 takes 27 GB in float16.

    Args:
        folder: where shelves lie; everything in it can be deleted and is computed again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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
            progress: called after every batch of encoded images.

        Raises:
            UserError: an image is missing or unreadable, or the disk is full; batches done so far are kept.
        """
        digests = self._digests.digests(image_root, [item.path for item in items])
        images = [ImageKey(item.path, digest) for item, digest in zip(items, digests, strict=True)]
        shelf = self._shelf_for(backbone, dataset, images, local, view)
        if shelf.missing(images):
            with shelf.lock():
                _fill(shelf, backbone, image_root, images, local, view, progress)
        labels = torch.tensor([item.label for item in items], dtype=torch.int64)
        global_features, *rest = shelf.read(images)
        return ImageFeatures(global_features, rest[0] if local else None, labels)

    def verify(self) -> dict[Path, list[str]]:
        """Read every stored byte and forget damaged rows, which will be encoded anew.

        Returns:
            Shelf folder -> forgotten records, for shelves that had any.
        """
        damaged = {}
        for shelf in open_shelves(self._folder):
            with shelf.lock():
                if names := shelf.forget_damaged():
                    damaged[shelf.folder] = names
        return damaged

    def _shelf_for(
        self, backbone: Backbone, dataset: str, images: Sequence[ImageKey], local: LocalKind | None, view: int | None
    ) -> FeatureShelf:
        """The shelf to read from: for global features alone, any that happens to have them all."""
        own = self._shelf(backbone, dataset, local, view)
        if local is None and own.missing(images):
            others: tuple[LocalKind, ...] = ("value", "tokens")
            for kind in others:
                shelf = self._shelf(backbone, dataset, kind, view)
                if not shelf.missing(images):
                    return shelf
        return own

    def _shelf(self, backbone: Backbone, dataset: str, local: LocalKind | None, view: int | None) -> FeatureShelf:
        view_name = "plain" if view is None else f"view-{view:03d}"
        weights, preprocess = backbone.weights_fingerprint, backbone.preprocess.fingerprint
        folder = (
            self._folder
            / f"{backbone.name}-{weights[:12]}-{preprocess[:8]}"
            / f"{local or 'global'}-{backbone.precision}"
            / dataset
            / view_name
        )
        if folder not in self._shelves:
            columns = [Column("global.f32", "float32", (backbone.width,))]
            if local is not None:
                dtype, end = ("float32", "f32") if backbone.precision == "fp32" else ("float16", "f16")
                columns.append(Column(f"local.{end}", dtype, (backbone.n_positions, backbone.width)))
            about = {"backbone": backbone.name, "weights": weights, "preprocess": preprocess, "local": local}
            about |= {"precision": backbone.precision, "dataset": dataset, "view": view_name}
            self._shelves[folder] = FeatureShelf(folder, columns, about)
        return self._shelves[folder]


def _fill(
    shelf: FeatureShelf,
    backbone: Backbone,
    image_root: Path,
    images: Sequence[ImageKey],
    local: LocalKind | None,
    view: int | None,
    progress: Progress | None,
) -> None:
    """Encode what the shelf lacks of `images`; another process may have done so while this one awaited the lock."""
    shelf.forget_incomplete()
    missing = shelf.missing(images)
    shelf.check_space(len(missing))
    total = len(images)
    done = total - len(missing)

    def load(image: ImageKey) -> Tensor:
        picture = decode(image_root / image.path)
        if view is None:
            return backbone.preprocess.plain(picture)
        return backbone.preprocess.view(picture, seed=f"{image.digest}:{view}")

    for batch, pixels in _loaded_ahead(missing, load):
        values = [features for features in backbone.encode_images(pixels, local) if features is not None]
        if not all(features.isfinite().all() for features in values):
            raise UserError(
                f"{image_root / batch[0].path}: its features or a neighbour's are not finite; "
                f"check the weights, or use another backbone.precision than {backbone.precision}"
            )
        shelf.append(batch, values)
        done += len(batch)
        if progress is not None:
            progress(done, total)


def _loaded_ahead(
    images: Sequence[ImageKey], load: Callable[[ImageKey], Tensor]
) -> Iterator[tuple[Sequence[ImageKey], Tensor]]:
    """Batches with their pixels (B, 3, height, width); threads load the next batch while one is being encoded."""
    batches = [images[start : start + BATCH_IMAGES] for start in range(0, len(images), BATCH_IMAGES)]
    pool = ThreadPoolExecutor(DECODERS)
    try:
        ahead: list[Future[Tensor]] = []
        for batch, following in zip(batches, [*batches[1:], []], strict=False):
            loading = ahead or [pool.submit(load, image) for image in batch]
            ahead = [pool.submit(load, image) for image in following]
            yield batch, torch.stack([future.result() for future in loading])
    finally:
        pool.shutdown(cancel_futures=True)


class CachedTrainImages:
    """Training batches from stored features (`core.arrays.TrainImages`), in memory and in their stored number format.

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
        self._views = tuple(views)
        self._identities = torch.tensor([zlib.crc32(path.encode()) for path in paths])
        self._device = device

    def batch(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Features of `rows` (R, B): global (R, B, D) and local (R, B, P, D) or None."""
        rows = rows.cpu()
        shown = view_of(self._identities[rows], epoch, len(self._views))
        global_features = _gather([view.global_features for view in self._views], shown, rows).to(self._device)
        local = [view.local_features for view in self._views if view.local_features is not None]
        return global_features, _gather(local, shown, rows).to(self._device) if local else None


def _gather(views: Sequence[Tensor], shown: Tensor, rows: Tensor) -> Tensor:
    """Row `rows[i]` of view `shown[i]` for every i; views may be mapped files, so that they are not stacked."""
    if len(views) == 1:
        return views[0][rows]
    gathered = views[0].new_empty(*rows.shape, *views[0].shape[1:])
    for number, features in enumerate(views):
        chosen = shown == number
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
