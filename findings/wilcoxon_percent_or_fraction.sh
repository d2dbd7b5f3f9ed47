#!/usr/bin/env bash
# One would guess: a signed-rank test of two methods over data sets gives the same p-value whether accuracies are
#   written in per cent or as fractions, since dividing by 100 changes no order.
# What happens: the test ranks |a - b|, and differences that are equal on paper are not equal in binary: 88.5 - 88.2
#   and 58.8 - 58.5 differ in their last bits. Which of them tie depends on the scale, so the same table gives p =
#   0.046 in per cent and p = 0.074 as fractions, on both sides of 0.05. Rounded to the tenths that were printed, it
#   is 0.045. SciPy's wilcoxon takes the numbers as they are and says nothing.
# Why it matters: published tables have one decimal, so ties are the rule: in 4,500 random tables of 14 to 16 rows and
#   tenths, 1.7 % got verdicts on both sides of 0.05 from the three ways to write them down. Differences have to be
#   rounded to the precision of the table before they are ranked (SciPy's notes on the test mention the effect, not
#   its size).
# Versions: scipy 1.17.1, numpy 2.4.6 (Python 3.11).
# Seen: per cent p = 0.0461 (8 distinct sizes of 16), fractions 0.0738 (10), rounded to tenths 0.0449 (6).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import numpy as np
from scipy.stats import wilcoxon

ours = np.array([88.5, 86.8, 54.3, 53.7, 91.7, 51.9, 64.2, 52.5, 65.4, 88.4, 79.3, 54.7, 67.1, 81.3, 58.4, 58.5])
theirs = np.array([88.2, 86.9, 54.0, 53.5, 91.5, 52.0, 64.3, 52.0, 65.3, 87.7, 79.5, 54.3, 67.0, 80.6, 58.3, 58.8])
ways = {
    "per cent": ours - theirs,
    "fractions": ours / 100 - theirs / 100,
    "rounded to tenths": np.round(ours - theirs, 1),
}
p = {}
for way, difference in ways.items():
    p[way] = wilcoxon(difference).pvalue
    print(f"{way:18s} p = {p[way]:.4f}, {np.unique(np.abs(difference)).size} distinct sizes of {difference.size}")
assert np.allclose(ways["per cent"], 100 * ways["fractions"], rtol=0, atol=1e-9), "one and the same table"
assert p["per cent"] < 0.05 < p["fractions"]
assert p["rounded to tenths"] < 0.05
assert np.unique(np.abs(ways["rounded to tenths"])).size < np.unique(np.abs(ways["per cent"])).size
PY
"$work/venv/bin/python" "$work/check.py"
