#!/usr/bin/env bash
# One would guess: autorank, which takes one row per dataset and tests for repeated measures, compares three methods in pairs
#   as it compares two: by their differences on the same datasets.
# What happens: with two columns it is a paired t-test. With three or more (normal, of equal variance) the question whether
#   they differ at all is answered by a repeated-measures ANOVA, and the question which ones do by Tukey's HSD for
#   INDEPENDENT groups: its intervals hold the spread between datasets, which the ANOVA had taken out. For accuracies
#   from 29 % to 92 % they are +-10 points, however little the differences scatter. The report then rejects
#   equality at p = 4e-14 and says in its next sentence that no two of the methods differ.
# Why it matters: datasets differ far more than methods, so a table of two methods has a significant winner and loses it once
#   a third is added: gains of 9 points on every single dataset are "no significant difference". The documentation names
#   "repeated measures ANOVA with Tukey's HSD as post-hoc test", not that one is paired and the other isn't, and no report
#   of it was found. force_mode="nonparametric" (Friedman, Nemenyi) uses the pairs in both steps; so do t-tests with Holm.
# Versions: autorank 1.3.0, statsmodels 0.15.0, scipy 1.17.1, pandas 3.1.1, numpy 2.4.6 (Python 3.11). Accuracies are made up.
# Seen, eleven datasets, each method 3.0 points above the one before, give or take 0.7: two methods: p = 3e-9, the better one
#   is named; three: p = 4e-14, none differs from any; paired t-tests with Holm: p = 6e-6 at most. With gains of 3.0 and of
#   9.0 points neighbours are the same in 20 of 20 reports, and different by paired tests in 20 of 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet autorank==1.3.0 statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6 matplotlib==3.11.2
cat > "$work/check.py" <<'PY'
import contextlib
import io
import itertools
import warnings

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pandas as pd
from autorank import autorank, create_report
from scipy.stats import ttest_rel
from statsmodels.stats.multitest import multipletests

warnings.simplefilter("ignore")
zero_shot = np.array([66.7, 91.8, 88.2, 69.7, 70.6, 90.1, 29.1, 65.1, 53.3, 48.5, 69.0])
NONE_DIFFER = "no significant differences within the following groups: one, two, and three."


def table(gain, rng, methods=3):
    names = ("one", "two", "three")[:methods]
    return pd.DataFrame({name: zero_shot + gain * step + rng.normal(0, 0.7, 11) for step, name in enumerate(names)})


def reported(data, **how):
    """autorank's p for "all are equal", its result, and its report in words; its own prints are kept back."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        result = autorank(data, alpha=0.05, **how)
        create_report(result)
    return result.pvalue, result, said.getvalue()


def paired(data):
    pairs = list(itertools.combinations(data.columns, 2))
    return multipletests([ttest_rel(data[a], data[b]).pvalue for a, b in pairs], method="holm")[1]


rng = np.random.default_rng(1)
p, result, said = reported(table(3.0, rng, methods=2))
print(f"two methods: {result.omnibus}, p = {p:.0e}; in words:", said.strip().splitlines()[-1][-120:])
assert result.omnibus == "ttest" and p < 1e-6 and "significantly larger" in said
data = table(3.0, rng)
p, result, said = reported(data)
print(f"three methods: {result.omnibus} and {result.posthoc}, p = {p:.0e}; in words:", said.strip().splitlines()[-1])
half = (result.rankdf.ci_upper - result.rankdf.ci_lower).mean() / 2
print(f"half of an interval: {half:.1f} points; paired t-tests, Holm: largest p {paired(data).max():.0e}")
assert (result.omnibus, result.posthoc) == ("anova", "tukeyhsd") and p < 1e-10 and NONE_DIFFER in said
assert half > 9 and paired(data).max() < 1e-5
_, result, said = reported(data, force_mode="nonparametric")
ranks = result.rankdf.meanrank
print(f"Friedman and Nemenyi: ranks {ranks.round(2).to_dict()}, critical distance {result.cd:.2f}")
assert ranks.max() - ranks.min() > result.cd

for gain, words in ((3.0, NONE_DIFFER), (9.0, "groups: one and two; two and three.")):
    tables = [table(gain, rng) for _ in range(20)]
    blind = sum(words in reported(data)[2] for data in tables)
    holm = sum((paired(data) < 0.05).all() for data in tables)
    print(f"gains of {gain} points: neighbours the same in {blind} of 20 reports, different by paired tests in {holm}", flush=True)
    assert blind == holm == 20
PY
"$work/venv/bin/python" "$work/check.py"
