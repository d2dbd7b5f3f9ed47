#!/usr/bin/env bash
# One would guess: a pass over a validation loader that shuffles nothing, transforms nothing and has no workers leaves
#   the training as it was: after torch.manual_seed the run is the same with and without it.
# What happens: starting to iterate ANY torch DataLoader draws one number from the global random state (a seed for
#   workers that may not exist). Each validation pass shifts every random number after it: the order of the next
#   epoch's batches, crops, flips, dropout, anything drawn from the global state. It is not a matter of how long the
#   pass is, only of how many there are.
# Why it matters: "report after every epoch for the scheduler" and "report at the end" are two different trainings
#   with two results, and a curve that is switched on for one ablation changes its numbers. At 1 to 16 shots that is
#   more than the effect under study. Loaders need a generator of their own; then they leave the global state alone.
# Versions: torch 2.13.0, CPU build (Python 3.11).
# Seen: order of batches in epochs 2 and 3, and final weights, differ with a validation pass a epoch, with one sample
#   or ten; with generator=torch.Generator() given to the validation loader they are bit for bit those of a run
#   without it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
features, labels = torch.randn(32, 16), torch.randint(4, (32,))
start = torch.zeros(4, 16)


def train(validation):
    """Three epochs of SGD; returns the order in which samples were seen, and the weights."""
    torch.manual_seed(1)
    weight = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.SGD([weight], lr=0.5)
    loader = DataLoader(TensorDataset(features, labels, torch.arange(32)), batch_size=8, shuffle=True)
    seen = []
    for _ in range(3):
        for x, y, index in loader:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(x @ weight.T, y).backward()
            optimiser.step()
            seen += index.tolist()
        if validation is not None:
            with torch.no_grad():
                for (x,) in validation:
                    x @ weight.T
    return seen, weight.detach()


def plain(samples, **options):
    return DataLoader(TensorDataset(features[:samples]), batch_size=8, shuffle=False, num_workers=0, **options)


without = train(None)
one, ten = train(plain(1)), train(plain(10))
own = train(plain(10, generator=torch.Generator()))
for label, (seen, weight) in {"one sample": one, "ten samples": ten, "own generator": own}.items():
    epochs = [seen[i : i + 32] == without[0][i : i + 32] for i in (0, 32, 64)]
    moved = float((weight - without[1]).abs().max())
    print(f"validated on {label:13s} same order as without, per epoch: {epochs}; weights at most {moved:.4f} apart")

assert one[0][:32] == without[0][:32], "the first epoch comes before the first validation"
assert one[0] != without[0] and not torch.equal(one[1], without[1])
assert one[0] == ten[0] and torch.equal(one[1], ten[1]), "only the number of passes counts"
assert own[0] == without[0] and torch.equal(own[1], without[1])
PY
"$work/venv/bin/python" "$work/check.py"
