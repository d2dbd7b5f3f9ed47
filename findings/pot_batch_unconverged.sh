#!/usr/bin/env bash
# One would guess: POT's new batched solver (ot.batch.solve_batch) returns for every problem what ot.emd2 or
#   ot.sinkhorn returns, only faster; and a solver that stops at its iteration limit says so, as ot.solve does.
# What happens: (1) without regularisation it stops after 1000 proximal steps, by default, wherever it is: here at a
#   cost of 0.79 where the exact one is 0.64. No warning, status None; the marginals are perfect to 1e-13, so the
#   usual check of a plan passes. 2,900 steps reach the exact value. (2) With regularisation the stop rule looks at
#   the worst problem of the batch, every ten steps: an image's plan depends on which images it was batched with (last
#   digits of its score).
# Why it matters: PLOT-like local scores are exactly such batches (patches against prompts). The first makes an
#   ablation over eps jump where it reaches 0, the second makes cached scores depend on the batch size, so that
#   neither equality nor a hash of them can tell whether two runs are the same. Use a fixed number of steps, and check
#   n_iter.
# Versions: POT 0.9.7.post1, numpy 2.4.6, scipy 1.17.1 (Python 3.11).
# Seen: no regularisation: 0.7895 after 999 steps, exact 0.6406, row error 3e-14; eps 0.01: 10 steps alone, 80 beside
#   a harder problem, plans 1.2e-4 apart (relative to uniform); ot.solve warns at its limit, solve_batch does not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 POT==0.9.7.post1
cat > "$work/check.py" <<'PY'
import warnings

import numpy as np
import ot
from ot.batch import solve_batch

PATCHES, PROMPTS = 49, 4


def image(seed, spread):
    """Cost 1 - cosine of patches and prompts that share a direction, as CLIP's features do."""
    rng = np.random.default_rng(seed)
    shared = 2 * rng.normal(size=32)
    patches, prompts = (shared + spread * rng.normal(size=(n, 32)) for n in (PATCHES, PROMPTS))
    patches, prompts = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (patches, prompts))
    return 1 - patches @ prompts.T


def warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return call(), bool(caught)


easy, hard = image(0, 0.5), image(1, 3.0)
exact = ot.emd2([], [], hard)
answer, said = warned(lambda: solve_batch(M=hard[None]))
cost, steps = float(answer.value_linear[0]), answer.log["n_iter"]
row_error = np.abs(answer.plan[0].sum(1) - 1 / PATCHES).sum()
print(f"no regularisation: {cost:.4f} after {steps} steps, exact {exact:.4f}, row error {row_error:.0e}")
print(f"warned: {said}, status: {answer.status}")
assert cost > 1.1 * exact and row_error < 1e-9 and not said and answer.status is None
longer = solve_batch(M=hard[None], max_iter=20000, tol=1e-9)
print(f"given more steps: {float(longer.value_linear[0]):.4f} after {longer.log['n_iter']}")
assert abs(float(longer.value_linear[0]) - exact) < 1e-4

alone, beside = solve_batch(M=easy[None], reg=0.01), solve_batch(M=np.stack([easy, hard]), reg=0.01)
apart = np.abs(alone.plan[0] - beside.plan[0]).max() * PATCHES * PROMPTS
print(f"one image: {alone.log['n_iter']} steps alone, {beside.log['n_iter']} beside another; plans {apart:.1e} apart")
assert alone.log["n_iter"] < beside.log["n_iter"] and apart > 1e-5

(_, single), (_, batched) = (
    warned(lambda: ot.solve(hard, reg=0.005, max_iter=10)),
    warned(lambda: solve_batch(M=hard[None], reg=0.005, max_iter=10)),
)
print(f"stopped after 10 steps: ot.solve warns: {single}, solve_batch warns: {batched}")
assert single and not batched
PY
"$work/venv/bin/python" "$work/check.py"
