#!/usr/bin/env bash
# One would guess: torchmetrics' MetricCollection of MulticlassAccuracy (which averages over classes by default) with top_k=1
#   and with top_k=5 returns what the two metrics return by themselves. It shares work between metrics that are alike.
# What happens: whether two metrics are alike is decided by their counts after the FIRST batch. Top-1 and top-5 have the same
#   counts where every image of it is right. Then they are one group: only the first is updated from there on, and the second
#   reports the first's counts. Top-5 is top-1, to the last digit, in every later batch and epoch: reset() keeps the
#   groups. The same images shuffled give the right numbers, and so do batches large enough to hold an error.
# Why it matters: test sets are read in order of classes, and CLIP's first ones (faces, airplanes) are all right in a first batch
#   of 32. The collection is the documented way to log several metrics. Nothing warns, and the figure is plausible: top-5
#   is never below top-1. Pass compute_groups=False. The documentation says that a group's
#   metrics "share the same metric state", not how they are found; reports of BLEU scores (2025) and of metrics of one's own
#   (2024) that were merged so are closed. With average="micro" in both, the counts differ.
# Versions: torchmetrics 1.9.0, torch 2.13.0, CPU build (Python 3.11). Logits are synthetic.
# Seen, 50 classes of 40 images, the first class always right: in order, batches of 32: top-1 0.656, top-5 0.656; each metric by
#   itself, shuffled, batches of 128 or compute_groups=False: top-5 0.901. The same collection's next epoch, shuffled: 0.656.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import torch
from torch.nn.functional import one_hot
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

CLASSES, EACH = 50, 40
generator = torch.Generator().manual_seed(0)
labels = torch.arange(CLASSES).repeat_interleave(EACH)
logits = torch.randn(CLASSES * EACH, CLASSES, generator=generator) + 2.6 * one_hot(labels, CLASSES)
logits[labels == 0] += 20.0 * one_hot(torch.tensor(0), CLASSES)  # the first class is easy


def collection(**how):
    return MetricCollection({"top1": MulticlassAccuracy(CLASSES), "top5": MulticlassAccuracy(CLASSES, top_k=5)}, **how)


def epoch(metrics, order, batch):
    metrics.reset()
    for part in order.split(batch):
        metrics.update(logits[part], labels[part])
    return {name: round(float(value), 4) for name, value in metrics.compute().items()}


in_order, shuffled = torch.arange(len(labels)), torch.randperm(len(labels), generator=generator)
alone = {"top1": MulticlassAccuracy(CLASSES), "top5": MulticlassAccuracy(CLASSES, top_k=5)}
right = {name: round(float(metric(logits, labels)), 4) for name, metric in alone.items()}
print("each by itself              ", right)
assert right["top5"] > right["top1"] + 0.2
merged = collection()
found = epoch(merged, in_order, 32)
print("in order of class, 32       ", found, dict(merged.compute_groups))
assert found == {"top1": right["top1"], "top5": right["top1"]} and len(merged.compute_groups) == 1
later = epoch(merged, shuffled, 32)
print("its next epoch, shuffled    ", later)
assert later == found, "the groups outlive the epoch"
for words, metrics, order, batch in (
    ("shuffled, 32", collection(), shuffled, 32),
    ("in order, 128", collection(), in_order, 128),
    ("in order, 32, not grouped", collection(compute_groups=False), in_order, 32),
):
    found = epoch(metrics, order, batch)
    print(f"{words:28s}", found)
    assert found == right
PY
"$work/venv/bin/python" "$work/check.py"
