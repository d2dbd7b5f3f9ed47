#!/usr/bin/env bash
# One would guess: resize(224, BICUBIC) followed by convert("RGB") gives about the same picture as the two the other
#   way round; CLIP's own preprocessing resizes first and converts afterwards.
# What happens: for palette and one-bit images Pillow silently replaces BICUBIC by NEAREST, because indices cannot be
#   blended. Nothing is smoothed: whole rows of pixels are dropped, and fine texture turns into something else (here:
#   stripes into a plain area). With the conversion first the picture is right.
# Why it matters: some files of Oxford-IIIT Pets and SUN397 are GIF or palette PNG under a .jpg name. Two feature
#   caches that differ in this order alone disagree on exactly those images, and a cache's maker rarely says which
#   order it was. The order belongs in the fingerprint of a preprocessing; converting first is the one that does what
#   it says.
# Versions: Pillow 13.0.0, numpy 2.4.6 (Python 3.11).
# Seen: 64 px of black and white rows to 16 px: resized first: every pixel 255; converted first: mean 127.9, spread
#   3.4. A one-bit chequerboard: 0 everywhere, against mid-grey.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import io

import numpy as np
from PIL import Image

rows = np.zeros((64, 64, 3), np.uint8)
rows[::2] = 255
buffer = io.BytesIO()
Image.fromarray(rows).quantize(16).save(buffer, "GIF")
chequers = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)).convert("1")


def both_orders(image):
    resized_first = image.resize((16, 16), Image.Resampling.BICUBIC).convert("RGB")
    converted_first = image.convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
    return np.asarray(resized_first).astype(float), np.asarray(converted_first).astype(float)


for label, image in (("GIF of stripes", Image.open(buffer)), ("one-bit chequers", chequers)):
    wrong, right = both_orders(image)
    for order, pixels in (("resized first", wrong), ("converted first", right)):
        print(f"{label} ({image.mode}), {order}: {pixels.mean():.1f} +- {pixels.std():.1f}")
    assert wrong.std() == 0 and wrong.mean() in (0, 255), "nearest neighbour: one colour of the two is gone"
    assert 110 < right.mean() < 145, "bicubic: mid-grey"
PY
"$work/venv/bin/python" "$work/check.py"
