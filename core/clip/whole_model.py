"""open_clip's own model, image tower included, and what open_clip says of itself. Imported where it is needed alone.

Importing this module imports open_clip, which takes 3.3 s: `backbone` does so when images are encoded or weights come
from a seed, `open_clip_cache` when nothing is kept of what is asked.
"""

from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
from open_clip import get_model_config, list_models
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, convert_weights_to_lp, get_cast_dtype
from open_clip.pretrained import get_pretrained_cfg, list_pretrained

from dualpt.core.clip.local_features import has_local_features, n_positions, projection
from dualpt.core.clip.open_clip_cache import Config
from dualpt.core.clip.weights import RANDOM_SEED
from dualpt.core.mini.clip import build_mini_clip


def build(config: Config | None, precision: str) -> CLIP:
    """The model with weights from a fixed seed, in float32; the caller's generator is left alone.

    Args:
        config: as open_clip's `CLIP` takes it; None for `mini-clip`.
        precision: number format that the towers are to have.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return build_mini_clip() if config is None else CLIP(**config, cast_dtype=get_cast_dtype(precision))


def round_towers(model: CLIP, is_mini: bool, precision: str) -> None:
    """Round the towers but not the logit scale, whose exponential would be off by a percent."""
    dtype = get_cast_dtype(precision)
    if dtype is None:
        return
    if not is_mini:
        convert_weights_to_lp(model, dtype)  # leaves the scale alone
        return
    logit_scale = model.logit_scale.detach().clone()
    model.to(dtype)
    model.logit_scale.data = logit_scale


def outline_of(config: Config | None, precision: str) -> Config:
    """What `open_clip_cache.Outline` holds, as JSON, from a model without numbers."""
    with nullcontext() if config is None else torch.device("meta"):  # building the tiny one costs nothing
        model = build(config, precision)
        round_towers(model, config is None, precision)
    visual = model.visual
    size, supported = visual.image_size, has_local_features(visual)
    hidden = projection(visual) if supported else None
    return {
        "weights": {
            key: (list(value.shape), str(value.dtype).removeprefix("torch."))
            for key, value in model.state_dict().items()
        },
        "image_size": [size, size] if isinstance(size, int) else list(size),
        "width": int(visual.output_dim),
        "n_positions": n_positions(visual) if supported else 0,
        "hidden_width": 0 if hidden is None else len(hidden),
    }


def tables() -> dict[str, Any]:
    """Architectures, published weights and defaults, as `open_clip_cache` keeps them."""
    return {
        "architectures": {name: get_model_config(name) for name in list_models()},
        "weights": published_weights(),
        "defaults": {"text_cfg": asdict(CLIPTextCfg()), "vision_cfg": asdict(CLIPVisionCfg())},
    }


def published_weights() -> dict[str, dict[str, Config]]:
    """open_clip's entries for published weights, by architecture and tag."""
    found: dict[str, dict[str, Config]] = {}
    for name, tag in list_pretrained():
        found.setdefault(name, {})[tag] = get_pretrained_cfg(name, tag)
    return found
