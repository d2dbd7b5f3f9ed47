"""Lays down features as the former version did: growing files, a record for each batch, and what was noted of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from dualpt.core.features.segment import Column, ImageKey


def write_former(
    folder: Path,
    columns: Sequence[Column],
    about: dict[str, Any],
    images: Sequence[ImageKey],
    rows: Sequence[Tensor],
    batch: int,
) -> None:
    """Write the rows (n, *row shape) per column of `images` in batches."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = about | {"columns": [asdict(column) for column in columns]}
    (folder / "about.json").write_text(json.dumps(layout, indent=2))
    arrays = [values.to(column.torch_dtype).numpy() for column, values in zip(columns, rows, strict=True)]
    for start in range(0, len(images), batch):
        stop = min(start + batch, len(images))
        sha256 = []
        for column, array in zip(columns, arrays, strict=True):
            content = array[start:stop].tobytes()
            with (folder / column.file).open("ab") as file:
                file.write(content)
            sha256.append(hashlib.sha256(content).hexdigest())
        record = {"start": start, "stop": stop, "images": images[start:stop], "sha256": sha256}
        (folder / f"rows-{start:09d}.json").write_text(json.dumps(record))
    states = {column.file: (folder / column.file).stat() for column in columns}
    noted = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in states.items()}
    (folder / "checked.json").write_text(json.dumps(noted))
