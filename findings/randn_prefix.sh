#!/usr/bin/env bash
# One would guess: with one seed, torch.randn(8) is the beginning of torch.randn(16); a longer draw only goes on. And
#   a draw in another dtype is the same draw, rounded.
# What happens on a CPU: below 16 elements torch draws one by one, from 16 on in blocks, and the two give other
#   numbers altogether: not one of the 8 is equal. At 16 and above, the last 16 elements of a tensor whose size is no
#   multiple of 16 are drawn again, so randn(20) and randn(32) share 4 elements only. A transposed tensor filled in
#   place gets other values than a contiguous one, and float64 draws have nothing in common with float32 ones.
# Why it matters: contexts are begun from a seed. Widths of CLIP are multiples of 16, so nothing shows there; but a
#   tiny model of a test, a bias, per-class scales (C = 10), or a pack of replicas drawn as one tensor begin
#   elsewhere, though "the seed is the same". A pack whose replicas should equal those trained alone has to draw each
#   one alone, in float32, contiguously.
# Versions: torch 2.13.0, CPU build (Python 3.11).
# Seen: equal beginnings: 8 of 16: 0 of 8; 15 of 16: 0 of 15; 16 of 32: 16 of 16; 20 of 32: 4 of 20; float64: up to
#   4.9 apart; bfloat16 and float16: the float32 draw, rounded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch


def draw(*size, **options):
    torch.manual_seed(1)
    return torch.randn(*size, **options)


def shared(short, long):
    count = int((draw(short) == draw(long)[:short]).sum())
    print(f"randn({short}) and randn({long}) share {count} of {short}")
    return count


assert shared(8, 16) == 0 and shared(15, 16) == 0
assert shared(16, 32) == 16 and shared(64, 128) == 64
assert shared(20, 32) == 4

torch.manual_seed(1)
transposed = torch.empty(512, 4).t().normal_()
print("a transposed tensor is filled like a contiguous one:", torch.equal(transposed, draw(4, 512)))
assert not torch.equal(transposed, draw(4, 512))

for dtype in (torch.float16, torch.bfloat16, torch.float64):
    apart = float((draw(512, dtype=dtype).double() - draw(512).double()).abs().max())
    print(f"{dtype}: at most {apart:.4f} from the float32 draw")
    assert (apart > 1) == (dtype == torch.float64)

alone = draw(3, 4)  # a replica of 12 elements by itself, and as the first of a pack of two
packed = draw(2, 3, 4)[0]
print("first replica of a pack equals the one drawn alone:", torch.equal(alone, packed))
assert not torch.equal(alone, packed)
PY
"$work/venv/bin/python" "$work/check.py"
