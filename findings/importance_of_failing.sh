#!/usr/bin/env bash
# One would guess: optuna.importance.get_param_importances(study) and the same with target=lambda trial: trial.value say the
#   same, since that is the value of the study.
# What happens: the default evaluator of Optuna 5, PED-ANOVA (fANOVA until release 4), asks what distinguishes the best
#   tenth of the trials. Given a target it forgets the study's direction and takes LOW values for the best: for accuracy
#   it tells what distinguishes the worst tenth, and the ranking may turn round. In a study of two objectives the target
#   is how one names accuracy. There is a UserWarning, which comes with the negated target, too, where all is well.
# Why it matters: "the learning rate has an importance of 96 %" then means that wrong rates ruin a run, which everyone knew,
#   while among the good runs the weight under study decided. Code written for release 4, whose default knew no
#   direction, changes its answer to the other question. Negate what is to be high.
# Versions: optuna 5.0.0, numpy 2.4.6, scipy 1.17.1 (Python 3.11).
# Seen, 200 random trials, accuracy 60 + 10 weight, or 20 where the rate exceeds 0.01: no target: weight 93 %, rate 6 %;
#   target trial.value: weight 4 %, rate 96 %; the same in a study of two objectives; its negative: as without a target.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet optuna==5.0.0 numpy==2.4.6 scipy==1.17.1
cat > "$work/check.py" <<'PY'
import warnings

import numpy as np
import optuna
from optuna.importance import get_param_importances

optuna.logging.set_verbosity(optuna.logging.ERROR)


def searched(directions):
    rng = np.random.default_rng(0)

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
        weight, shots = trial.suggest_float("weight", 0, 1), trial.suggest_int("shots", 1, 16)
        accuracy = (20 if rate > 0.01 else 60 + 10 * weight) + rng.normal()
        return (accuracy, shots)[: len(directions)]

    study = optuna.create_study(directions=directions, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=200)
    return study


def importance(said, study, **how):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = get_param_importances(study, **how)
    hints = [str(one.message) for one in caught if "low" in str(one.message)]
    print(f"{said:26s} rate {found['rate']:.3f}, weight {found['weight']:.3f}, warned: {bool(hints)}")
    return max(found, key=found.get), bool(hints)


one, two = searched(["maximize"]), searched(["maximize", "minimize"])
assert importance("accuracy", one) == ("weight", False)
assert importance("its value as the target", one, target=lambda trial: trial.value) == ("rate", True)
assert importance("of two objectives", two, target=lambda trial: trial.values[0]) == ("rate", True)
assert importance("negated", two, target=lambda trial: -trial.values[0]) == ("weight", True)
PY
"$work/venv/bin/python" "$work/check.py"
