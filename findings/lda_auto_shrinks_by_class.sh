#!/usr/bin/env bash
# One would guess: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto") estimates the one covariance that all classes
#   share by Ledoit and Wolf's rule, so with 100 classes of 16 shots it learns from 1,600 samples and shrinks little.
# What happens: it shrinks the covariance of EACH class, from that class's shots alone, and averages the results. How much it
#   shrinks depends on the shots per class and not on the number of classes: 0.65 for 10 classes, 0.66 for 100, where
#   the shared covariance calls for 0.15 and for 0.02. What is left is nearly the diagonal. With shrinkage=0.02 given by
#   hand, or the rule applied to all residuals together, the same data have another accuracy altogether.
# Why it matters: few-shot classifiers from a shared covariance (GDA and its kin) are the strongest training-free rivals on
#   CLIP's features, and this call is the obvious way to write one. As a baseline it is far too weak, and the more
#   classes the worse. The documentation says "automatic shrinkage using the Ledoit-Wolf lemma"; an issue
#   about its consequences for the eigenvectors has been open since 2018.
# Versions: scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6 (Python 3.11). Features are synthetic, 64-dimensional, with the
#   correlations that features have.
# Seen, accuracy with "auto", and with the rule on all residuals: 10 classes of 16 shots: 0.416 and 0.728; 100 classes of 16:
#   0.101 and 0.871 (0.931 with the true covariance); 100 classes of 4: 0.057 and 0.326.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import numpy as np
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

WIDTH = 64
basis = np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)))[0]
root = basis * np.exp(-np.arange(WIDTH) / 20)  # of the shared covariance


def by_shared(features, labels, means, precision):
    weights = means @ precision
    return float(((features @ weights.T - (weights * means).sum(1) / 2).argmax(1) == labels).mean())


def compare(classes, shots):
    rng = np.random.default_rng(classes * 100 + shots)
    centres = rng.normal(size=(classes, WIDTH)) * 0.07

    def draw(each):
        labels = np.repeat(np.arange(classes), each)
        return centres[labels] + rng.normal(size=(classes * each, WIDTH)) @ root.T, labels

    (features, labels), test = draw(shots), draw(50)
    auto = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features, labels).score(*test)
    means = np.stack([features[labels == one].mean(0) for one in range(classes)])
    residuals = features - means[labels]
    each = [residuals[labels == one] for one in range(classes)]
    per_class = np.mean([ledoit_wolf_shrinkage(one / one.std(0)) for one in each])
    shared = LedoitWolf(assume_centered=True).fit(residuals)
    together = by_shared(*test, means, shared.precision_)
    by_hand = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shared.shrinkage_).fit(features, labels).score(*test)
    true = by_shared(*test, means, np.linalg.inv(root @ root.T))
    print(
        f"{classes:3d} classes, {shots:2d} shots: auto {auto:.3f} (shrinks {per_class:.2f}), all residuals {together:.3f} "
        f"({shared.shrinkage_:.2f}), that number by hand {by_hand:.3f}, true covariance {true:.3f}",
        flush=True,
    )
    return auto, together, by_hand, per_class, shared.shrinkage_


for classes, shots in ((10, 16), (100, 16), (100, 4)):
    auto, together, by_hand, per_class, shared = compare(classes, shots)
    assert together > 1.5 * auto and abs(by_hand - together) < 0.02
    assert per_class > 0.4 and shared < 0.2
PY
"$work/venv/bin/python" "$work/check.py"
