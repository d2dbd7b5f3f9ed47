"""Features of a cell's images in an import: in order, with crops and norms where they are there, and undamaged."""

from pathlib import Path

import pytest
import torch

from dualpt.core.data.imported_split import find_import
from dualpt.core.errors import UserError
from dualpt.core.features.imported.import_rows import ImportRows
from tests.core.features.imported.caches import DATASET, crops_of, imports, part, text_features


def test_rows_follow_the_items(tmp_path: Path) -> None:
    about = find_import(imports(tmp_path, text=True), DATASET)
    rows, items = ImportRows(about), about.split.train[::-3]
    found = rows.features(items)
    keys = part(16, seed=16)
    assert torch.allclose(found.global_features, keys.rows.flip(0)[::3], atol=2e-3)
    assert torch.equal(found.labels, keys.labels.flip(0)[::3])
    assert found.norms is None
    assert torch.equal(rows.features(items, norms=True).norms, torch.ones(len(items)))
    assert torch.allclose(rows.text(slice(2, 5)), text_features()[2:5], atol=2e-3)
    assert len(rows.features(())) == 0


def test_crops_and_norms(tmp_path: Path) -> None:
    about = find_import(imports(tmp_path, views=3, ending="_unnormed"), DATASET)
    found = ImportRows(about).features(about.split.train[:5], crop=2, norms=True)
    assert found.norms is not None
    raw = found.global_features * found.norms[:, None]
    assert torch.allclose(raw, crops_of(part(16, seed=16), 3)[2, :5], atol=0.02)


def test_no_text_is_empty(tmp_path: Path) -> None:
    assert ImportRows(find_import(imports(tmp_path), DATASET)).text(slice(0, 8)).shape == (8, 0)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    folder = imports(tmp_path)
    path = folder / f"{DATASET}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        ImportRows(find_import(folder, DATASET))
