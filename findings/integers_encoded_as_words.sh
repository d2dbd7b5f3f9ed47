#!/usr/bin/env bash
# One would guess: making a column of integer labels 0 to 36 a class column (Dataset.class_encode_column, which
#   train_test_split demands before it stratifies) changes its type, and each label keeps its number.
# What happens: the integers become text, the texts are sorted as words, and the labels are numbered anew in that order:
#   0, 1, 10, 11, ... so that label 2 becomes 12 of 37. Up to ten classes nothing changes, so a small trial shows nothing.
#   The values are still integers in the right range, and the names of the new classes are "0", "1", "10": the mapping
#   is kept there, but reads like the one it replaces.
# Why it matters: stratified shots are drawn this way, and features, class names and prompts are indexed by the old number.
#   Of 37 classes 35 move: an oracle that predicts the old label scores 5 %. Casting to
#   ClassLabel(num_classes=37) keeps the numbers. (Seen by a project that uses it, in 2023, and called severe there.)
# Versions: datasets 5.2.0, numpy 2.4.6 (Python 3.11).
# Seen: 10 classes: all numbers kept; 37 classes (as in Oxford Pets): 2 kept, label 2 is 12, 10 is 2; 100 classes: 12
#   kept; cast_column(ClassLabel(num_classes=37)): all kept.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet datasets==5.2.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=f"{sys.argv[1]}/home", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
from datasets import ClassLabel, Dataset


def kept(classes, encode):
    labels = list(range(classes)) * 2
    encoded = list(encode(Dataset.from_dict({"label": labels}))["label"])
    assert sorted(set(encoded)) == list(range(classes))
    same = sum(encoded[label] == label for label in range(classes))
    print(f"{classes} classes: {same} keep their number; the first 13 become {encoded[: min(13, classes)]}")
    return same, encoded


def by_name(data):
    return data.class_encode_column("label")


assert kept(10, by_name)[0] == 10
same, encoded = kept(37, by_name)
assert same == 2 and encoded[2] == 12 and encoded[10] == 2
assert kept(100, by_name)[0] == 12
assert kept(37, lambda data: data.cast_column("label", ClassLabel(num_classes=37)))[0] == 37
halves = by_name(Dataset.from_dict({"label": list(range(37)) * 4})).train_test_split(0.5, stratify_by_column="label", seed=0)
assert sorted(halves["train"]["label"]) == sorted(list(range(37)) * 2), "stratified, and by other numbers"
PY
"$work/venv/bin/python" "$work/check.py" "$work"
