#!/usr/bin/env bash
# One would guess: a folder with a sub-folder per class has one numbering of classes, the alphabet's, whichever loader of
#   the torch world reads it.
# What happens: torchvision's ImageFolder sorts by code points: capitals before small letters, "_" between them, and "10"
#   before "2". timm's reader sorts as people do: without regard to case, and runs of digits as numbers. Caltech101's
#   Faces, Leopards and Motorbikes come first for one and amid the others for the other, so the classes around them
#   have two numbers. Both number from 0 to n - 1, and neither says how.
# Why it matters: few-shot classifiers, cached features and class names are exchanged as arrays by class number. A head
#   trained through timm and evaluated through torchvision is wrong on nearly every class whose number moved, and
#   features with their labels from one can't be joined to prompts from the other. EuroSAT's folders agree in both, so
#   a check on them shows nothing. Keep the names with the arrays.
# Versions: torchvision 0.29.2, timm 1.0.31, torch 2.15.0 (Python 3.11).
# Seen: of 12 folders of Caltech101, 1 has the same number in both (yin_yang, the last); of 12 numbered folders
#   (class_1 to class_12) 1 has; of EuroSAT's ten all have.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.15.0 torchvision==0.29.2 timm==1.0.31 pillow==13.0.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import sys
from pathlib import Path

from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder


def same(name, classes):
    root = Path(sys.argv[1]) / name
    for folder in classes:
        (root / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / folder / "0.png")
    by_torchvision = ImageFolder(root).class_to_idx
    by_timm = create_dataset("", root=str(root)).reader.class_to_idx
    assert set(by_torchvision) == set(by_timm) == set(classes)
    print(f"{name}: torchvision {sorted(by_torchvision, key=by_torchvision.get)}")
    print(f"{name}: timm        {sorted(by_timm, key=by_timm.get)}")
    return {folder for folder in classes if by_torchvision[folder] == by_timm[folder]}


caltech = "Faces Faces_easy Leopards Motorbikes accordion airplanes anchor barrel camera crab lotus yin_yang".split()
eurosat = (
    "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential River SeaLake".split()
)
agree = {
    "caltech": same("caltech", caltech),
    "numbered": same("numbered", [f"class_{number}" for number in range(1, 13)]),
    "eurosat": same("eurosat", eurosat),
}
print({name: len(folders) for name, folders in agree.items()})
assert agree == {"caltech": {"yin_yang"}, "numbered": {"class_1"}, "eurosat": set(eurosat)}
PY
"$work/venv/bin/python" "$work/check.py" "$work"
