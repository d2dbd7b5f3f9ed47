"""What methods can have of imported features: said in one line at the door, and part of every cell's key."""

from pathlib import Path

import pytest

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.inputs.import_limits import crops_read
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.presets import METHODS, method_setting
from tests.core.features.imported.caches import BACKBONE, DATASET, imports
from tests.core.own_method import DESCRIBED

NO_TEXT = ("nearest-mean", "least-squares", "gda-image", "linear-probe")


def setting(folder: Path, method: str, **more: Value) -> Setting:
    return method_setting(method).with_values({"data.features": str(folder), "backbone.name": BACKBONE, **more})


def cell(folder: Path, method: str = "nearest-mean", shots: int = 4, seed: int = 1, **more: Value) -> Cell:
    one = setting(folder, method, **more)
    return Cell(one, DATASET, "few-shot", shots if one.trains else 0, seed if one.trains else 0)


def test_methods_that_read_no_text_run_without(tmp_path: Path) -> None:
    folder = imports(tmp_path)
    for method in METHODS:
        if method in NO_TEXT:
            CellInputs(cell(folder, method))
            continue
        with pytest.raises(UserError, match=r"text|projection|local features"):
            CellInputs(cell(folder, method))


def test_text_features_let_all_run_but_those_that_need_a_tower_or_a_projection(tmp_path: Path) -> None:
    folder = imports(tmp_path, text=True)
    refused = set()
    for method in METHODS:
        try:
            CellInputs(cell(folder, method))
        except UserError:
            refused.add(method)
    learned = {name for name, one in METHODS.items() if one.values["method"] == "prompt"}
    assert refused == learned | {"zero-shot-descriptions", "prolip"}


def test_a_method_that_reads_descriptions_is_refused_for_want_of_a_tower(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(DESCRIBED)
    for method, name in ((str(tmp_path / "own.py"), "described"), ("zero-shot-descriptions", "zero-shot-descriptions")):
        folder = imports(tmp_path / name, text=True)
        with pytest.raises(UserError) as fault:
            CellInputs(cell(folder, method))
        assert str(fault.value) == (
            f"{name}: needs a text tower, and which weights gave {folder}/{DATASET}.safetensors isn't known; import it "
            "again with --weights FILE, or leave such methods out"
        )


def test_another_backbone_is_named(tmp_path: Path) -> None:
    folder = imports(tmp_path)
    with pytest.raises(
        UserError, match=r"holds features of toy, and backbone\.name is ViT-L-14; set backbone\.name=toy"
    ):
        CellInputs(cell(folder, **{"backbone.name": "ViT-L-14"}))


def test_keys_follow_the_content_and_not_the_place(tmp_path: Path) -> None:
    keys = [cell_key(cell(imports(tmp_path / name))) for name in ("one", "two")]
    assert keys[0] == keys[1]
    assert cell_key(cell(imports(tmp_path / "three", shots=(8, 16)))) != keys[0]
    assert cell_key(cell(imports(tmp_path / "one"), seed=2)) != keys[0]
    towers = {"backbone.precision": "bf16", "backbone.pretrained": "openai"}
    assert cell_key(cell(tmp_path / "one" / "imports", **towers)) == keys[0], "there is no tower whose numbers change"


def test_crops_are_read_as_far_as_there_are_any(tmp_path: Path) -> None:
    normalised = CellInputs(cell(imports(tmp_path / "a", views=3))).source.imported
    raw = CellInputs(cell(imports(tmp_path / "b", views=3, ending="_unnormed"))).source.imported
    for method, with_norms, without in (("gda-image", 3, 3), ("nearest-mean", 0, 0), ("tip-adapter", 3, 0)):
        assert crops_read(method_setting(method), raw) == with_norms
        assert crops_read(method_setting(method), normalised) == without
    assert crops_read(method_setting("gda-image").with_values({"gda-image.views": 2}), normalised) == 2


def test_too_few_rows_are_refused_at_the_door(tmp_path: Path) -> None:
    folder = imports(tmp_path / "keys")
    with pytest.raises(UserError, match=r"gda-image: needs 2 rows of each class, and finds 1 \(images 1, views"):
        CellInputs(cell(folder, "gda-image", shots=1))
    CellInputs(cell(folder, "gda-image", shots=2))
    CellInputs(cell(imports(tmp_path / "crops", views=2), "gda-image", shots=1))
