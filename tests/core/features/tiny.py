"""A CLIP of a few kilobytes with random weights, and what it makes of images without any store."""

from collections.abc import Sequence
from pathlib import Path

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.backbone import Backbone
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.images import Preprocess, decode
from dualpt.core.data.splits import Item
from dualpt.core.files.fingerprint import fingerprint
from tests.core.text_side import text_tower_of

TEXTURES = dataset_info("DescribableTextures")
NAME = TEXTURES.name


def tiny_backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    model = CLIP(
        embed_dim=8,
        vision_cfg=CLIPVisionCfg(layers=1, width=16, head_width=8, patch_size=8, image_size=16),
        text_cfg=CLIPTextCfg(context_length=8, vocab_size=10, width=8, heads=2, layers=1),
    )
    model.eval().requires_grad_(False)
    return Backbone(
        name="tiny",
        weights_fingerprint=fingerprint(seed),
        preprocess=Preprocess((16, 16), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        precision="fp32",
        width=8,
        n_positions=4,
        hidden_width=16,
        text=text_tower_of(model),
        projection=model.visual.proj,
        device=torch.device("cpu"),
        load_model=lambda: model,
    )


def expected(backbone: Backbone, image_root: Path, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
    pixels = torch.stack([backbone.preprocess.plain(decode(image_root / item.path)) for item in items])
    global_features, local_features = backbone.encode_images(pixels, "value")
    assert local_features is not None
    return global_features, local_features


def agrees(found: ImageFeatures, wanted: tuple[Tensor, Tensor], atol: float = 1e-6) -> bool:
    assert found.local_features is not None
    close = torch.allclose(found.global_features, wanted[0], atol=atol)
    return close and torch.allclose(found.local_features[:].float(), wanted[1], atol=atol)


def flip(path: Path, byte: int) -> None:
    """Change all bits of one byte; negative numbers count from the end."""
    content = bytearray(path.read_bytes())
    content[byte] ^= 0xFF
    path.write_bytes(content)
