#!/usr/bin/env bash
# One would guess: mlflow.data.from_numpy(features) makes a digest of the array, so two runs with one digest saw the same
#   data; from_pandas does so of a table.
# What happens: the digest covers the first 10,000 NUMBERS and the shape. Of 1,000 image features of width 512 that is 19
#   and a half images: two arrays that agree up to there have one digest, whatever follows. Neither the source nor the
#   type counts. The store keeps a dataset by experiment, name and digest, so the second is taken for the first: its own
#   run then shows the source of the other. A table is covered for its first 10,000 rows, and columns that are
#   neither text nor numbers (bool, dates, categories) not at all.
# Why it matters: caches of features begin with the same images (the first class, sorted by name), whichever way the
#   rest was cropped, shot or split. "Same digest, same data" is what the field is there for, and what a comparison of
#   runs relies on. Pass a digest of your own. (Reported to MLflow, as "different datasets are considered the same", in
#   2024 and again in April 2026.)
# Versions: mlflow-skinny 3.17.2, pandas 3.1.1, numpy 2.4.6, SQLAlchemy 2.1.9 (Python 3.11).
# Seen: 1,000 x 512 zeros, and the same with ones from the 21st row: 26f0998a both; half precision: 26f0998a too; a run
#   that logs test.npy shows train.npy; a table of 12,000 rows with other labels from row 10,000: one digest; another
#   bool column: one digest.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 pandas==3.1.1 numpy==2.4.6 "sqlalchemy==2.1.9" alembic
cat > "$work/check.py" <<'PY'
import json
import logging
import os
import sys
import warnings

import numpy as np
import pandas as pd

os.chdir(sys.argv[1])
warnings.simplefilter("ignore")
import mlflow

logging.getLogger("alembic").setLevel(logging.ERROR)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
labels = np.arange(1000) % 10
first = np.zeros((1000, 512), np.float32)
second = first.copy()
second[20:] = 1
sources = {}
for source, features in {"train.npy": first, "test.npy": second}.items():
    data = mlflow.data.from_numpy(features, targets=labels, source=source, name="features")
    with mlflow.start_run() as run:
        mlflow.log_input(data)
    shown = mlflow.get_run(run.info.run_id).inputs.dataset_inputs[0].dataset
    sources[source] = json.loads(shown.source)["uri"]
    print(f"{source}: mean {features.mean():.2f}, digest {data.digest}, the run shows {sources[source]}")
assert sources == {"train.npy": "train.npy", "test.npy": "train.npy"}


def digests(label, make, *data):
    found = {make(one).digest for one in data}
    print(f"{label}: {len(found)} digest(s)")
    return len(found)


half = first.astype(np.float16)
early = first.copy()
early[19, 200] = 1
table = pd.DataFrame({"image": np.arange(12000), "label": 0, "used": True})
relabelled, unused = table.copy(), table.copy()
relabelled.loc[10000:, "label"] = 1
unused["used"] = False
assert digests("single, half precision", mlflow.data.from_numpy, first, half) == 1
assert digests("a change in the 20th row", mlflow.data.from_numpy, first, early) == 2
assert digests("a table, labels from row 10,000", mlflow.data.from_pandas, table, relabelled) == 1
assert digests("a table, its bool column", mlflow.data.from_pandas, table, unused) == 1
PY
"$work/venv/bin/python" "$work/check.py" "$work"
