#!/usr/bin/env bash
# One would guess: torch's FlopCounterMode counts the multiplications of a model, which are the same in training and in
#   evaluation, with gradients or without.
# What happens: nn.MultiheadAttention has a fused path, taken in evaluation mode when nothing records gradients
#   (no_grad, or a tower all frozen), outside autocast. The counter has no formula for that operator and counts it as 0,
#   projections included. So model.eval() under torch.no_grad(), the usual way to measure inference, leaves out
#   every attention of a ViT. The text tower's causal mask keeps it off that path, and it is counted in full. A whole
#   nn.TransformerEncoderLayer is one fused operator: 0. Nothing is said of what wasn't counted.
# Why it matters: the cost in GFLOPs is a column of the field's tables. By this counter one forward pass of ViT-B/16 is
#   1.5 times as dear in a method that takes gradients through the tower, where it costs the same; and the ratio of
#   image to text tower is wrong. torch.backends.mha.set_fastpath_enabled(False) makes the two agree. (2.15's page says
#   that operators without a formula count as 0, and get_unsupported_ops() doesn't list them; 2.13's says nothing.)
# Versions: torch 2.13.0, CPU build (Python 3.11). It also counts the two products of attention on a CPU as 0, in every
#   state, which has been mended since. torch 2.15.0: 34.89, and 22.31 in evaluation without gradients; open_clip_torch
#   3.3.0's whole image tower there: 35.13 and 22.54, or 35.13 under autocast; its text tower: 5.96 in all states.
# Seen, 12 blocks of ViT-B/16's width over 197 tokens, in GFLOPs: 33.46 in training mode, 33.46 in evaluation with
#   gradients, 22.31 without, 33.46 with the path switched off; with a causal mask (77 tokens, width 512): 5.81 in both;
#   an encoder layer: 0.0049 with gradients, 0 without.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode


class Block(torch.nn.Module):
    """A block of CLIP's towers, of the modules that open_clip uses; its mask is None for images, causal for texts."""

    def __init__(self, width, mask):
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attn = torch.nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.c_fc, self.c_proj = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
        self.mask = mask

    def forward(self, tokens):
        seen = self.ln_1(tokens)
        tokens = tokens + self.attn(seen, seen, seen, need_weights=False, attn_mask=self.mask)[0]
        return tokens + self.c_proj(functional.gelu(self.c_fc(self.ln_2(tokens))))


def tower(width, mask=None):
    return torch.nn.Sequential(*(Block(width, mask) for _ in range(12)))


def count(label, module, tokens, training, gradients):
    module.train(training)
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        module(tokens)
    total = counter.get_total_flops() / 1e9
    mode, recorded = ("training" if training else "evaluation"), ("with" if gradients else "without")
    print(f"{label:8s} {mode:10s} {recorded:7s} gradients: {total:.4f} GFLOPs", flush=True)
    return total


image, patches = tower(768), torch.zeros(1, 197, 768)
text, words = tower(512, torch.full((77, 77), -torch.inf).triu(1)), torch.zeros(1, 77, 512)
layer, few = torch.nn.TransformerEncoderLayer(64, 4, 256, batch_first=True), torch.zeros(1, 50, 64)

whole = [count("image", image, patches, *state) for state in [(True, True), (True, False), (False, True)]]
assert len(set(whole)) == 1 and abs(whole[0] - 33.464) < 0.001
inference = count("image", image, patches, False, False)
assert abs(inference - 22.310) < 0.001
assert count("text", text, words, True, True) == count("text", text, words, False, False) > 5.8
assert count("layer", layer, few, False, True) > 0
assert count("layer", layer, few, False, False) == 0
torch.backends.mha.set_fastpath_enabled(False)
print("with the fused path switched off:")
assert count("image", image, patches, False, False) == whole[0]
PY
"$work/venv/bin/python" "$work/check.py"
