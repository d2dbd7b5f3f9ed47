"""The tiny CLIP of the mini grid: an ordinary `open_clip` CLIP, small, with a grid of image positions that stay local.

The image tower is a ModifiedResNet whose last two stages keep their resolution, so 48-pixel images give 6 x 6
positions. The text tower has CLIP's own vocabulary and context length: any class name tokenises, and any prompt that
fits the real CLIP fits this one. Token rows that pretraining never met are their seeded initialisation; the weight file
holds only the rows that it met.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dualpt.core.errors import UserError
from dualpt.core.files.half_written import written_whole
from dualpt.core.files.regular import check_regular
from dualpt.core.files.tensor_values import check_values

if TYPE_CHECKING:  # importing it takes 3.3 s, and the text side does without
    from open_clip.model import CLIP

MINI_CLIP_WEIGHTS = Path(__file__).with_name("clip.safetensors")
MINI_CLIP_SHA256 = "b792a3befb84d7489bd8348c3de6f7fe891f9ecc6813a8cf95123fa14979d515"
"""Of the shipped file; how it was trained is in its metadata, see `dualpt.core.mini.pretrain`."""
MINI_CLIP_IMAGE_SIZE = 48
MINI_CLIP_MEAN = (0.5, 0.5, 0.5)
MINI_CLIP_STD = (0.25, 0.25, 0.25)

GRID_SIDE = 6
"""Image positions along each side."""
JOINT_WIDTH = 128
TEXT_WIDTH = 128
TEXT_HEADS = 4
TEXT_LAYERS = 3
VOCABULARY_SIZE = 49408
CONTEXT_LENGTH = 77
TOKEN_SEED = 20
TOKEN_STD = 0.02

TOKEN_TABLE = "token_embedding.weight"
TOKEN_ROWS = "token_embedding.rows"
TOKEN_VALUES = "token_embedding.values"
BATCH_COUNTER = "num_batches_tracked"
"""Only a batch norm in training reads its counter; the weight file leaves it out."""


def build_mini_clip() -> "CLIP":
    """The architecture with random weights; only the token table is seeded.

    Shapes: images (B, 3, 48, 48), tokens (B, 77), features (B, 128).
    """
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    # ModifiedResNet computes its grid as image_size / 32; two stages without stride make it image_size / 8.
    vision = CLIPVisionCfg(layers=(1, 1, 1, 1), width=16, head_width=64, image_size=GRID_SIDE * 32)
    text = CLIPTextCfg(CONTEXT_LENGTH, VOCABULARY_SIZE, width=TEXT_WIDTH, heads=TEXT_HEADS, layers=TEXT_LAYERS)
    model = CLIP(embed_dim=JOINT_WIDTH, vision_cfg=vision, text_cfg=text)
    for stage in (model.visual.layer3, model.visual.layer4):
        stage[0].avgpool = nn.Identity()
        stage[0].downsample[0] = nn.Identity()
    model.visual.image_size = MINI_CLIP_IMAGE_SIZE
    with torch.no_grad():
        model.token_embedding.weight.copy_(initial_token_table())
    return model


def initial_token_table() -> Tensor:
    """The seeded token embeddings before any training, (V, W) float32."""
    rng = np.random.Generator(np.random.PCG64(TOKEN_SEED))
    return torch.from_numpy(rng.standard_normal((VOCABULARY_SIZE, TEXT_WIDTH), dtype=np.float32) * TOKEN_STD)


def load_mini_clip(weights: Path | None = None) -> "CLIP":
    """The trained tiny CLIP, frozen, float32, in evaluation mode.

    Args:
        weights: a file that `save_mini_clip` wrote; the shipped one if None.

    Raises:
        UserError: the file is missing, unreadable, or holds another architecture.
    """
    model = build_mini_clip()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(read_mini_clip(weights or MINI_CLIP_WEIGHTS, shapes))
    return model.eval().requires_grad_(False)


def save_mini_clip(model: "CLIP", token_rows: Tensor, path: Path, provenance: dict[str, str]) -> None:
    """Write the weights in half precision, of the token table only the given rows.

    Args:
        token_rows: ids of the tokens that training met, (K,) in ascending order.
        provenance: how the weights came about, kept in the file's metadata.
    """
    state = {
        key: value.detach().to(torch.float16).contiguous()
        for key, value in model.state_dict().items()
        if not key.endswith(BATCH_COUNTER) and key != TOKEN_TABLE
    }
    state[TOKEN_ROWS] = token_rows.to(torch.int32)
    state[TOKEN_VALUES] = model.token_embedding.weight.detach()[token_rows].to(torch.float16).contiguous()
    with written_whole(path) as part:
        save_file(state, part, metadata=provenance)


def read_mini_clip(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The state dict in a weight file, float32, checked key by key against the architecture's shapes.

    Raises:
        UserError: as `load_mini_clip`.
    """
    check_regular(path)
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable weight file of the tiny CLIP ({error})") from error
    rows, values = stored.pop(TOKEN_ROWS, None), stored.pop(TOKEN_VALUES, None)
    if rows is None or values is None or values.shape != (len(rows), TEXT_WIDTH):
        raise _misfit(path, f"{TOKEN_ROWS} or {TOKEN_VALUES} is missing or of another shape")
    if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= VOCABULARY_SIZE):
        raise _misfit(path, f"{TOKEN_ROWS} points outside the vocabulary")
    check_values({**stored, TOKEN_VALUES: values}, path)
    state = {key: torch.tensor(0) for key in shapes if key.endswith(BATCH_COUNTER)}
    state[TOKEN_TABLE] = initial_token_table()
    state[TOKEN_TABLE][rows.long()] = values.float()
    for key, tensor in stored.items():
        if shapes.get(key) != tuple(tensor.shape):
            wanted = shapes.get(key, "none")
            raise _misfit(path, f"{key} has shape {tuple(tensor.shape)}, wanted is {wanted}")
        state[key] = tensor.float()
    missing = sorted(shapes.keys() - state.keys())
    if missing:
        raise _misfit(path, f"{missing[0]} is missing")
    return state


def _misfit(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: not the tiny CLIP's weights: {reason}; name no file to use the shipped ones")
