"""The feature store: what images look like to a frozen CLIP, computed once and kept on disk.

Shapes: P positions, D joint width.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args

import torch
from filelock import Timeout
from torch import Tensor

from dualpt.core.arrays import Beside, ImageFeatures
from dualpt.core.clip.backbone import Backbone
from dualpt.core.data.digests import DigestIndex
from dualpt.core.data.images import Preprocess, View
from dualpt.core.data.splits import Item
from dualpt.core.features.encoding import encode_into
from dualpt.core.features.folder import FeatureFolder, check_room
from dualpt.core.features.pace import Pace
from dualpt.core.features.segment import Column, ImageKey
from dualpt.core.files.fingerprint import fingerprint

FEATURES_VERSION = 2
"""Raise it when the same weights and pixels give other features: older ones are not read then."""

WAIT_SECONDS = 1.0
"""Between two looks at how far another process is that builds what is wanted here."""

OLDER = "%s: %d images were stored by a version that kept no norms of raw features; they are encoded again"

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with images done and images in total."""


class Encoder(Protocol):
    """What features depend on: `dualpt.core.clip.backbone.Backbone`, or its facts without weights."""

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
    @property
    def hidden_width(self) -> int: ...


@dataclass(frozen=True)
class _Wanted:
    """What is to be read of some images."""

    images: Sequence[ImageKey]
    local: Beside | None
    view: View | None
    norms: bool


class FeatureStore:
    """Features on disk, in one folder per (weights, preprocessing, local kind, precision, dataset, view).

    Global features are float32. Local features are float32 for float32 towers and float16 for half-precision ones: the
    real grid with ViT-B/16 takes 27 GB in float16.

    Args:
        root: where the folders lie; everything in it can be deleted and is computed again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pace = Pace(root)
        self.encoded_images = 0
        """Encoded through this object so far; what other processes encoded meanwhile is not counted."""
        self.encoded_bytes = 0
        self._digests = DigestIndex(root / "digests")
        self._folders: dict[Path, FeatureFolder] = {}

    def features(
        self,
        backbone: Backbone,
        dataset: str,
        image_root: Path,
        items: Sequence[Item],
        local: Beside | None,
        view: View | None = None,
        *,
        progress: Progress | None = None,
        norms: bool = False,
    ) -> ImageFeatures:
        """Features of `items` in their order, in one view: see `views`."""
        (features,) = self.views(backbone, dataset, image_root, items, local, [view], progress=progress, norms=norms)
        return features

    def views(
        self,
        backbone: Backbone,
        dataset: str,
        image_root: Path,
        items: Sequence[Item],
        local: Beside | None,
        views: Sequence[View | None],
        *,
        progress: Progress | None = None,
        norms: bool = False,
    ) -> list[ImageFeatures]:
        """Features of `items` in their order, in each view; images without stored features are encoded first.

        Whether an image is still the one that was encoded is asked once, and not once per view.

        Args:
            backbone: what encodes them.
            dataset: registry name; images are told apart by path and content within it.
            image_root: folder that the items' paths are relative to.
            items: labelled images.
            local: which local features, or hidden ones; None for global ones alone.
            views: None for the plain centre crop, or a random crop and flip.
            progress: called after every file that is written, here or by another process that is waited for.
            norms: whether the norms of raw features are read; images stored without them are encoded again.

        Raises:
            UserError: an image is missing or unreadable; what was encoded before is kept.
            StorageError: the disk is full or can't be written; what was written before is kept.
        """
        images = self._keys(image_root, items)
        labels = torch.tensor([item.label for item in items], dtype=torch.int64)
        wanted = [_Wanted(images, local, view, norms) for view in views]
        return [self._in_view(backbone, dataset, image_root, one, labels, progress) for one in wanted]

    def _in_view(
        self,
        backbone: Backbone,
        dataset: str,
        image_root: Path,
        wanted: _Wanted,
        labels: Tensor,
        progress: Progress | None,
    ) -> ImageFeatures:
        folder, images, norms = self._folder_for(backbone, dataset, wanted), wanted.images, wanted.norms
        missing = folder.missing(images, norms)
        if missing and norms and (older := len(missing) - len(folder.missing(images))):
            logger.warning(OLDER, folder.path, older)
        while missing:
            try:
                with folder.locked(WAIT_SECONDS):
                    self._fill(folder, backbone, image_root, wanted, progress)
            except Timeout:
                if progress is not None:
                    progress(len(images) - len(missing), len(images))
            missing = folder.missing(images, norms)
        folder.note_use()
        global_features, local_features = folder.read(images)
        lengths = folder.norms(images) if norms else None
        return ImageFeatures(global_features, local_features if wanted.local else None, labels, lengths)

    def missing(
        self,
        encoder: Encoder,
        dataset: str,
        image_root: Path,
        items: Sequence[Item],
        local: Beside | None,
        view: View | None = None,
        norms: bool = False,
    ) -> tuple[list[ImageKey], int]:
        """The images that `features` would encode, and the bytes that one of them takes. Writes no features."""
        images = self._keys(image_root, items)
        folder = self._folder_for(encoder, dataset, _Wanted(images, local, view, norms))
        return folder.missing(images, norms), folder.row_bytes

    def _keys(self, image_root: Path, items: Sequence[Item]) -> list[ImageKey]:
        digests = self._digests.digests(image_root, [item.path for item in items])
        return [ImageKey(item.path, digest) for item, digest in zip(items, digests, strict=True)]

    def _folder_for(self, encoder: Encoder, dataset: str, wanted: _Wanted) -> FeatureFolder:
        """The folder to read from: for global features alone, any that happens to have them all."""
        own = self._folder(encoder, dataset, wanted.local, wanted.view)
        if wanted.local is None and own.missing(wanted.images, wanted.norms):
            for kind in get_args(Beside):
                folder = self._folder(encoder, dataset, kind, wanted.view)
                if not folder.missing(wanted.images, wanted.norms):
                    return folder
        return own

    def _folder(self, encoder: Encoder, dataset: str, local: Beside | None, view: View | None) -> FeatureFolder:
        view_name = "plain" if view is None else view.title
        weights, preprocess = encoder.weights_fingerprint, encoder.preprocess.fingerprint
        how = fingerprint([FEATURES_VERSION, preprocess])
        path = (
            self.root
            / f"{encoder.name}-{weights[:12]}-{how[:8]}"
            / f"{local or 'global'}-{encoder.precision}"
            / dataset
            / view_name
        )
        if path not in self._folders:
            columns = [Column("global.f32", "float32", (encoder.width,))]
            dtype, end = ("float32", "f32") if encoder.precision == "fp32" else ("float16", "f16")
            if local == "hidden":
                columns.append(Column(f"hidden.{end}", dtype, (encoder.hidden_width,)))
            elif local is not None:
                columns.append(Column(f"local.{end}", dtype, (encoder.n_positions, encoder.width)))
            about = {"version": FEATURES_VERSION, "backbone": encoder.name, "weights": weights}
            about |= {"preprocess": preprocess, "local": local}
            about |= {"precision": encoder.precision, "dataset": dataset, "view": view_name}
            self._folders[path] = FeatureFolder(path, columns, about)
        return self._folders[path]

    def _fill(
        self,
        folder: FeatureFolder,
        backbone: Backbone,
        image_root: Path,
        wanted: _Wanted,
        progress: Progress | None,
    ) -> None:
        """Encode the images that are missing; another process may have done so while the lock was awaited."""
        folder.delete_damaged()
        missing = folder.missing(wanted.images, wanted.norms)
        if not missing:
            return
        check_room(folder.path, len(missing), len(missing) * folder.row_bytes)
        folder.describe()
        total = len(wanted.images)
        done = total - len(missing)

        def written(size: int) -> None:
            nonlocal done
            done += size
            self.encoded_images += size
            self.encoded_bytes += size * folder.row_bytes
            if progress is not None:
                progress(done, total)

        start = time.perf_counter()
        encode_into(folder, backbone, image_root, missing, wanted.local, wanted.view, written)
        pace_of = encoder_title(backbone, wanted.local, backbone.device.type)
        self.pace.note(pace_of, len(missing), time.perf_counter() - start)


def encoder_title(encoder: Encoder, local: Beside | None, device: str) -> str:
    """What the pace of a build depends on, besides the machine."""
    return f"{encoder.name} {local or 'global'} {encoder.precision} {device}"
