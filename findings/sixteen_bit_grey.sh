#!/usr/bin/env bash
# One would guess: opening a 16-bit greyscale PNG and calling convert("RGB"), as every CLIP preprocessing does, scales
#   0..65535 to 0..255.
# What happens: Pillow clips. Every value above 255, that is 99.6 % of the range, becomes 255: the image is white.
#   There is no warning, and the size, mode and dtype of the result are as they should be. Through a 32-bit integer
#   image it is the same.
# Why it matters: satellite, medical and depth-like data sets of one's own come as such files. A class whose
#   photographs are 16-bit turns into a stack of white images with one and the same feature, and few-shot accuracy on
#   it only looks "hard". Values have to be scaled before the conversion, or such files refused by name.
# Versions: Pillow 13.0.0, numpy 2.4.6 (Python 3.11).
# Seen: a ramp over the full range keeps 256 grey values when scaled and 5 when converted; 99.6 % of the pixels read
#   255, and the mean brightness is 254.4 where it should be 127.5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import sys

import numpy as np
from PIL import Image

ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
path = f"{sys.argv[1]}/ramp.png"
Image.fromarray(ramp).save(path)
with Image.open(path) as image:
    mode = image.mode
    converted = np.asarray(image.convert("RGB"))[..., 0]
    through_integers = np.asarray(image.convert("I").convert("RGB"))[..., 0]
scaled = (ramp >> 8).astype(np.uint8)
white = float((converted == 255).mean())
print(f"{mode}: {np.unique(scaled).size} grey values if scaled, {np.unique(converted).size} by convert; {white:.1%} white")
print("mean brightness:", round(float(scaled.mean()), 1), "if scaled,", round(float(converted.mean()), 1), "by convert")
assert mode == "I;16" and np.unique(scaled).size == 256
assert white > 0.98 and np.unique(converted).size < 8
assert np.array_equal(converted, through_integers)
PY
"$work/venv/bin/python" "$work/check.py" "$work"
