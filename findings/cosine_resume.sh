#!/usr/bin/env bash
# One would guess: a cosine schedule is a function of the epoch, so restoring the scheduler's state restores the
#   learning rate.
# What happens: torch's CosineAnnealingLR multiplies the rate it FINDS in the optimiser by a ratio of two cosines. Its
#   state holds the epoch, but loading it writes nothing into the optimiser. If the rate there is not the right one,
#   each later rate is wrong by the same factor, to the end. That happens (1) when the scheduler alone is restored,
#   say since momentum is to begin anew, and (2) with the constructor's last_epoch=k in place of a state. With the
#   optimiser's state loaded as well, in either order, all is right.
# Why it matters: a cell that was interrupted half-way goes on at twice the rate of the uninterrupted one, after 90 %
#   at forty times, down to 0 in the last epoch, so curves look like cosine and nothing fails. get_last_lr() returns
#   the RIGHT rate after loading, until the next step. A closed form of the epoch, set by hand, has no such state.
# Versions: torch 2.13.0, CPU build (Python 3.11); lr 0.002, 10 epochs, resumed after 5.
# Seen: rate of the next two epochs 0.001000, 0.000691 without a break and with the optimiser loaded; 0.002000,
#   0.001382 in cases 1 and 2; get_last_lr() 0.001 while the optimiser holds 0.002.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import copy

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

EPOCHS, HALF, RATE = 10, 5, 0.002
parameter = torch.nn.Parameter(torch.ones(1))


def sgd():
    return torch.optim.SGD([parameter], lr=RATE, momentum=0.9)


def next_rates(label, optimiser, scheduler):
    rates = []
    for _ in range(2):
        rates.append(round(optimiser.param_groups[0]["lr"], 6))
        optimiser.step()
        scheduler.step()
    print(f"{label:40s}", rates)
    return rates


optimiser = sgd()
scheduler = CosineAnnealingLR(optimiser, EPOCHS)
for _ in range(HALF):
    optimiser.step()
    scheduler.step()
saved, saved_schedule = copy.deepcopy(optimiser.state_dict()), copy.deepcopy(scheduler.state_dict())
right = next_rates("without a break", optimiser, scheduler)

one = sgd()
schedule = CosineAnnealingLR(one, EPOCHS)
schedule.load_state_dict(saved_schedule)
reported, held = schedule.get_last_lr()[0], one.param_groups[0]["lr"]
print("get_last_lr() says", round(reported, 6), "and the optimiser holds", held)
assert abs(reported - 0.001) < 1e-9 and held == RATE
only_scheduler = next_rates("only the scheduler restored", one, schedule)

two = sgd()
two.load_state_dict(copy.deepcopy(saved))
schedule = CosineAnnealingLR(two, EPOCHS)
schedule.load_state_dict(saved_schedule)
loaded_first = next_rates("optimiser loaded first", two, schedule)

three = torch.optim.SGD([{"params": [parameter], "initial_lr": RATE}], lr=RATE, momentum=0.9)
last_epoch = next_rates("last_epoch=5", three, CosineAnnealingLR(three, EPOCHS, last_epoch=HALF - 1))

four = sgd()
schedule = CosineAnnealingLR(four, EPOCHS)
schedule.load_state_dict(saved_schedule)
four.load_state_dict(copy.deepcopy(saved))
loaded_last = next_rates("optimiser loaded last", four, schedule)

assert loaded_first == loaded_last == right == [0.001, 0.000691]
assert only_scheduler == last_epoch == [0.002, 0.001382]
PY
"$work/venv/bin/python" "$work/check.py"
