#!/usr/bin/env bash
# One would guess: scikit-posthocs' posthoc_quade finds much the same pairs with dist="normal" as with dist="t", its default, and
#   with both some pair of equal methods differs in 5 % of tables, once the p-values are corrected for their number.
# What happens: with dist="normal" a difference of mean ranks is divided by a deviation in which n is the number of CELLS of the
#   table, datasets x methods. By the ranks alone (all orders equally likely) it is 1.5 to 1.7 times as large. Of equal methods
#   some pair is therefore significant in a third of tables and more, after Holm's correction; with dist="t" in 8 % at most.
# Why it matters: Quade's test is the one that weights datasets by how far methods differ there, and is named beside Friedman's
#   for few methods on few datasets. Checking against R doesn't help: PMCMRplus, of which this is a port, has the same line.
#   The documentation offers both distributions without a preference, and no report was found. Use dist="t", or Nemenyi's test.
# Versions: scikit-posthocs 0.17.1, statsmodels 0.15.0, scipy 1.17.1, pandas 3.1.1, numpy 2.4.6 (Python 3.11).
# Seen, eleven datasets, equal methods, 100 tables each, some p < 0.05 after Holm: 3 methods: 8 % by t, 37 % by normal; 5: 1 %,
#   33 %; 10: 1 %, 44 %. Mean ranks are divided by 0.282, 0.490 and 0.998; their deviation is 0.482, 0.762 and 1.459. The
#   root mean square of z is 1.79, 1.47 and 1.45 instead of 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scikit-posthocs==0.17.1 statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import warnings

import numpy as np
import pandas as pd
from scikit_posthocs import posthoc_quade
from scipy.stats import norm, rankdata
from statsmodels.stats.multitest import multipletests

warnings.simplefilter("ignore")
DATASETS, TABLES = 11, 100


def weighted(table):
    """Each method's mean rank, a dataset weighted by the rank of its range: what z is the difference of."""
    weights = rankdata(np.ptp(table, axis=1))
    return weights @ rankdata(table, axis=1) / weights.sum()


for methods in (3, 5, 10):
    rng = np.random.default_rng(methods)
    tables = rng.normal(60, 15, (TABLES, DATASETS, 1)) + rng.normal(0, 1, (TABLES, DATASETS, methods))
    pairs = np.triu_indices(methods, 1)
    by_t, by_normal = (
        np.array([posthoc_quade(pd.DataFrame(one), dist=dist).to_numpy()[pairs] for one in tables]) for dist in ("t", "normal")
    )
    some_t, some_normal = (np.mean([multipletests(p, 0.05, "holm")[0].any() for p in found]) for found in (by_t, by_normal))
    z = norm.isf(by_normal / 2)  # its mean square is 1 if the variance is right
    differences = np.array([np.abs(np.subtract.outer(ranks, ranks)[pairs]) for ranks in map(weighted, tables)])
    clear = z > 0.1
    used = differences[clear] / z[clear]
    n = DATASETS * methods
    cells = np.sqrt(methods * (methods + 1) * (2 * n + 1) * (methods - 1) / (18 * n * (n + 1)))
    # two ranks of a dataset differ with a variance of k (k + 1) / 6, and weights are 1 to b, divided by their sum
    weights = np.arange(1, DATASETS + 1)
    true = np.sqrt(methods * (methods + 1) / 6 * (weights**2).sum()) / weights.sum()
    size, spread = np.sqrt((z**2).mean()), np.sqrt((differences**2).mean())
    print(
        f"{methods:2d} methods: some pair differs in {some_t:.0%} (t), {some_normal:.0%} (normal) of tables; root mean square of z "
        f"{size:.2f}; divided by {used.mean():.3f} (by cells {cells:.3f}), deviation {true:.3f}, in these tables {spread:.3f}",
        flush=True,
    )
    assert np.allclose(used, cells), "n is the number of cells"
    assert true > 1.4 * cells and abs(spread / true - 1) < 0.12
    assert some_t < 0.12 and some_normal > 0.25 and size > 1.35
PY
"$work/venv/bin/python" "$work/check.py"
