#!/usr/bin/env bash
# One would guess: the value of a metric that MLflow shows for a run, filters by and sorts by is the one that was
#   logged last.
# What happens: it is the one with the largest step, and among equal steps the latest time, and among equal times the
#   LARGEST VALUE, where a NaN counts as 0. The order of the calls plays no part. So:
#   - a run that resumes from an older checkpoint shows the value from before the crash until it has passed that step;
#   - two values of one step within one millisecond leave the larger: the better accuracy, the
#     worse loss; a NaN that follows a loss of 0.2 is not shown at all, and one before a log-likelihood of -1 stays;
#   - an infinite value comes back as 1.7976931348623157e+308, a finite number: the mean of two such runs overflows,
#     and isinf() says no. Searching for "metrics.loss > 1e308" finds it.
# Why it matters: leaderboards of a sweep, "best run" queries and early stopping by the store read exactly this value.
#   Results have to be logged once, under a step of their own, and non-finite ones as a tag.
# Versions: mlflow-skinny 3.17.2, SQLAlchemy 2.1.9, alembic 1.20.1 (Python 3.11).
# Seen: 0.9 then 0.5 in one millisecond: 0.9; 0.1 at step 5 then 0.7 at step 3: 0.1; 0.2 then NaN: 0.2; inf:
#   1.797...e+308.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 SQLAlchemy==2.1.9 alembic==1.20.1
cat > "$work/check.py" <<'PY'
import logging
import math
import sys

import mlflow

logging.disable(logging.INFO)
client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}/mlflow.db")
experiment = client.create_experiment("sweep")


def shown(label, *records):
    """What a run shows after these (value, time in ms, step) were logged in this order."""
    run = client.create_run(experiment, run_name=label).info.run_id
    for value, time, step in records:
        client.log_metric(run, "metric", value, timestamp=time, step=step)
    latest = client.get_run(run).data.metrics["metric"]
    print(f"{label:32s} logged {[r[0] for r in records]}, shown {latest}")
    return latest


assert shown("same step and millisecond", (0.9, 1000, 0), (0.5, 1000, 0)) == 0.9
assert shown("same step, a millisecond later", (0.9, 1000, 0), (0.5, 1001, 0)) == 0.5
assert shown("resumed from an earlier step", (0.1, 1000, 5), (0.7, 9000, 3)) == 0.1
assert shown("diverged, same millisecond", (0.2, 1000, 0), (math.nan, 1000, 0)) == 0.2
assert math.isnan(shown("NaN, then -1, same millisecond", (math.nan, 1000, 0), (-1.0, 1000, 0)))
infinite = shown("infinite", (math.inf, 1000, 0))
assert infinite == sys.float_info.max and not math.isinf(infinite)
assert math.isinf(infinite + infinite)

found = [run.info.run_name for run in client.search_runs([experiment], "metrics.metric > 1e308")]
print("metric > 1e308:", found)
assert found == ["infinite"]
best = client.search_runs([experiment], order_by=["metrics.metric DESC"])
print("descending:", [run.info.run_name for run in best])
assert best[0].info.run_name == "infinite" and best[-1].info.run_name.startswith("NaN")
PY
"$work/venv/bin/python" "$work/check.py" "$work"
