#!/usr/bin/env bash
# One would guess: Optuna's journal storage is an append-only log, so a record that a crash or a full disk cut in half
#   costs that one record; the study goes on.
# What happens: reading indeed ignores the half record at the end of the file, without a word: the study loads. But
#   the next writer appends right behind it, on the same line. The half record and the first new one become one line
#   that is no JSON, which readers take for "the end, still being written", so nothing behind it is ever read again.
#   The first ask after the crash ends in an AttributeError about an internal name that says nothing of the file; and
#   a later load again shows the study as it was before, whatever was appended since.
# Why it matters: journals are the storage recommended for clusters without a database. A sweep that lost its driver
#   in the wrong millisecond cannot be resumed, and the error hides why. The cure is simple: cut the file after its
#   last newline before opening it.
# Versions: optuna 5.0.0 (Python 3.11).
# Seen: loads with 2 trials, then AttributeError: '...ReplayResult' object has no attribute
#   '_last_created_trial_id_by...'; a later load still has 2 trials; with the half line cut off, the study goes on: 3
#   trials.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet optuna==5.0.0
cat > "$work/check.py" <<'PY'
import shutil
import sys
import warnings
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
path = Path(sys.argv[1], "journal.log")
mended = path.with_name("mended.log")


def load(file):
    return optuna.load_study(storage=JournalStorage(JournalFileBackend(str(file))), study_name="sweep")


def one_more(study):
    study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=1)


study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="sweep")
one_more(study)
one_more(study)
path.write_bytes(path.read_bytes()[:-20])  # the last write got no further than this
shutil.copy(path, mended)

study = load(path)
print("loads:", [trial.state.name for trial in study.trials])
assert len(study.trials) == 2
try:
    one_more(study)
except AttributeError as error:
    print("goes on: AttributeError:", error)
else:
    raise AssertionError("the study went on")
assert len(load(path).trials) == 2, "what was appended is not read"

data = mended.read_bytes()
mended.write_bytes(data[: data.rindex(b"\n") + 1])
study = load(mended)
one_more(study)
print("with the half line cut off:", [trial.state.name for trial in load(mended).trials])
assert len(load(mended).trials) == 3
PY
"$work/venv/bin/python" "$work/check.py" "$work"
