"""Where training batches come from: stored features of an image's views, or pixels encoded at every step.

Shapes: R replicas, B images, P positions, D joint width, V stored views.
"""

import math
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures, StoredRows
from dualpt.core.clip.backbone import Backbone
from dualpt.core.config.sections import LocalKind
from dualpt.core.data.checking.image_faults import find_unreadable
from dualpt.core.data.images import DECODERS, decode
from dualpt.core.data.splits import Item, listing
from dualpt.core.errors import UserError


class CachedTrainImages:
    """Training batches from stored features (`core.arrays.TrainImages`), in memory and in their stored number format.

    On a GPU with room for it the whole pool is held there, so a batch neither waits nor crosses the bus.

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
    """Row `rows[i]` of view `shown[i]` for every i; views may be mapped files, so they are not stacked.

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

    A hash rather than a generator, so a resumed run, another batch order and another replica see the same view.
    """
    mask = 0xFFFFFFFF
    mixed = (identities * 0x9E3779B1 + (epoch + 1) * 0x85EBCA77) & mask
    for multiplier in (0x21F0AAAD, 0x735A2D97):  # a 32-bit integer hash: xor-shift and multiply, twice
        mixed = ((mixed ^ (mixed >> 15)) * multiplier) & mask
    return (mixed ^ (mixed >> 15)) % n_views


class OnlineTrainImages:
    """Training batches that are cropped and encoded at every step, as CoOp does (`core.arrays.TrainImages`).

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

        Replicas share the crop of an image in an epoch, so an image of several is encoded once.
        """
        distinct, places = rows.cpu().unique(return_inverse=True)
        pixels = self._pool.map(lambda row: self._crop(self._paths[row], epoch), distinct.tolist())
        global_features, local_features = self._backbone.encode_images(torch.stack(list(pixels)), self._local)
        places = places.to(global_features.device)
        return global_features[places], None if local_features is None else local_features[places]

    def _crop(self, path: str, epoch: int) -> Tensor:
        return self._backbone.preprocess.view(decode(self._root / path), seed=f"{path}:{epoch}")
