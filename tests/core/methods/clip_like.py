"""Small features like CLIP's: images and texts in two narrow cones, raw norms of about 10, overlapping classes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.methods.interface import Classifier, Images, Labelled, Method, MethodOptions, Support

R, V, N, M, C, D, W = 3, 4, 28, 21, 7, 16, 24


def clip_like_support(
    *,
    cells: int = R,
    views: int = V,
    n_images: int = N,
    n_classes: int = C,
    width: int = D,
    val: bool = True,
    seed: int = 0,
) -> Support:
    """`cells` draws of `n_images` images, with M validation images each."""
    draw = torch.Generator().manual_seed(seed)
    projection = torch.randn(W, width, generator=draw) / W**0.5
    centres = torch.randn(n_classes, W, generator=draw)
    cone = 2 * torch.randn(W, generator=draw)

    def images(labels: Tensor) -> Images:
        return as_images(3 * (cone + centres[labels] + torch.randn(*labels.shape, W, generator=draw)), projection)

    def labels(n: int) -> Tensor:
        return torch.stack([torch.arange(n)[torch.randperm(n, generator=draw)] % n_classes for _ in range(cells)])

    of_train, of_val = labels(n_images), labels(M)
    text = centres @ projection + 2 * torch.randn(width, generator=draw) + torch.randn(n_classes, width, generator=draw)
    return Support(
        images=images(of_train[:, None].expand(-1, views, -1)),
        labels=of_train,
        raw_text=4 * text,
        scale=20.0,
        seeds=range(cells),
        val=Labelled(images(of_val), of_val) if val else None,
        projection=projection,
    )


def as_images(hidden: Tensor, projection: Tensor) -> Images:
    raw = hidden @ projection
    return Images(F.normalize(raw, dim=-1), raw.norm(dim=-1), hidden)


def new_images(seed: int = 1) -> Images:
    """(40,) images to classify."""
    val = clip_like_support(cells=2, seed=seed).val
    assert val is not None
    assert val.images.hidden is not None
    return Images(*(one.flatten(0, 1)[:40] for one in (val.images.directions, val.images.norms, val.images.hidden)))


def agree(packed: Classifier, alone: Classifier, r: int) -> None:
    """Cell r of a pack has the classifier that it gets alone."""
    for name, tensor in alone.tensors().items():
        torch.testing.assert_close(packed.of_cell(r).tensors()[name], tensor, rtol=1e-4, atol=1e-5)


def check_packed_as_alone(method: Method[Any], support: Support, options: Sequence[MethodOptions]) -> None:
    """Each cell of a pack has the classifier and the chosen options that it gets alone.

    Args:
        options: of each cell.
    """
    packed = method.fit(support, options)
    for r, own in enumerate(options):
        alone = method.fit(support.of_cell(r), [own])
        assert list(packed.chosen[r : r + 1]) == list(alone.chosen)
        agree(packed.classifier, alone.classifier, r)
