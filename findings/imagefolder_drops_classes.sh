#!/usr/bin/env bash
# One would guess: load_dataset("imagefolder", data_dir=...) reads a folder with one sub-folder per class as torchvision's
#   ImageFolder does: all images in one split, "train", with the folders' names as labels.
# What happens: Hugging Face datasets looks for the words of splits (train, training, test, testing, val, valid, validation,
#   dev, eval, evaluation) in the names of all folders, as words between "_", "-", ".", blanks and digits. As soon as one
#   class has such a word in its name, its images are the split, and all classes without one are gone: no warning, and
#   the list of labels is short, too, so nothing looks amiss. SUN397 has "train_interior" and "train_railway";
#   ImageNet's names have a bullet train, CIFAR-100 a train. That split names are looked for in folders is documented;
#   that a class may be taken for one isn't.
# Why it matters: of SUN397's 397 classes only those of trains are left, and zero-shot accuracy over them is splendid. It
#   takes a data set whose folders are named after classes, as one's own collections are. data_files={"train": "**"}
#   reads all. (For names of files the same was reported in 2022.)
# Versions: datasets 5.2.0, pillow 13.0.0, numpy 2.4.6 (Python 3.11).
# Seen: of five classes of three images two are of trains: labels train_interior and train_railway, 6 of 15 images; abbey,
#   bullet_train, test_tube, village: 3 images of the bullet train in "train", labelled None, and 3 of the test tube in
#   "test", labelled; with data_files all 15; "trains" and "trainyard" are no words of splits: all 12.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=f"{sys.argv[1]}/home", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
from datasets import load_dataset
from PIL import Image


def read(name, classes, **how):
    root = Path(sys.argv[1]) / name
    for folder in classes:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            Image.new("RGB", (8, 8)).save(root / folder / f"{number}.png")
    splits = load_dataset("imagefolder", data_dir=str(root), **how)
    rows = {split: one.num_rows for split, one in splits.items()}
    print(f"{name}: {3 * len(classes)} images, read {rows}; labels", end=" ")
    print(next(iter(splits.values())).features["label"].names)
    names = {split: one.features["label"].names for split, one in splits.items()}
    return {split: sorted({n if n is None else names[split][n] for n in one["label"]}) for split, one in splits.items()}


scenes = ["abbey", "bedroom", "train_interior", "train_railway", "village"]
objects = ["abbey", "bullet_train", "test_tube", "village"]
assert read("scenes", scenes) == {"train": ["train_interior", "train_railway"]}
assert read("objects", objects) == {"train": [None], "test": ["test_tube"]}
assert read("plain", ["abbey", "bedroom", "trains", "trainyard"]) == {
    "train": ["abbey", "bedroom", "trains", "trainyard"]
}
assert read("scenes", scenes, data_files={"train": "**"}) == {"train": scenes}
PY
"$work/venv/bin/python" "$work/check.py" "$work"
