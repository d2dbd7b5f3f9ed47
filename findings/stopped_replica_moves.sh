#!/usr/bin/env bash
# One would guess: a replica in a pack whose loss is multiplied by 0 once it has converged or been stopped keeps its
#   parameters, because its gradient is exactly 0; and that freezing it by requires_grad or by zeroing its gradient is
#   the same.
# What happens: a gradient of 0 is a gradient. SGD goes on along the momentum it has (here ten times the last step)
#   and weight decay pulls towards 0; Adam goes on for ten full steps along its averages. Only a gradient of None is
#   skipped, and that exists per tensor, not per slice of a packed one.
# Why it matters: replicas trained together live in one tensor. A stopped one drifts on in silence, by more than a
#   whole epoch at the end of a cosine schedule would move it, so its "last-step model" is not the one that was
#   measured when it stopped. Stopped slices must be copied back after the step (or cut out of the pack).
# Versions: torch 2.13.0, CPU build (Python 3.11); the field's recipe: SGD 0.002, momentum 0.9, weight decay 5e-4.
# Seen, with gradient 1 for 20 steps and 0 from then on: SGD: 0.158 further, 9.0 times its last step; Adam: 0.020,
#   10.2 times; AdamW likewise. With grad = None: 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch


def drift(optimiser, **options):
    """How far the stopped half of a packed parameter moves in 100 steps, and how far its last real step was."""
    pack = torch.nn.Parameter(torch.full((2, 4), 0.5))
    optimiser = optimiser([pack], lr=0.002, **options)
    for _ in range(20):
        before = pack.detach().clone()
        optimiser.zero_grad()
        pack.sum().backward()
        optimiser.step()
    last_step = float((pack.detach() - before)[1].abs().max())
    stopped = pack.detach().clone()
    weights = torch.tensor([1.0, 0.0])
    for _ in range(100):
        optimiser.zero_grad()
        (weights * pack.sum(1)).sum().backward()
        assert (pack.grad[1] == 0).all()
        optimiser.step()
    moved = float((pack.detach() - stopped)[1].abs().max())
    name = type(optimiser).__name__
    print(f"{name} {options}: moved {moved:.4f} after it was stopped, {moved / last_step:.1f} times its last step")
    return moved / last_step


assert drift(torch.optim.SGD, momentum=0.9, weight_decay=5e-4) > 5
assert drift(torch.optim.Adam) > 3
assert drift(torch.optim.AdamW, weight_decay=5e-4) > 3

alone = torch.nn.Parameter(torch.ones(4))
optimiser = torch.optim.SGD([alone], lr=0.002, momentum=0.9, weight_decay=5e-4)
alone.sum().backward()
optimiser.step()
kept = alone.detach().clone()
optimiser.zero_grad(set_to_none=True)
optimiser.step()
print("with grad = None:", float((alone.detach() - kept).abs().max()))
assert torch.equal(alone.detach(), kept)
PY
"$work/venv/bin/python" "$work/check.py"
