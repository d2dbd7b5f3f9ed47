#!/usr/bin/env bash
# One would guess: peft's target_modules="all-linear" puts a LoRA pair on every linear layer of a tower, and each of them
#   is trained: they are listed as trainable parameters.
# What happens: CLIP's attention in open_clip is torch's nn.MultiheadAttention. Its output projection is a linear layer to
#   whoever walks through the modules, but the attention reads its weight and never calls it, so the pair put there is
#   never used: no gradient, no effect on the output, in all blocks. The query, key and value projections are one bare
#   parameter and get none. What was meant as LoRA of the attention and the MLP is LoRA of the MLP alone, and a sixth of
#   the "trainable parameters" printed is dead. Naming the attention itself (target_modules=["attn"]) reaches both.
# Why it matters: LoRA on CLIP is a standard rival of prompt tuning. Such a run trains, improves and is reported with the
#   rank and the number of parameters of a method that it isn't. An error comes only where out_proj is the one target.
#   (peft's maintainers know it, and wrote support for the attention in 2024; other projects met it as late as July 2026.)
# Versions: peft 0.21.2, torch 2.13.0, CPU build (Python 3.11). With torch 2.15.0 and the ViT-B/32 image tower of
#   open_clip_torch 3.3.0, 12 of 36 pairs are dead, 17 % of the trainable numbers.
# Seen, two blocks with open_clip's modules and names, rank 4: all-linear: 6 pairs, of which the 2 on out_proj have no
#   gradient (17 % of the trainable numbers) and change no output; ["attn"]: 4 pairs, all with gradients.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 peft==0.21.2 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch
from peft import LoraConfig, get_peft_model


class Block(torch.nn.Module):
    """A block of CLIP's towers, of the modules that open_clip uses and with their names."""

    def __init__(self):
        super().__init__()
        self.attn = torch.nn.MultiheadAttention(64, 2, batch_first=True)
        self.c_fc, self.c_proj = torch.nn.Linear(64, 256), torch.nn.Linear(256, 64)

    def forward(self, tokens):
        tokens = tokens + self.attn(tokens, tokens, tokens, need_weights=False)[0]
        return tokens + self.c_proj(torch.nn.functional.gelu(self.c_fc(tokens)))


class Tower(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.resblocks = torch.nn.ModuleList([Block(), Block()])

    def forward(self, tokens):
        for block in self.resblocks:
            tokens = block(tokens)
        return tokens


tokens = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))


def adapted(target):
    torch.manual_seed(0)
    model = get_peft_model(Tower(), LoraConfig(target_modules=target, r=4, init_lora_weights=False))
    model(tokens).square().mean().backward()
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    dead = {name: one for name, one in trainable.items() if one.grad is None}
    share = sum(one.numel() for one in dead.values()) / sum(one.numel() for one in trainable.values())
    print(f"{target}: {len(trainable) // 2} pairs, {len(dead) // 2} without gradient, {share:.0%} of the trainable numbers")
    return model, trainable, dead


model, trainable, dead = adapted("all-linear")
assert len(dead) == 4 and all("out_proj" in name for name in dead)
assert not any("in_proj" in name for name in trainable)
with torch.no_grad():
    before = model(tokens)
    for one in dead.values():
        one.mul_(100)
    unchanged = torch.equal(model(tokens), before)
    next(one for name, one in trainable.items() if "c_fc" in name).mul_(100)
    moved = not torch.equal(model(tokens), before)
print("a hundred times the pairs on out_proj: output unchanged:", unchanged, "- of one on c_fc: changed:", moved)
assert unchanged and moved
_, trainable, dead = adapted(["attn"])
assert trainable and not dead
PY
"$work/venv/bin/python" "$work/check.py"
