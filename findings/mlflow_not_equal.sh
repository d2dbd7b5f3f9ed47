#!/usr/bin/env bash
# One would guess: the runs that match tags.state = 'done' and those that match tags.state != 'done' are together all
#   runs, and a learning rate logged as a parameter can be compared and sorted as a number.
# What happens: != finds only runs that HAVE the tag (the same goes for params). A run that died before it could be
#   tagged is in neither answer. IS NULL, which this release understands, finds it; the two can't be joined in one
#   query, since filters know AND but no OR. Parameters are text, so < is refused, = takes 0.002 and 2e-3 for
#   different rates, and ORDER BY sorts by spelling: 0.00001, 0.002, 1e-05, 2e-3.
# Why it matters: "which cells are not finished?" is THE question of a sweep that is resumed, and the obvious query
#   forgets the cells that failed hardest. Numbers to be sorted by belong in metrics or need one spelling.
# Versions: mlflow-skinny 3.17.2, SQLAlchemy 2.1.9, alembic 1.20.1 (Python 3.11).
# Seen: of done, open and untagged: = finds done, != finds open, IS NULL finds untagged; rates in the order above.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 SQLAlchemy==2.1.9 alembic==1.20.1
cat > "$work/check.py" <<'PY'
import logging
import sys

import mlflow
from mlflow.exceptions import MlflowException

logging.disable(logging.INFO)
client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}/mlflow.db")
experiment = client.create_experiment("sweep")
for name, rate in (("done", "0.002"), ("open", "2e-3"), ("untagged", "1e-05"), ("other", "0.00001")):
    run = client.create_run(experiment, run_name=name).info.run_id
    client.log_param(run, "rate", rate)
    if name != "untagged":
        client.set_tag(run, "state", name)


def find(query, order=None):
    return [run.info.run_name for run in client.search_runs([experiment], query, order_by=order)]


def refused(query):
    try:
        find(query)
    except MlflowException as error:
        return str(error)[:90]
    raise AssertionError(f"not refused: {query}")


done, other, null = find("tags.state = 'done'"), find("tags.state != 'done'"), find("tags.state IS NULL")
print("=", done, " !=", other, " IS NULL", null)
assert done == ["done"] and set(other) == {"open", "other"} and null == ["untagged"]
print("OR:", refused("tags.state != 'done' OR tags.state IS NULL"))
print("<: ", refused("params.rate < '0.01'"))

assert find("params.rate = '0.002'") == ["done"], "2e-3 is another text"
runs = client.search_runs([experiment], order_by=["params.rate ASC"])
print("ascending:", [run.data.params["rate"] for run in runs])
assert [run.data.params["rate"] for run in runs] == ["0.00001", "0.002", "1e-05", "2e-3"]
PY
"$work/venv/bin/python" "$work/check.py" "$work"
