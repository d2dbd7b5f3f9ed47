"""The frozen CLIP: find it as a shipped file, a local file, a tag or a seed, and encode images and texts with it.

Its text side is there at once. Its image side is open_clip's, and loaded when the first image is encoded: importing
open_clip takes 3.3 s, and where features are stored nobody needs it. Whatever weights may have wrong is found before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.arrays import Beside
from dualpt.core.clip.architectures import NORM_EPS, architecture_config, text_shape
from dualpt.core.clip.misfits import check_formats, fitting
from dualpt.core.clip.open_clip_cache import Config, Outline, outline
from dualpt.core.clip.state_files import read_weights
from dualpt.core.clip.text_tower import TextTower, Tokenizer
from dualpt.core.clip.text_transformer import TextTransformer, rounded
from dualpt.core.clip.tokenizer import tokenizer_of
from dualpt.core.clip.weights import AUTO, MINI_CLIP, Weights, find_weights
from dualpt.core.config.sections import LocalKind, Precision
from dualpt.core.data.images import Preprocess
from dualpt.core.errors import UserError
from dualpt.core.mini.clip import MINI_CLIP_MEAN, MINI_CLIP_STD, TEXT_HEADS, read_mini_clip

if TYPE_CHECKING:
    from open_clip.model import CLIP

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the images that CLIP was trained on, which open_clip takes where weights say nothing else."""
IMAGE_SIDE = "visual."
"""Begins the keys of the image side's weights."""
VIT_PROJECTION = "visual.proj"
RESNET_PROJECTION = ("visual.attnpool.c_proj.weight", "visual.attnpool.c_proj.bias")
FORMATS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of images, as a tower takes them."""


class Encoded(NamedTuple):
    """Features of B images: float32 on the backbone's device."""

    global_features: Tensor
    """(B, D), L2-normalised."""
    beside: Tensor | None
    """Local features (B, P, D), L2-normalised, or hidden ones (B, W) as they are; None where none are asked for."""
    norms: Tensor
    """(B,), of the raw global features."""


@dataclass(frozen=True)
class BackboneFacts:
    """What a backbone's stored features depend on, known before its weights are read."""

    name: str
    weights_fingerprint: str
    preprocess: Preprocess
    precision: Precision
    width: int
    """D, the joint width."""
    n_positions: int
    """P, local features per image."""
    hidden_width: int
    """W, the width before the projection into the joint space; 0 for towers that have no such features."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.preprocess.size


@dataclass(frozen=True, eq=False)
class Backbone(BackboneFacts):
    """A frozen CLIP and everything needed to feed it."""

    text: TextTower
    projection: Tensor | None
    """(W, D): hidden features times this are the raw global features; None where `hidden_width` is 0."""
    device: torch.device
    load_model: "Callable[[], CLIP]"
    """Gives open_clip's model, frozen, in this backbone's precision and on its device."""

    @cached_property
    def model(self) -> "CLIP":
        """open_clip's model, image side and all, loaded when it is first asked for.

        Raises:
            UserError: the weights have changed since they were first read.
        """
        return self.load_model()

    @property
    def tokenizer(self) -> Tokenizer:
        """Of the text side."""
        return self.text.tokenizer

    @property
    def logit_scale(self) -> float:
        """exp(logit_scale), about 100 for trained CLIPs."""
        return self.text.logit_scale

    @torch.no_grad()  # not inference_mode: its tensors cannot take part in a training graph
    def encode_images(self, images: Tensor, local: LocalKind | None) -> tuple[Tensor, Tensor | None]:
        """Encode preprocessed images (B, 3, height, width) of any device.

        Returns:
            Global (B, D), and local (B, P, D) or None: L2-normalised float32 on the backbone's device.
        """
        encoded = self.encode(images, local)
        return encoded.global_features, encoded.beside

    @torch.no_grad()
    def encode(self, images: Tensor, beside: Beside | None) -> Encoded:
        """Encode preprocessed images (B, 3, height, width) of any device, and keep the lengths of raw features."""
        from dualpt.core.clip.local_features import hidden_features, image_features

        images = images.to(self.device, non_blocking=True)  # uncast: a cast on the way would not be asynchronous
        images = images.to(FORMATS[self.precision])
        visual = self.model.visual
        if beside == "hidden":
            hidden = hidden_features(visual, images)
            assert self.projection is not None, "hidden_width is 0"
            raw = hidden @ self.projection.to(hidden.dtype)
            return Encoded(_normalised(raw), hidden.float(), raw.float().norm(dim=-1))
        pooled, positions = image_features(visual, images, beside)
        kept = None if positions is None else _normalised(positions)
        return Encoded(_normalised(pooled), kept, pooled.float().norm(dim=-1))


def _normalised(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)


def load_backbone(
    name: str,
    pretrained: str | None = None,
    precision: Precision = "fp32",
    device: str | torch.device = "cpu",
) -> Backbone:
    """Load a frozen CLIP: all of its weights are read and checked, its image side is built when it is first used.

    Args:
        name: `mini-clip`, an open_clip architecture, or `auto` for that of a checkpoint folder.
        pretrained: an open_clip tag (downloaded where not cached), the path of a local weights file or checkpoint
            folder, or `random`; None for the shipped weights of `mini-clip`.
        precision: number format of the towers; features are float32 either way.
        device: a torch device.

    Raises:
        UserError: an unknown or unsupported architecture, weights that are missing, do not fit, or were trained with
            another activation than the architecture has.
    """
    weights, config, known = _find(name, pretrained, precision)
    seeded = _seeded(config, precision) if weights.path is None else None
    state = _read(weights, name, known) if seeded is None else seeded.state_dict()
    check_formats(state, known.formats, precision)
    heads, quick_gelu, eps = (TEXT_HEADS, False, NORM_EPS) if config is None else text_shape(config)
    side = {key: value for key, value in state.items() if not key.startswith(IMAGE_SIDE)}
    text = TextTransformer(rounded(side, known.formats), heads=heads, quick_gelu=quick_gelu, norm_eps=eps).to(device)

    def load_model() -> "CLIP":
        model = seeded
        if model is None:
            if find_weights(name, pretrained).fingerprint != weights.fingerprint:
                raise UserError(f"{weights.path}: changed since the text tower was read from it; start again")
            model = _seeded(config, precision)
            model.load_state_dict(_read(weights, name, known))
        return _prepared(model, config is None, precision, text)

    return Backbone(
        **vars(_facts(name, weights, known, precision)),
        text=TextTower(text, tokenizer_of(weights.vocabulary)),
        projection=_projection(state, known.formats, torch.device(device)),
        device=torch.device(device),
        load_model=load_model,
    )


def backbone_facts(name: str, pretrained: str | None = None, precision: Precision = "fp32") -> BackboneFacts:
    """What `load_backbone` would give, without reading weights.

    Raises:
        UserError: as `load_backbone`, except for weights that do not fit.
    """
    weights, _, known = _find(name, pretrained, precision)
    return _facts(name, weights, known, precision)


def _find(name: str, pretrained: str | None, precision: Precision) -> tuple[Weights, Config | None, Outline]:
    """The weights, not read yet; their architecture, which is None for `mini-clip`; and what is known of that.

    Raises:
        UserError: as `load_backbone`, except for weights that do not fit.
    """
    named = None if name in (MINI_CLIP, AUTO) else architecture_config(name)
    weights = find_weights(name, pretrained)
    config = weights.config or named
    known = outline(config, precision)
    if not known.n_positions:
        raise UserError(f"backbone.name: {name} is not supported, its image tower is neither a plain ViT nor a ResNet")
    return weights, config, known


def _facts(name: str, weights: Weights, known: Outline, precision: Precision) -> BackboneFacts:
    return BackboneFacts(
        name=name,
        weights_fingerprint=weights.fingerprint,
        preprocess=_preprocess(name, weights, known.image_size),
        precision=precision,
        width=known.width,
        n_positions=known.n_positions,
        hidden_width=known.hidden_width,
    )


def _read(weights: Weights, name: str, known: Outline) -> dict[str, Tensor]:
    """All weights by open_clip's keys, checked against the architecture.

    Raises:
        UserError: a file that is damaged, or does not fit.
    """
    assert weights.path is not None
    if name == MINI_CLIP:
        return read_mini_clip(weights.path, known.shapes)
    return fitting(read_weights(weights, name), known.shapes, name, weights.path)


def _projection(state: Mapping[str, Tensor], formats: Mapping[str, str], device: torch.device) -> Tensor | None:
    """The linear map at the end of the image side, as the model rounds it; a ResNet's bias is its last row."""
    last = rounded({key: state[key] for key in (VIT_PROJECTION, *RESNET_PROJECTION) if key in state}, formats)
    found = last.get(VIT_PROJECTION)
    if found is None and len(last) == len(RESNET_PROJECTION):
        weight, bias = (last[key] for key in RESNET_PROJECTION)
        found = torch.cat([weight.T, bias[None]])
    return None if found is None else found.float().to(device)


def _seeded(config: Config | None, precision: Precision) -> "CLIP":
    """open_clip's model with weights from a seed."""
    from dualpt.core.clip.whole_model import build

    return build(config, precision)


def _prepared(model: "CLIP", is_mini: bool, precision: Precision, text: TextTransformer) -> "CLIP":
    """The model, frozen, with its towers rounded, on the device of its text side, which it shares."""
    from dualpt.core.clip.whole_model import round_towers

    round_towers(model, is_mini, precision)
    model.to(text.attn_mask.device).eval().requires_grad_(False)
    model.load_state_dict(text.state_dict(), strict=False, assign=True)
    return model


def _preprocess(name: str, weights: Weights, size: tuple[int, int]) -> Preprocess:
    """What is known of the weights, and CLIP's own constants for the rest."""
    if name == MINI_CLIP:
        return Preprocess(size, MINI_CLIP_MEAN, MINI_CLIP_STD)
    known = weights.preprocess
    return Preprocess(
        size=size,
        mean=tuple(known.get("mean", OPENAI_MEAN)),
        std=tuple(known.get("std", OPENAI_STD)),
        interpolation=known.get("interpolation", "bicubic"),
        resize_mode=known.get("resize_mode", "shortest"),
    )
