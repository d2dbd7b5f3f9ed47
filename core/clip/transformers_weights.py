"""Weights of transformers' `CLIPModel`, renamed and joined into those of open_clip's `CLIP`.

Shapes: W tower width, D joint width. Numbers are copied, never computed: query, key and value are stacked into one
matrix, and the two projections are transposed, because open_clip multiplies them from the right.
"""

import re

import torch
from torch import Tensor

RENAMED = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
}
TRANSPOSED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
"""(D, W) there, (W, D) here."""
TOWERS = (
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
)
NORMS = (
    ("text_model.final_layer_norm.", "ln_final."),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),  # spelt like this there
    ("vision_model.post_layernorm.", "visual.ln_post."),
)
IN_BLOCK = (
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
    ("self_attn.out_proj.", "attn.out_proj."),
)
POSITION_IDS = ".position_ids"
"""A constant 0, 1, 2, ... that old files hold."""

INPUT_PROJECTION = re.compile(r"(.*)self_attn\.([qkv])_proj\.(weight|bias)")


def is_transformers_state(state: dict[str, Tensor]) -> bool:
    """Whether these are a `CLIPModel`'s keys."""
    return any(key.startswith(("text_model.", "vision_model.")) for key in state)


def to_open_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A `CLIPModel`'s state dict with open_clip's keys; keys that have no counterpart keep their names."""
    converted: dict[str, Tensor] = {}
    stacked: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        if key.endswith(POSITION_IDS):
            continue
        if match := INPUT_PROJECTION.fullmatch(key):
            block, part, kind = match.groups()
            stacked.setdefault(f"{_open_clip_key(block)}attn.in_proj_{kind}", {})[part] = value
        elif key in TRANSPOSED:
            converted[TRANSPOSED[key]] = value.T.contiguous()
        else:
            converted[_open_clip_key(key)] = value
    # An incomplete triple gives a matrix of another shape, which loading refuses by name.
    return converted | {key: torch.cat([parts[p] for p in "qkv" if p in parts]) for key, parts in stacked.items()}


def _open_clip_key(key: str) -> str:
    if key in RENAMED:
        return RENAMED[key]
    for theirs, ours in (*TOWERS, *NORMS):
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
            for inner_theirs, inner_ours in IN_BLOCK:
                key = key.replace(inner_theirs, inner_ours)
            return key
    return key
