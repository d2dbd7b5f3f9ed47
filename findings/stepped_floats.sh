#!/usr/bin/env bash
# One would guess: a stepped parameter such as "0 to 1 in steps of 0.1" takes the same eleven values whoever draws
#   them.
# What happens: the values differ in their last bits from one sampler to the next. Optuna's grid and brute-force
#   samplers give 0.3, 0.6 and 0.7; its random, TPE, QMC, NSGA-II and CMA-ES samplers give 0.30000000000000004,
#   0.6000000000000001 and 0.7000000000000001 on the very same grid. Ray Tune's own quniform(0.1, 0.7, 0.1) even
#   returns 0.7000000000000001, which lies above its upper bound, and Optuna calls that value out of range.
# Why it matters: a sweep that recognises finished cells by a hash (or by equality) of their settings trains the same
#   setting twice as soon as the sampler is changed, or a start point is typed by hand as 0.3.
# Versions: optuna 5.0.0, cmaes 0.13.1, ray[tune] 2.60.0, numpy 2.4.6, scipy 1.17.1 (Python 3.11).
# Seen: grid, brute: 0.3, 0.6, 0.7; the other five: 0.30000000000000004, 0.6000000000000001, 0.7000000000000001;
#   quniform: highest value 0.7000000000000001; Optuna: "Fixed parameter y with value 0.7000000000000001 is out of
#   range".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet optuna==5.0.0 cmaes==0.13.1 "ray[tune]==2.60.0" numpy==2.4.6 scipy==1.17.1
cat > "$work/check.py" <<'PY'
import warnings

import optuna
from optuna import samplers
from ray import tune

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
tenths = [i / 10 for i in range(11)]
by_name = {
    "grid": samplers.GridSampler({"x": tenths, "y": [0.0, 0.5]}, seed=0),
    "brute": samplers.BruteForceSampler(seed=0),
    "random": samplers.RandomSampler(seed=0),
    "tpe": samplers.TPESampler(seed=0),
    "qmc": samplers.QMCSampler(seed=0),
    "nsga": samplers.NSGAIISampler(seed=0),
    "cma": samplers.CmaEsSampler(seed=0),
}
for name, sampler in by_name.items():
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(lambda t: t.suggest_float("x", 0, 1, step=0.1) + t.suggest_float("y", 0, 0.5, step=0.5), n_trials=120)
    drawn = {trial.params["x"] for trial in study.trials}
    near = sorted(x for x in drawn if round(x, 3) in (0.3, 0.6, 0.7))
    print(f"{name:7s}", near)
    exact = name in ("grid", "brute")
    assert near == ([0.3, 0.6, 0.7] if exact else [0.30000000000000004, 0.6000000000000001, 0.7000000000000001]), name

highest = max(tune.quniform(0.1, 0.7, 0.1).sample() for _ in range(500))
print("ray     highest of quniform(0.1, 0.7, 0.1):", highest)
assert highest == 0.7000000000000001 > 0.7

study = optuna.create_study()
study.enqueue_trial({"y": highest})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    study.ask().suggest_float("y", 0.1, 0.7, step=0.1)
print("optuna ", caught[0].message)
assert "out of range" in str(caught[0].message)
PY
"$work/venv/bin/python" "$work/check.py"
