#!/usr/bin/env bash
# One would guess: an AUROC depends on the order of the scores alone, so torchmetrics' BinaryAUROC of CLIP's largest logit (or its
#   energy) as a score for "is of a known class" is that of the cosine, whatever the scale, and scikit-learn's.
# What happens: a batch with a score outside [0, 1] is put through a sigmoid first, in the scores' own precision. With CLIP's scale of
#   100 the largest ones are above 17, where the sigmoid is exactly 1 in float32: all scores tie, AUROC 0.5. With a smaller scale
#   only the best images tie, and the AUROC is plausible and wrong: 0.68 for 0.76 at a scale of 20 in bfloat16. A batch whose
#   scores all lie in [0, 1] is NOT put through it. For scores that exceed 1 now and then (a sum of cosines), some batches
#   are and some aren't, and the result is 0.76 to 0.67, the lower the larger the batch.
# Why it matters: this is how new classes and other data sets are told from known ones, AUROC is the table's only column, and a
#   method with a larger learned scale looks worse for it. That logits get a sigmoid is documented; that it is decided by batch
#   was reported in 2023, and the ties in 2024, both open. A package for this very task (pytorch-ood) changed one
#   of its scores in July 2026 after it had shown 50 % for it. Use sklearn's roc_auc_score, or ranks / n as scores.
# Versions: torchmetrics 1.9.0, torch 2.13.0, CPU build, scikit-learn 1.9.1 (Python 3.11). Cosines are synthetic, from 0.25 to 0.44.
# Seen, 8,000 images, 100 classes, scikit-learn 0.758 in all cases (0.759 for the energy): largest logit, float32, at a scale of
#   100: 0.500, 60: 0.560, 50: 0.750; bfloat16 at 20: 0.684, at 14: 0.745; energy at 100: 0.500. 2.5 times the cosine, of
#   which 0.18 % exceed 1: batches of 1: 0.756, 8: 0.751, 64: 0.716, 512: 0.671.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 torchmetrics==1.9.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import normalize
from torchmetrics.classification import BinaryAUROC
from torchmetrics.functional.classification import binary_auroc

generator = torch.Generator().manual_seed(0)
IMAGES, CLASSES, WIDTH = 4000, 100, 512
text = normalize(torch.randn(CLASSES, WIDTH, generator=generator), dim=1)


def cosines(images, likeness):
    labels = torch.randint(0, CLASSES, (images,), generator=generator)
    features = normalize(torch.randn(images, WIDTH, generator=generator), dim=1) + likeness * text[labels]
    return 0.2 + 0.8 * normalize(features, dim=1) @ text.T


cosine = torch.cat([cosines(IMAGES, 0.14), cosines(IMAGES, 0.08)])  # of known classes, and of others
known = torch.arange(2 * IMAGES) < IMAGES
largest = cosine.max(dim=1).values


def compare(words, scores):
    truth, found = roc_auc_score(known, scores.float()), float(binary_auroc(scores, known.long()))
    print(f"{words:30s} {float(scores.min()):5.2f} to {float(scores.max()):5.2f}: torchmetrics {found:.4f}, scikit-learn {truth:.4f}")
    return found, truth


right = compare("cosine", largest)[1]
for scale, low, high in ((100, 0.5, 0.5), (60, 0.54, 0.58), (50, 0.745, 0.757)):
    found, truth = compare(f"logit at a scale of {scale}", scale * largest)
    assert low <= found <= high and abs(truth - right) < 1e-4
for scale, low, high in ((20, 0.67, 0.71), (14, 0.735, 0.755)):
    found, truth = compare(f"the same at {scale} in bfloat16", (scale * largest).bfloat16())
    assert low <= found <= high and abs(truth - right) < 1e-3
found, truth = compare("energy at 100", (100 * cosine).logsumexp(dim=1))
assert found == 0.5 and truth > 0.75

scores = 2.5 * largest
order = torch.randperm(2 * IMAGES, generator=torch.Generator().manual_seed(1))
by_batch = []
for size in (1, 8, 64, 512):
    metric = BinaryAUROC()
    for part in order.split(size):
        metric.update(scores[part], known[part].long())
    by_batch.append(float(metric.compute()))
    print(f"2.5 times the cosine ({float((scores > 1).float().mean()):.2%} above 1), batches of {size}: {by_batch[-1]:.4f}")
assert abs(roc_auc_score(known, scores) - right) < 1e-4
assert by_batch == sorted(by_batch, reverse=True) and by_batch[0] - by_batch[-1] > 0.08
PY
"$work/venv/bin/python" "$work/check.py"
