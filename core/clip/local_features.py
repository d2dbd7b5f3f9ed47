"""Global and local image features of open_clip's two image towers from one pass through the trunk.

Shapes: B images, P positions (ViT patches, or cells of a ResNet's last map), W tower width, D joint width.

The tower runs unchanged, so global features are `encode_image`'s by construction; a hook keeps what enters and leaves
its last attention, and local features are computed from that.

- ViT, `value`: the last block with its attention replaced by the value path, as in MaskCLIP and LoCoOp.
- ViT, `tokens`: the last block's ordinary patch tokens. Known to be weak.
- ResNet, `value`: the attention pool's value path at every position.
- ResNet, `tokens`: the attention pool with every position as the query, as in PLOT.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.config.sections import LocalKind

ImageTower: TypeAlias = VisionTransformer | ModifiedResNet


def has_local_features(visual: nn.Module) -> bool:
    """Whether `image_features` knows this tower: plain ViTs and CLIP's ResNets."""
    if isinstance(visual, VisionTransformer):
        last = visual.transformer.resblocks[-1]
        return visual.attn_pool is None and isinstance(last, ResidualAttentionBlock)
    return isinstance(visual, ModifiedResNet)


def n_positions(visual: ImageTower) -> int:
    """P, the number of local features per image."""
    embedding = (visual.attnpool if isinstance(visual, ModifiedResNet) else visual).positional_embedding
    return int(embedding.shape[0]) - 1


def image_features(visual: ImageTower, images: Tensor, local: LocalKind | None) -> tuple[Tensor, Tensor | None]:
    """Encode images; nothing is normalised.

    Args:
        visual: a tower that `has_local_features` accepts.
        images: (B, 3, height, width), in the tower's number format.
        local: which local features, or None for none.

    Returns:
        Global (B, D) and local (B, P, D) or None.
    """
    if local is None:
        return visual(images), None
    if isinstance(visual, ModifiedResNet):
        with _passing(visual.attnpool) as passed:
            pooled = visual(images)
        return pooled, _resnet_local(visual.attnpool, passed.entering, local)
    with _passing(visual.transformer.resblocks[-1]) as passed:
        pooled = visual(images)
    return pooled, _vit_local(visual, passed, local)


def projection(visual: ImageTower) -> Tensor | None:
    """(W, D), the linear map from `hidden_features` into the joint space; None for towers without one.

    A ResNet's map has a bias: it is the last row, and the last hidden feature is 1.
    """
    if isinstance(visual, ModifiedResNet):
        last: nn.Linear = visual.attnpool.c_proj
        return torch.cat([last.weight.T, last.bias[None]])
    found: Tensor | None = visual.proj
    return found


def hidden_features(visual: ImageTower, images: Tensor) -> Tensor:
    """Features (B, W) before `projection`, for towers that have one."""
    if isinstance(visual, ModifiedResNet):
        with _passing(visual.attnpool) as passed:
            visual(images)
        pooled = _attended(visual.attnpool, passed.entering, "tokens")[:, 0]
        return torch.cat([pooled, torch.ones_like(pooled[:, :1])], dim=1)
    last, visual.proj = visual.proj, None
    try:
        hidden: Tensor = visual(images)
    finally:
        visual.proj = last
    return hidden


@dataclass
class _Passed:
    """What entered and left a module in the last forward pass."""

    entering: Tensor
    leaving: Tensor


@contextmanager
def _passing(module: nn.Module) -> Iterator[_Passed]:
    """Record the first input and the output of `module` while the context is open."""
    passed = _Passed(torch.empty(0), torch.empty(0))

    def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        passed.entering, passed.leaving = inputs[0], output

    handle = module.register_forward_hook(record)
    try:
        yield passed
    finally:
        handle.remove()


def _vit_local(visual: VisionTransformer, passed: _Passed, local: LocalKind) -> Tensor:
    """(B, 1 + P, W) around the last block to (B, P, D)."""
    patches = passed.leaving[:, 1:]
    if local == "value":
        block = visual.transformer.resblocks[-1]
        patches = passed.entering[:, 1:]
        patches = patches + block.ls_1(_value_path(block.attn, block.ln_1(patches)))
        patches = patches + block.ls_2(block.mlp(block.ln_2(patches)))
    projected: Tensor = visual.ln_post(patches) @ visual.proj
    return projected


def _value_path(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """Attention with every position attending to itself alone: out_proj(v_proj(x))."""
    _, _, weight = attention.in_proj_weight.chunk(3)
    _, _, bias = attention.in_proj_bias.chunk(3)
    value: Tensor = attention.out_proj(F.linear(x, weight, bias))
    return value


def _resnet_local(pool: AttentionPool2d, feature_map: Tensor, local: LocalKind) -> Tensor:
    """The last map (B, W, height, width) to (B, P, D)."""
    projected: Tensor = pool.c_proj(_attended(pool, feature_map, local)[:, 1:])  # position 0 is the pooled one
    return projected


def _attended(pool: AttentionPool2d, feature_map: Tensor, local: LocalKind) -> Tensor:
    """The last map (B, W, height, width) to (B, 1 + P, W), before the projection."""
    cells = feature_map.flatten(2).transpose(1, 2)  # (B, P, W)
    tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)
    tokens = tokens + pool.positional_embedding.to(tokens.dtype)
    values = pool.v_proj(tokens)
    if local == "tokens":
        return _attend(pool.q_proj(tokens), pool.k_proj(tokens), values, pool.num_heads)
    own: Tensor = values
    return own


def _attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Multi-head attention over (B, positions, W)."""
    split = (tensor.unflatten(-1, (heads, -1)).transpose(1, 2) for tensor in (queries, keys, values))
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
