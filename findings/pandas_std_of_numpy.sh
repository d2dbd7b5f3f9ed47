#!/usr/bin/env bash
# One would guess: table.groupby("method").accuracy.agg(["mean", np.std]) gives the same numbers after an update of pandas,
#   and the same as agg(["mean", "std"]): both are the standard deviation.
# What happens: until pandas 2.3 np.std stood for pandas' own "std", which divides by n - 1. pandas 3 (January 2026) calls
#   the function that it was given, and NumPy's divides by n. With three seeds every deviation is 18 % smaller, with two
#   29 %. It is so in agg, named aggregation, pivot_table, crosstab, rolling and resample, and np.var likewise. Release
#   2 announced it by a FutureWarning; release 3 says nothing, and the column is still called "std".
# Why it matters: "mean ± std over seeds 1, 2, 3" is the field's table, and its scripts are older than 2026. Run again,
#   they print the same means and smaller deviations, so rows of an old and a new run don't compare, and a method
#   looks steadier for having been added later. Write "std", which has kept its meaning.
# Versions: pandas 2.3.3 and 3.1.1, numpy 2.4.6 (Python 3.11).
# Seen, accuracies 71.0, 72.0 and 74.0: agg(np.std), named, pivot_table, crosstab: 1.5275 in 2.3.3 (with a FutureWarning),
#   1.2472 in 3.1.1 (with none); "std": 1.5275 in both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/check.py" <<'PY'
import sys
import warnings

import numpy as np
import pandas as pd

expected, warned = float(sys.argv[1]), sys.argv[2] == "warned"
table = pd.DataFrame({"method": ["ours"] * 3, "dataset": ["pets"] * 3, "accuracy": [71.0, 72.0, 74.0]})
groups = table.groupby("method")
ways = {
    "agg": lambda std: groups.accuracy.agg(["mean", std])["std"],
    "named": lambda std: groups.agg(deviation=("accuracy", std)),
    "pivot_table": lambda std: table.pivot_table(index="method", columns="dataset", values="accuracy", aggfunc=std),
    "crosstab": lambda std: pd.crosstab(table.method, table.dataset, values=table.accuracy, aggfunc=std),
}
for name, way in ways.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        by_numpy = float(np.ravel(way(np.std))[0])
    by_name = float(np.ravel(way("std"))[0])
    said = any(one.category is FutureWarning for one in caught)
    print(f"pandas {pd.__version__}, {name:12s} np.std {by_numpy:.4f}, 'std' {by_name:.4f}, warned: {said}")
    assert abs(by_numpy - expected) < 1e-4 and abs(by_name - 1.5275) < 1e-4 and said == warned
PY
for release in "2.3.3 1.5275 warned" "3.1.1 1.2472 silent"; do
  read -r version expected warned <<< "$release"
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet "pandas==$version" numpy==2.4.6
  "$work/$version/bin/python" "$work/check.py" "$expected" "$warned"
done
