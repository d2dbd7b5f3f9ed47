#!/usr/bin/env bash
# One would guess: scikit-learn's LogisticRegression either reaches its minimum or warns that it did not; and since its
#   penalty is |w|^2, turning all features by one rotation (a PCA basis, a random projection) changes no prediction.
# What happens: the solver stops once no entry of the gradient exceeds tol = 1e-4, an absolute number. Since release 1.4
#   the gradient is a mean over images, so where it starts, at w = 0, it is (mean of all - mean of a class) / classes: the
#   more classes, the smaller. With 1,000 classes of unit-length features it may start below 1e-4. Then fit() returns after
#   0 iterations with all weights 0 and predicts one class for every image. No warning, no error, whatever C. Whether
#   it does depends on the LARGEST entry of the class means, and so on the rotation: features with a few large dimensions
#   are fitted, the same features rotated are not. Release 1.3.2, whose gradient was a sum, fits both.
# Why it matters: "linear probe" is the first row of every table, on normalised features, and ImageNet has 1,000 classes.
#   A probe that has moved once or twice is the same fault and looks like a weak baseline instead of a broken one: look at
#   n_iter_, or set tol to a thousandth of the first gradient.
# Versions: scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1 (Python 3.11). Features are synthetic, with cosines as in CLIP.
# Seen, 1,000 classes, 8 images each, C = 1: as drawn 6 iterations, 97.4 % right; rotated 0 iterations, 0.1 %, without a
#   warning; rotated with tol=1e-6: 14 iterations, 97.7 %. On other features of this kind, evenly spread from the start (512
#   dimensions, 4 images): release 1.9.1 0 iterations and 0.1 %, release 1.3.2 9 iterations and all right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
cat > "$work/check.py" <<'PY'
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

warnings.simplefilter("error")
rng = np.random.default_rng(0)
CLASSES, WIDTH, SHOTS = 1000, 256, 8


def normalised(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


shared = normalised(rng.normal(size=(1, WIDTH)))
centres = normalised(rng.standard_t(4, size=(CLASSES, WIDTH)))  # some dimensions are large, as in CLIP's features
rotation = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]


def draw(images):
    labels = np.repeat(np.arange(CLASSES), images)
    noise = normalised(rng.normal(size=(labels.size, WIDTH)))
    return normalised(0.8 * shared + 0.28 * centres[labels] + 0.62 * noise), labels


(train, labels), (test, truth) = draw(SHOTS), draw(5)


def probe(said, turn, **settings):
    features = train @ turn
    fitted = LogisticRegression(max_iter=1000, **settings).fit(features, labels)
    means = features.reshape(CLASSES, SHOTS, WIDTH).mean(axis=1)
    begins = np.abs(means - means.mean(axis=0)).max() / CLASSES
    accuracy, steps = fitted.score(test @ turn, truth), int(fitted.n_iter_[0])
    print(f"{said:20s} first gradient {begins:.1e}, {steps} iterations, largest weight {np.abs(fitted.coef_).max():.2f}, "
          f"accuracy {accuracy:.4f}", flush=True)
    return accuracy, steps


drawn = probe("as drawn", np.eye(WIDTH))
rotated = probe("rotated", rotation)
patient = probe("rotated, tol 1e-6", rotation, tol=1e-6)
assert drawn[1] > 0 and drawn[0] > 0.95
assert rotated == (1 / CLASSES, 0), "the same features, and not one step"
assert abs(patient[0] - drawn[0]) < 0.005, "the rotation itself changes nothing"
PY
"$work/venv/bin/python" "$work/check.py"
