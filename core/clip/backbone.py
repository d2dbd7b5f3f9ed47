"""The frozen CLIP: load it from a shipped file, a local file, a tag or a seed, and encode images with it."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP, convert_weights_to_lp, get_cast_dtype
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.arrays import Beside
from dualpt.core.clip.architectures import architecture_config, check_activation
from dualpt.core.clip.local_features import (
    has_local_features,
    hidden_features,
    image_features,
    n_positions,
    projection,
)
from dualpt.core.clip.misfits import check_logit_scale, describe_misfits
from dualpt.core.clip.state_files import SCALE, read_shards, read_state
from dualpt.core.clip.text_tower import Tokenizer
from dualpt.core.clip.tokenizer import tokenizer_of
from dualpt.core.clip.transformers_layout import CONFIG_FILE
from dualpt.core.clip.transformers_weights import is_transformers_state, to_open_clip
from dualpt.core.clip.weights import AUTO, MINI_CLIP, RANDOM_SEED, Weights, find_weights
from dualpt.core.config.sections import LocalKind, Precision
from dualpt.core.data.images import Preprocess
from dualpt.core.errors import UserError
from dualpt.core.mini.clip import MINI_CLIP_IMAGE_SIZE, MINI_CLIP_MEAN, MINI_CLIP_STD, build_mini_clip, load_mini_clip

OPENAI_MARK = "input_resolution"
ARCHIVE_CONSTANTS = (OPENAI_MARK, "context_length", "vocab_size")
"""What only OpenAI's files hold besides weights."""


class Encoded(NamedTuple):
    """Features of B images: float32 on the backbone's device."""

    global_features: Tensor
    """(B, D), L2-normalised."""
    beside: Tensor | None
    """Local features (B, P, D), L2-normalised, or hidden ones (B, W) as they are; None where none are asked for."""
    norms: Tensor
    """(B,), of the raw global features."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen CLIP and everything needed to feed it."""

    name: str
    model: CLIP
    tokenizer: Tokenizer
    preprocess: Preprocess
    precision: Precision
    device: torch.device
    weights_fingerprint: str

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.preprocess.size

    @property
    def width(self) -> int:
        """D, the joint width."""
        return int(self.model.visual.output_dim)

    @property
    def n_positions(self) -> int:
        """P, local features per image."""
        return n_positions(self.model.visual)

    @property
    def hidden_width(self) -> int:
        """W, the width before the projection into the joint space; 0 for towers that have no such features."""
        return _hidden_width(self.model)

    @property
    def projection(self) -> Tensor:
        """(W, D): hidden features times this are the raw global features; only where `hidden_width` is above 0."""
        found = projection(self.model.visual)
        assert found is not None, "hidden_width is 0"
        return found.float()

    @property
    def logit_scale(self) -> float:
        """exp(logit_scale), about 100 for trained CLIPs."""
        return float(self.model.logit_scale.float().exp())

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
        images = images.to(self.device, non_blocking=True)  # uncast: a cast on the way would not be asynchronous
        images = images.to(get_cast_dtype(self.precision) or torch.float32)
        visual = self.model.visual
        if beside == "hidden":
            hidden = hidden_features(visual, images)
            raw = hidden @ self.projection.to(hidden.dtype)
            return Encoded(_normalised(raw), hidden.float(), raw.float().norm(dim=-1))
        pooled, positions = image_features(visual, images, beside)
        kept = None if positions is None else _normalised(positions)
        return Encoded(_normalised(pooled), kept, pooled.float().norm(dim=-1))


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
    """W, the width before the projection; 0 for towers that have no such features."""


def _hidden_width(model: CLIP) -> int:
    found = projection(model.visual)
    return 0 if found is None else len(found)


def _normalised(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)


def load_backbone(
    name: str,
    pretrained: str | None = None,
    precision: Precision = "fp32",
    device: str | torch.device = "cpu",
) -> Backbone:
    """Load a frozen CLIP in evaluation mode.

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
    weights, model = _build(name, pretrained, precision)
    if weights.path is not None and name != MINI_CLIP:
        _load_strictly(model, _state_of(weights, name), name, weights.path)
    _to_precision(model, name, precision)
    if precision == "fp16":
        _check_precision(model, precision)
    return Backbone(
        name=name,
        model=model.to(device).eval().requires_grad_(False),
        tokenizer=tokenizer_of(weights.vocabulary, model.context_length),
        preprocess=_preprocess(name, model, weights),
        precision=precision,
        device=torch.device(device),
        weights_fingerprint=weights.fingerprint,
    )


def backbone_facts(name: str, pretrained: str | None = None, precision: Precision = "fp32") -> BackboneFacts:
    """What `load_backbone` would give, without reading weights.

    Raises:
        UserError: as `load_backbone`, except for weights that do not fit.
    """
    with nullcontext() if name == MINI_CLIP else torch.device("meta"):  # building the tiny one costs nothing
        weights, model = _build(name, pretrained, precision)
    return BackboneFacts(
        name=name,
        weights_fingerprint=weights.fingerprint,
        preprocess=_preprocess(name, model, weights),
        precision=precision,
        width=int(model.visual.output_dim),
        n_positions=n_positions(model.visual),
        hidden_width=_hidden_width(model),
    )


def _build(name: str, pretrained: str | None, precision: Precision) -> tuple[Weights, CLIP]:
    """Find the weights, and build the architecture: the tiny CLIP with its weights, others from a fixed seed.

    Raises:
        UserError: as `load_backbone`, except for weights that do not fit.
    """
    named = None if name in (MINI_CLIP, AUTO) else architecture_config(name)
    weights = find_weights(name, pretrained)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        if name == MINI_CLIP:
            return weights, build_mini_clip() if weights.path is None else load_mini_clip(weights.path)
        config = weights.config or named
        assert config is not None, "weights of `auto` bring their architecture"
        model = CLIP(**config, cast_dtype=get_cast_dtype(precision))
    if not has_local_features(model.visual):
        raise UserError(f"backbone.name: {name} is not supported, its image tower is neither a plain ViT nor a ResNet")
    return weights, model


def _to_precision(model: CLIP, name: str, precision: Precision) -> None:
    """Round the towers but not the logit scale, whose exponential would be off by a percent."""
    dtype = get_cast_dtype(precision)
    if dtype is None:
        return
    if name != MINI_CLIP:
        convert_weights_to_lp(model, dtype)  # leaves the scale alone
        return
    logit_scale = model.logit_scale.detach().clone()
    model.to(dtype)
    model.logit_scale.data = logit_scale


def _check_precision(model: CLIP, precision: Precision) -> None:
    """Refuse weights that were finite before they were rounded: fp16 ends at 65,504."""
    for key, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise UserError(f"backbone.precision: {precision} cannot hold {key}; use bf16 or fp32")


def _state_of(weights: Weights, name: str) -> dict[str, Tensor]:
    """The weights with open_clip's keys."""
    assert weights.path is not None
    if weights.shards:
        return to_open_clip(read_shards(weights.shards))
    state = read_state(weights.path, weights.by_openai)
    if is_transformers_state(state):
        raise UserError(
            f"{weights.path}: a checkpoint of transformers; give the folder it lies in, with its {CONFIG_FILE}"
        )
    if OPENAI_MARK in state and name != AUTO:  # OpenAI's own state dict, whoever saved it
        check_activation(name, str(weights.path), trained_quick=True)
    return {key: value for key, value in state.items() if key not in ARCHIVE_CONSTANTS}


def _load_strictly(model: CLIP, state: dict[str, Tensor], name: str, path: Path) -> None:
    """Load a state dict that has every key of the model, no other, and the same shapes.

    Raises:
        UserError: saying which keys do not fit, or that the logit scale cannot be right.
    """
    expected = model.state_dict()
    if SCALE in state and state[SCALE].numel() == 1:  # some files hold it as (1,)
        state[SCALE] = state[SCALE].reshape(expected[SCALE].shape)
    if misfits := describe_misfits(state, expected):
        raise UserError(f"{path}: these weights do not fit {name}: {misfits}")
    check_logit_scale(state[SCALE], path)
    model.load_state_dict(state)


def _preprocess(name: str, model: CLIP, weights: Weights) -> Preprocess:
    """What is known of the weights, and CLIP's own constants for the rest."""
    if name == MINI_CLIP:
        return Preprocess((MINI_CLIP_IMAGE_SIZE, MINI_CLIP_IMAGE_SIZE), MINI_CLIP_MEAN, MINI_CLIP_STD)
    size = model.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    known = weights.preprocess
    return Preprocess(
        size=(height, width),
        mean=tuple(known.get("mean", OPENAI_DATASET_MEAN)),
        std=tuple(known.get("std", OPENAI_DATASET_STD)),
        interpolation=known.get("interpolation", "bicubic"),
        resize_mode=known.get("resize_mode", "shortest"),
    )
