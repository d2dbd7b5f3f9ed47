#!/usr/bin/env bash
# One would guess: among many p-values one NaN (a comparison that could not be made) stays NaN in a correction for
#   multiple tests, and the others are corrected as if it were not there.
# What happens: it depends on the method, and nothing is said. statsmodels' Benjamini-Hochberg, Benjamini-Yekutieli,
#   Hommel and Simes-Hochberg return NaN for EVERY test. Yet the flags that come with them still reject: BH two, BY
#   and Simes-Hochberg one, so flags and p-values contradict each other. Holm and Bonferroni keep the rest but count
#   the missing test, so the others are corrected more harshly. SciPy's false_discovery_control raises instead.
# Why it matters: a comparison table with one failed cell has one NaN p-value, and a table of twelve variants in which
#   all stars vanish at once looks like "nothing is significant". Missing tests have to be taken out before, and
#   named.
# Versions: statsmodels 0.15.0, scipy 1.17.1, numpy 2.4.6, pandas 3.1.1 (Python 3.11).
# Seen, for p = 0.001, 0.020, NaN, 0.040: fdr_bh gives four NaN; Holm 0.004 0.060 NaN 0.080, without the NaN it would
#   be 0.003 0.040 0.040: the second is significant at 0.05 or not depending on a test that was never made.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1
cat > "$work/check.py" <<'PY'
import numpy as np
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

made = np.array([0.001, 0.020, 0.040])
with_gap = np.array([0.001, 0.020, np.nan, 0.040])
with np.errstate(invalid="ignore"):
    for method in ("fdr_bh", "fdr_by", "hommel", "simes-hochberg"):
        reject, corrected = multipletests(with_gap, method=method)[:2]
        print(f"{method:15s} p {corrected}  reject {reject}")
        assert np.isnan(corrected).all(), "one NaN takes all with it"
    contradictory = multipletests(with_gap, method="fdr_by")
    assert contradictory[0][0] and np.isnan(contradictory[1][0]), "rejected, with p = NaN"

    for method in ("holm", "bonferroni"):
        gap, none = multipletests(with_gap, method=method)[1], multipletests(made, method=method)[1]
        print(f"{method:15s} p {gap}  without the NaN {none}")
        assert np.isnan(gap[2]) and (gap[[0, 1, 3]] > none).all(), "the missing test is counted"
    assert multipletests(with_gap, method="holm")[1][1] > 0.05 > multipletests(made, method="holm")[1][1]

try:
    false_discovery_control(with_gap)
except ValueError as error:
    print("scipy:", error)
else:
    raise AssertionError("SciPy takes the NaN")
PY
"$work/venv/bin/python" "$work/check.py"
