#!/usr/bin/env bash
# One would guess: which candidates a pruner stops depends on what they report, and a study with fixed seeds gives the
#   same result under any name.
# What happens: Optuna's HyperbandPruner deals a trial into its bracket by a CRC32 of the study's NAME and the trial's
#   number. Two studies with equal seeds, equal candidates and equal reports prune other trials, and use up other
#   budgets, because they are called otherwise. The same name gives the same result.
# Why it matters: naming a sweep is part of its random state. "The same sweep, renamed" (a date in the name, a prefix
#   per user, a copy of the study) is another race, and comparing two settings under two study names compares brackets
#   too. Repetitions that should differ in the seed only must share the name, in stores of their own.
# Versions: optuna 5.0.0, numpy 2.4.6 (Python 3.11).
# Seen: sweep-a: 20 of 30 pruned after 334 reports; sweep-b: 20 other ones, 350 reports; sweep-c: 19, 361 reports;
#   sweep-a again: as the first time. Best value and candidates are the same in all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet optuna==5.0.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import optuna
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    quality = trial.suggest_float("quality", 0, 1)
    for epoch in range(27):
        trial.report(quality * (1 + epoch), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return quality


def run(name):
    study = optuna.create_study(
        study_name=name,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=27),
    )
    study.optimize(objective, n_trials=30)
    pruned = [t.number for t in study.trials if t.state == TrialState.PRUNED]
    reports = sum(len(t.intermediate_values) for t in study.trials)
    print(f"{name}: best {study.best_value:.4f}, {reports} reports, pruned {pruned}")
    return pruned, reports, [t.params for t in study.trials]


first, other, third, again = (run(name) for name in ("sweep-a", "sweep-b", "sweep-c", "sweep-a"))
assert first == again, "one name, one race"
assert first[2] == other[2] == third[2], "the candidates are the same"
assert len({str(outcome[0]) for outcome in (first, other, third)}) == 3, "the pruned ones are not"
assert len({outcome[1] for outcome in (first, other, third)}) == 3
PY
"$work/venv/bin/python" "$work/check.py"
