#!/usr/bin/env bash
# One would guess: a kernel that runs on a GPU also runs in Triton's interpreter (TRITON_INTERPRET=1), the way to test
#   kernels where there is no GPU.
# What happens: with Triton 3.6.0, which torch 2.10 and 2.11 install, and NumPy 2.4 or newer, every loop whose bound is an
#   argument of the kernel ends with "TypeError: only 0-dimensional arrays can be converted to Python scalars". The
#   interpreter holds the argument as an array of one element, which int() took until NumPy 2.4. Loops to a constant work,
#   so most tutorials' kernels do, and NumPy is not what anybody suspects.
# Why it matters: neither package names the other's version, so an image with torch 2.11 and today's NumPy passes every
#   test on a GPU and fails those that need none. Triton 3.7.0 mended it.
# Versions: triton 3.6.0 and 3.7.0, numpy 2.3.5 and 2.4.6, torch 2.13.0, CPU build (Python 3.11).
# Seen: 3.6.0 with 2.3.5: [48.0, 52.0, 56.0, 60.0]; 3.6.0 with 2.4.6: TypeError for the bound that is an argument, the same
#   numbers for a constant; 3.7.0 with 2.4.6: the same numbers for both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install --quiet "$@"; }
pip torch==2.13.0 numpy==2.4.6
pip --no-deps --target "$work/triton-3.6.0" triton==3.6.0
pip --no-deps --target "$work/triton-3.7.0" triton==3.7.0
pip --no-deps --target "$work/numpy-2.3.5" numpy==2.3.5
cat > "$work/check.py" <<'PY'
import sys

import numpy
import torch
import triton
import triton.language as tl


@triton.jit
def by_argument(x, out, n, WIDTH: tl.constexpr):
    total = tl.zeros((WIDTH,), tl.float32)
    for start in range(0, n, WIDTH):
        total += tl.load(x + start + tl.arange(0, WIDTH))
    tl.store(out + tl.arange(0, WIDTH), total)


@triton.jit
def by_constant(x, out, N: tl.constexpr, WIDTH: tl.constexpr):
    total = tl.zeros((WIDTH,), tl.float32)
    for start in range(0, N, WIDTH):
        total += tl.load(x + start + tl.arange(0, WIDTH))
    tl.store(out + tl.arange(0, WIDTH), total)


def sums(kernel):
    out = torch.zeros(4)
    try:
        kernel[(1,)](torch.arange(8.0) + torch.tensor([22.0, 23, 24, 25] * 2), out, 8, 4)
    except Exception as error:
        return f"{error}"
    return out.tolist()


expected = {"argument": sys.argv[1] != "fails", "constant": True}
for name, kernel in (("argument", by_argument), ("constant", by_constant)):
    found = sums(kernel)
    print(f"triton {triton.__version__}, numpy {numpy.__version__}, a bound that is {name}: {found}")
    assert (found == [48.0, 52.0, 56.0, 60.0]) is expected[name]
PY
export TRITON_INTERPRET=1
PYTHONPATH="$work/triton-3.6.0:$work/numpy-2.3.5" "$work/venv/bin/python" "$work/check.py" works
PYTHONPATH="$work/triton-3.6.0" "$work/venv/bin/python" "$work/check.py" fails
PYTHONPATH="$work/triton-3.7.0" "$work/venv/bin/python" "$work/check.py" works
