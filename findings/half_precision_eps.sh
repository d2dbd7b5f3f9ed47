#!/usr/bin/env bash
# One would guess: the small eps of torch.nn.functional.normalize, cosine_similarity and Adam protects from division
#   by zero in any precision; a row of zeros is normalised to zeros, and Adam's first step is about the learning rate.
# What happens in float16: 1e-12 and 1e-8 are rounded to 0 (its smallest number is 6e-8), so the protection is gone. A
#   row of zeros becomes NaN in normalize and in cosine_similarity (zeros in bfloat16 and float32). Adam and AdamW
#   turn a float16 parameter into -inf at the first step, since the squared gradient is rounded to 0, too: with any
#   gradient below 0.005 or so, and into NaN where the gradient is 0. Nothing warns. With eps 1e-4 the step is finite,
#   yet ten times the learning rate: the square is lost all the same. Tip-Adapter's and ProLIP's recipes carry that
#   odd eps.
# Why it matters: feature caches and adapter keys of this field are float16; classes without a description are rows of
#   zeros. One NaN row makes every logit of its class NaN, and argmax answers with exactly that class for each image.
# Versions: torch 2.13.0, CPU build (Python 3.11).
# Seen: normalize(0): NaN; AdamW with gradient 1e-3 and lr 1e-3: -inf from 1.0; with eps 1e-4: 0.9902; in float32:
#   0.9990; argmax over logits with one NaN class: that class.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import math

import torch
from torch.nn.functional import cosine_similarity, normalize

for dtype, lost in ((torch.float16, True), (torch.bfloat16, False), (torch.float32, False)):
    empty, other = torch.zeros(1, 4, dtype=dtype), torch.ones(1, 4, dtype=dtype)
    unit, cosine = normalize(empty)[0, 0].item(), cosine_similarity(empty, other)[0].item()
    print(f"{dtype}: a row of zeros normalised {unit}, its cosine {cosine}")
    assert math.isnan(unit) == lost and math.isnan(cosine) == lost


def first_step(optimiser, dtype, gradient, **options):
    parameter = torch.nn.Parameter(torch.ones(1, dtype=dtype))
    parameter.grad = torch.full_like(parameter, gradient)
    optimiser([parameter], lr=1e-3, weight_decay=0.0, **options).step()
    value = parameter.item()
    print(f"{optimiser.__name__} {dtype} gradient {gradient} {options or ''}: 1.0 becomes {value:.6f}")
    return value


for optimiser in (torch.optim.Adam, torch.optim.AdamW):
    assert first_step(optimiser, torch.float16, 1e-3) == -math.inf
    assert math.isnan(first_step(optimiser, torch.float16, 0.0))
    assert 0.9 < first_step(optimiser, torch.float16, 1e-3, eps=1e-4) <= 1.0
    assert abs(first_step(optimiser, torch.float32, 1e-3) - 0.999) < 1e-4

texts = normalize(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.6, 0.8]]).half())
images = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]]).half()
predicted = (images @ texts.T).float().argmax(1).tolist()
print("predictions with one class of NaN:", predicted)
assert predicted == [1, 1, 1]
PY
"$work/venv/bin/python" "$work/check.py"
