"""CLIP's text transformer, built from a state dict: the layers of open_clip's plain `CLIP`, under the same keys.

They are written out here because `import open_clip` takes 3.3 s, and who trains on stored features needs of it the text
side alone. Every product and sum is taken as open_clip takes it: features and gradients are the same bits.

Shapes: V vocabulary, T positions, W text width, D joint width.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.LayerNorm):
    """Calculates in the format of its weights, which stay in float32 in open_clip's half-precision towers."""

    def forward(self, x: Tensor) -> Tensor:
        inner = x.to(self.weight.dtype)
        return F.layer_norm(inner, self.normalized_shape, self.weight, self.bias, self.eps).to(x.dtype)


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), which OpenAI's CLIPs were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class MLP(nn.Sequential):
    """Two linear maps, from W and back to it, and an activation between them."""

    c_fc: nn.Linear
    gelu: nn.Module
    c_proj: nn.Linear

    def __init__(self, width: int, hidden: int, quick_gelu: bool) -> None:
        layers = {
            "c_fc": nn.Linear(width, hidden),
            "gelu": QuickGELU() if quick_gelu else nn.GELU(),
            "c_proj": nn.Linear(hidden, width),
        }
        super().__init__(OrderedDict(layers))


class Block(nn.Module):
    """Attention and an MLP, each of the normalised input, added to it."""

    def __init__(self, width: int, heads: int, hidden: int, quick_gelu: bool, norm_eps: float) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width, eps=norm_eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = LayerNorm(width, eps=norm_eps)
        self.mlp = MLP(width, hidden, quick_gelu)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(n, t, W) under an additive mask (t, t)."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask.to(x.dtype))[0]
        return cast(Tensor, x + self.mlp(self.ln_2(x)))


class Transformer(nn.Module):
    """The blocks, under open_clip's key for them."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(n, t, W) under an additive mask (t, t)."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class TextTransformer(nn.Module):
    """What CLIP encodes texts with, frozen, in evaluation mode, and the logarithm of its logit scale.

    Args:
        state: weights with open_clip's keys, of which the text side's are taken as they are, and not copied.
        heads: of attention, which no weight's shape tells.
        quick_gelu: the activation; GELU otherwise.
        norm_eps: of all layer norms.
    """

    attn_mask: Tensor

    def __init__(self, state: Mapping[str, Tensor], *, heads: int, quick_gelu: bool, norm_eps: float) -> None:
        super().__init__()
        positions, width = state["positional_embedding"].shape
        hidden = len(state["transformer.resblocks.0.mlp.c_fc.weight"])
        layers = sum(key.endswith(".ln_1.weight") for key in state if key.startswith("transformer.resblocks."))
        # Not even a `nn.Embedding` without numbers, whose initialisation would import torch's compiler for 1.3 s.
        self.token_embedding = nn.Embedding.from_pretrained(state["token_embedding.weight"])
        with torch.device("meta"):  # no time for weights that are replaced
            self.positional_embedding = nn.Parameter(torch.empty(positions, width))
            self.transformer = Transformer([Block(width, heads, hidden, quick_gelu, norm_eps) for _ in range(layers)])
            self.ln_final = LayerNorm(width, eps=norm_eps)
            self.text_projection = nn.Parameter(torch.empty(state["text_projection"].shape))
            self.logit_scale = nn.Parameter(torch.empty(state["logit_scale"].shape))
        self.load_state_dict({key: state[key] for key in self.state_dict()}, assign=True)
        mask = torch.full((positions, positions), -torch.inf).triu(1)
        self.register_buffer("attn_mask", mask, persistent=False)
        self.requires_grad_(False).eval()


def rounded(state: Mapping[str, Tensor], formats: Mapping[str, str]) -> dict[str, Tensor]:
    """Copies of weights in the formats that they are calculated with, by way of float32, as a model rounds them.

    In memory of their own: a file's tensors keep the whole file, and lie where products may come out otherwise.

    Args:
        state: as files have them.
        formats: names of torch's, such as `bfloat16`.
    """
    return {key: value.float().to(getattr(torch, formats[key]), copy=True) for key, value in state.items()}
