#!/usr/bin/env bash
# One would guess two things of Optuna. (1) enqueue_trial(..., skip_if_exists=True) skips a setting that has a result,
#   so that the start points of a sweep whose machine died are enqueued again at the next launch. (2) A storage with
#   heartbeat_interval finds trials whose process died and fails them, so that nothing stays RUNNING for ever.
# What happens: (1) the setting is skipped whatever the state of its trial: FAILED, PRUNED and dead RUNNING ones count
#   as existing. A start point that failed once is never tried again. (2) Heartbeats are recorded inside
#   study.optimize only. A trial that came from study.ask (every driver of its own, Ray Tune among them) never has
#   one, and a trial without a heartbeat is never stale: it stays RUNNING, without a hint, however long ago its
#   process died.
# Why it matters: both are the tools one would resume a sweep with, and together they lose exactly the cells that
#   failed. With ask/tell a launcher has to close orphans itself and to decide by the state what to enqueue.
# Versions: optuna 5.0.0, SQLAlchemy 2.1.9 (Python 3.11).
# Seen: after a failed, a pruned and an orphaned start point, three more enqueues with skip_if_exists add no trial;
#   after three seconds with a grace period of one second, fail_stale_trials leaves the orphan RUNNING.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet optuna==5.0.0 SQLAlchemy==2.1.9
cat > "$work/check.py" <<'PY'
import sys
import time
import warnings

import optuna
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
storage = optuna.storages.RDBStorage(f"sqlite:///{sys.argv[1]}/study.db", heartbeat_interval=1, grace_period=1)
study = optuna.create_study(storage=storage)
starts = {0.1: TrialState.FAIL, 0.2: TrialState.PRUNED, 0.3: None}
for rate, state in starts.items():
    study.enqueue_trial({"rate": rate}, skip_if_exists=True)
    trial = study.ask()
    trial.suggest_float("rate", 0, 1)
    if state is not None:
        study.tell(trial, state=state)
    # the third trial is never told: its process is taken to be dead from here on

time.sleep(3)
optuna.storages.fail_stale_trials(study)
states = [trial.state.name for trial in study.trials]
print("three seconds later:", states)
assert states == ["FAIL", "PRUNED", "RUNNING"], "the orphan is not found stale"

for rate in starts:
    study.enqueue_trial({"rate": rate}, skip_if_exists=True)
waiting = [trial.params for trial in study.trials if trial.state == TrialState.WAITING]
print("enqueued again at the next launch:", waiting, "of", list(starts))
assert waiting == [], "none of the three is tried again"
PY
"$work/venv/bin/python" "$work/check.py" "$work"
