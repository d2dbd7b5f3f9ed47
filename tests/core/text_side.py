"""The text side of an open_clip model, as `load_backbone` makes it of a model's weights."""

from typing import Any

from torch import nn

from dualpt.core.clip.text_tower import TextTower, Tokenizer
from dualpt.core.clip.text_transformer import TextTransformer
from dualpt.core.clip.tokenizer import tokenizer_of


def text_tower_of(model: nn.Module, tokenizer: Tokenizer | None = None) -> TextTower:
    """A tower with the model's own weights, in their formats and on their device.

    Args:
        model: open_clip's plain `CLIP`.
        tokenizer: CLIP's own if None.
    """
    text: Any = model
    block = text.transformer.resblocks[0]
    transformer = TextTransformer(
        text.state_dict(),
        heads=block.attn.num_heads,
        quick_gelu=type(block.mlp.gelu).__name__ == "QuickGELU",
        norm_eps=text.ln_final.eps,
    )
    return TextTower(transformer.to(text.positional_embedding.device), tokenizer or tokenizer_of(None))
