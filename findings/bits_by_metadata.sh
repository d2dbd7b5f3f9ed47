#!/usr/bin/env bash
# One would guess: a file of safetensors gives its tensors back bit for bit, so a classifier that is saved and loaded gives
#   the same logits bit for bit, on one machine with one thread.
# What happens: the tensors come back equal, and yet their products on a CPU can differ in the last bits, by how many
#   characters of metadata the file holds. load_file doesn't copy: weights lie in the mapped file behind its JSON header, which
#   is padded to 8 bytes, so one more word of metadata moves them to an address that is no multiple of 16, and there the
#   CPU's matrix product rounds otherwise. A clone of the same tensor gives the same bits every time.
# Why it matters: "bit-identical" is how caches, resumed runs and refactorings are checked here, and the two files differ
#   in nothing but a run's name. Clone what was loaded before it is multiplied with.
# Versions: safetensors 0.8.0, torch 2.13.0 (Python 3.11), x86-64.
# Seen, 513 x 101 weights with notes of 0 to 15 characters: 16 equal tensors, 2 different products; of their clones, 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 safetensors==0.8.0
cat > "$work/check.py" <<'PY'
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
weights, image = torch.randn(101, 513, generator=generator), torch.randn(1, 513, generator=generator)
mapped, cloned, offsets = set(), set(), set()
for length in range(16):
    file = Path(sys.argv[1]) / f"{length}.safetensors"
    save_file({"weights": weights}, file, metadata={"note": "x" * length})
    loaded = load_file(file)["weights"]
    assert torch.equal(loaded, weights)
    offsets.add(loaded.data_ptr() % 16)
    mapped.add((image @ loaded.T).numpy().tobytes())
    cloned.add((image @ loaded.clone().T).numpy().tobytes())
print(f"addresses modulo 16: {sorted(offsets)}; different products: {len(mapped)}, of clones {len(cloned)}")
assert offsets == {0, 8}
assert len(mapped) > 1
assert len(cloned) == 1
PY
"$work/venv/bin/python" "$work/check.py" "$work"
