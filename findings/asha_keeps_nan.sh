#!/usr/bin/env bash
# One would guess: in a race by Ray Tune's ASHA a run whose loss has become NaN is stopped at the next rung; it is the worst
#   there is.
# What happens: a trial is stopped if its value is lower than the cutoff, and NaN is lower than nothing. A diverged run
#   passes every rung and uses up the whole budget of a winner, while runs with honest numbers are stopped beside it.
#   The cutoffs ignore it, and nothing is said. Optuna's SuccessiveHalvingPruner, the same algorithm, stops it at once.
# Why it matters: the learning rate is what one races for, and its upper end diverges. The race then costs most where
#   there is nothing to win. Report the worst number there is in place of a NaN, or end such a trial yourself.
# Versions: ray 2.60.0, optuna 5.0.0 (Python 3.11).
# Seen, 27 epochs, rungs at 3 and 9: of 18 finite trials 11 are stopped at epoch 3, 2 at 9, and 5 finish; all 9 that report
#   NaN from the second epoch on run to epoch 27. Such a trial by Optuna's pruner: epoch 3.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "ray[tune]==2.60.0" optuna==5.0.0
cat > "$work/check.py" <<'PY'
import math
import os
import sys

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
import optuna
import ray
from ray import tune

EPOCHS, QUALITIES = 27, [9, 4, 17, 12, 1, 7, 15, 3, 11, 0, 13, 6, 16, 2, 10, 5, 14, 8]
DIVERGED = range(100, 109)


def accuracy(config, epoch):
    return math.nan if config in DIVERGED and epoch > 1 else 50 + config


def train(config):
    for epoch in range(1, EPOCHS + 1):
        tune.report({"epoch": epoch, "accuracy": accuracy(config["quality"], epoch)})


def epochs_by_ray(folder):
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    order = [one for first in range(9) for one in (QUALITIES[first], DIVERGED[first], QUALITIES[first + 9])]
    race = tune.schedulers.ASHAScheduler("epoch", "accuracy", "max", max_t=EPOCHS, grace_period=3, reduction_factor=3)
    results = tune.Tuner(
        train,
        param_space={"quality": tune.grid_search(order)},
        tune_config=tune.TuneConfig(scheduler=race, max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    ).fit()
    epochs = {result.config["quality"]: result.metrics["epoch"] for result in results}
    ray.shutdown()
    return epochs


def epochs_by_optuna():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=3, reduction_factor=3)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    trial, epoch = study.ask(), 0
    while epoch < EPOCHS and not trial.should_prune():
        epoch += 1
        trial.report(accuracy(DIVERGED[0], epoch), epoch)
    return epoch


epochs = epochs_by_ray(sys.argv[1])
finite = sorted(epochs[quality] for quality in QUALITIES)
diverged = [epochs[quality] for quality in DIVERGED]
print("epochs of the finite trials:", finite)
print("epochs of those that are NaN from epoch 2 on:", diverged)
assert finite.count(EPOCHS) < len(finite) / 2, "the race does stop what is worse"
assert diverged == [EPOCHS] * len(DIVERGED), "NaN passes every rung"
alone = epochs_by_optuna()
print("the same trial by Optuna, alone in its study: epoch", alone)
assert alone <= 3
PY
"$work/venv/bin/python" "$work/check.py" "$work/results"
