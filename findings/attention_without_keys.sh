#!/usr/bin/env bash
# One would guess: torch's attention gives the same answer for the same input whether gradients are on, whether the
#   weights are asked for, and whichever layer computes it; a row that may look at nothing is either an error or NaN.
# What happens: for a sample whose keys are all masked (a pack slot that is empty, a class without a description)
#   scaled_dot_product_attention answers with zeros, in every backend. nn.MultiheadAttention answers with its output
#   bias while it trains, but with NaN as soon as the weights are asked for (need_weights=True, its default), and NaN
#   in evaluation without gradients, where it takes its fast path. One layer, one input: finite or NaN by mode.
# Why it matters: training is clean and every evaluation gives NaN for that slot, or the other way round once someone
#   plots the weights. The NaN stays in its own row unless something is averaged over rows, as aggregates over packs
#   are. A slot that is empty needs one key that is not masked, and its output dropped by hand.
# Versions: torch 2.13.0, CPU build (Python 3.11).
# Seen: scaled_dot_product_attention: 0; training without weights: 0 (the bias); with weights: NaN; evaluation in
#   inference_mode: NaN; evaluation with gradients on: 0. The neighbour in the batch is finite in all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.manual_seed(0)
layer = torch.nn.MultiheadAttention(16, 2, batch_first=True)
tokens = torch.randn(2, 4, 16)
masked = torch.tensor([[False] * 4, [True] * 4])  # the second sample may look at nothing

queries = tokens.unsqueeze(1)
for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):
    with sdpa_kernel(backend):
        answer = torch.nn.functional.scaled_dot_product_attention(
            queries, queries, queries, attn_mask=~masked[:, None, None, :]
        )
    print("scaled_dot_product_attention", backend.name, "empty sample:", answer[1].unique().tolist())
    assert (answer[1] == 0).all()


def empty_is_nan(label, gradients, training, weights):
    layer.train(training)
    with torch.inference_mode(not gradients):
        answer = layer(tokens, tokens, tokens, key_padding_mask=masked, need_weights=weights)[0]
    nan = torch.isnan(answer[1])
    assert torch.isfinite(answer[0]).all() and nan.all() == nan.any()
    print(f"MultiheadAttention {label:40s} empty sample:", "NaN" if nan.all() else answer[1].unique().tolist())
    return bool(nan.all())


assert not empty_is_nan("training", gradients=True, training=True, weights=False)
assert empty_is_nan("training, weights asked for", gradients=True, training=True, weights=True)
assert not empty_is_nan("evaluation, gradients on", gradients=True, training=False, weights=False)
assert empty_is_nan("evaluation, inference mode", gradients=False, training=False, weights=False)
PY
"$work/venv/bin/python" "$work/check.py"
