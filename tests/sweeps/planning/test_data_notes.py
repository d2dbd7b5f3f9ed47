"""What is said of a sweep's data: refused where nothing can select, recorded, and read back by tables."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from dualpt.core.data.digests import shared_index
from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.comparison.frames import read_frame
from dualpt.sweeps.comparison.labels import column_title
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.declaring import open_dispatcher
from dualpt.sweeps.ledger.contents import LONGEST_TAG
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.data_notes import DataNotes, data_notes, read_data_notes
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.records import MethodTitle
from tests.core.own_method import SOURCE
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import finish
from tests.sweeps.small_sweep import Declare

SPACE = {"optim.learning_rate": {"float": [0.001, 0.01]}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two own datasets: `leaves`, whose elm has no image left to select by at 4 shots, and `tight`, which has none."""
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    generator = np.random.default_rng(0)
    for name, classes in {"leaves": {"oak": 9, "elm": 4, "ash": 5}, "tight": {"oak": 4, "elm": 4}}.items():
        split: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
        for label, (kind, count) in enumerate(classes.items()):
            (root / name / kind).mkdir(parents=True)
            for number in range(count + 2):
                pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / kind / f"{number}.png")
                split["train" if number < count else "test"].append([f"{kind}/{number}.png", label, kind])
        (root / name / "split.json").write_text(json.dumps(split))
    (root / "datasets.yaml").write_text(
        "leaves: {folder: leaves, split: split.json, title: 'My [Leaves]'}\ntight: {folder: tight, split: split.json}\n"
    )
    return root


def sweep_of(root: Path, *datasets: str, shots: int = 4, search: bool = True, **search_keys: Any) -> LoadedSweep:
    return check_sweep(
        {
            "name": "own",
            "grid": {"datasets": list(datasets), "shots": [shots], "seeds": [1, 2]},
            "setting": {"data.root": str(root), "alignment.llm_weight": 0},
            "baselines": ["zero-shot", "coop"],
            **({"search": {"trials": 2, "space": SPACE, **search_keys}} if search else {}),
        },
        "test",
    )


def noted(sweep: LoadedSweep) -> DataNotes:
    return data_notes(sweep, plan_sweep(sweep))


def test_classes_without_a_validation_image_are_named(root: Path) -> None:
    found = noted(sweep_of(root, "leaves"))
    assert found.titles == {"leaves": "My [Leaves]"}
    assert found.judged == (5, 5)
    assert found.lines() == ["My [Leaves]: at 4 shots, no validation image for 1 of 3 classes ('elm'); 5 images decide"]


@pytest.mark.parametrize(
    ("datasets", "searched"),
    [(["tight"], {}), (["tight"], {"seeds": [1]}), (["leaves", "tight"], {"racing": "asha"})],
)
def test_a_search_with_nothing_to_select_by_is_refused(
    root: Path, datasets: list[str], searched: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as caught:
        noted(sweep_of(root, *datasets, **searched))
    assert str(caught.value).startswith("search: tight has no validation image at 4 shots, and nothing to select by")
    assert "search at fewer shots (search.shots)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fewer_shots_leave_images_to_select_by(root: Path) -> None:
    assert noted(sweep_of(root, "tight", shots=2)).judged == (4, 4)


def test_without_a_search_nothing_selects(root: Path) -> None:
    found = noted(sweep_of(root, "tight", search=False))
    assert (found.judged, found.lines()) == (None, [])


def test_more_shots_than_images_are_said_once_per_dataset(root: Path) -> None:
    found = noted(sweep_of(root, "leaves", "tight", shots=9, search=False))
    assert found.lines() == [
        "My [Leaves]: 2 of 3 classes have fewer than 9 training images; all 4 to 5 of each are taken",
        "tight: 2 of 2 classes have fewer than 9 training images; all 4 of each are taken",
    ]
    assert noted(sweep_of(root, "leaves", search=False)).lines() == []


def test_copies_are_said_once_images_were_read(root: Path) -> None:
    shutil.copy(root / "leaves" / "elm" / "0.png", root / "leaves" / "elm" / "4.png")
    shutil.copy(root / "leaves" / "oak" / "0.png", root / "leaves" / "ash" / "1.png")
    sweep = sweep_of(root, "leaves", search=False)
    assert noted(sweep).lines() == []
    paths = [path.relative_to(root / "leaves").as_posix() for path in (root / "leaves").rglob("*.png")]
    shared_index().digests(root / "leaves", paths)
    assert noted(sweep).lines() == [
        "My [Leaves]: test images that are also trained or selected on, by content: 1 (elm/0.png = elm/4.png)",
        "My [Leaves]: images under two labels, by content: 1 (oak/0.png = ash/1.png)",
    ]


NOTES = DataNotes({"mini-pets": "Own pets"}, {"mini-pets": ["at 4 shots, 1 image decides"], "mini-cars": []})


def test_notes_of_several_launches_add_up() -> None:
    both = read_data_notes(DataNotes({"a": "A"}, {"a": ["old"], "b": ["kept"]}).recorded(""))
    found = read_data_notes(DataNotes({"c": "C"}, {"a": ["new"]}).recorded(both.recorded("")))
    assert found.titles == {"a": "A", "c": "C"}
    assert found.notes == {"a": ["new"], "b": ["kept"]}
    assert DataNotes().recorded("") == ""


def test_the_number_of_validation_images_is_recorded_until_a_later_launch_counts_them_again() -> None:
    recorded = DataNotes(judged=(4, 40)).recorded("")
    assert read_data_notes(recorded).judged == (4, 40)
    assert read_data_notes(DataNotes().recorded(recorded)).judged == (4, 40)
    assert read_data_notes(DataNotes(judged=(2, 3)).recorded(recorded)).judged == (2, 3)
    assert read_data_notes('{"titles": {}, "notes": {}}').judged is None  # as earlier versions wrote it


def test_tables_show_recorded_titles_and_notes(declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualpt.sweeps.comparison.labels._OWN_TITLES", {})
    monkeypatch.setattr("dualpt.sweeps.comparison.labels.dataset_title", lambda name: name)  # as an own dataset's is
    sweep = declare(search=None)
    shown = SweepProgress(Console(quiet=True), enabled=False)
    dispatcher = open_dispatcher(sweep, plan_sweep(sweep), [], fake_key, shown, noted=NOTES)
    finish(dispatcher, sweep, log)
    selection = select({"small": read_frame("small", sweep.file.run.tracking_uri)})
    assert column_title("mini-pets") == "Own pets"
    table = comparison(selection.cells, selection.grid, shots=4)
    assert table.head("mini-pets") == "Own pets"
    assert selection.remarks == ("Own pets: at 4 shots, 1 image decides",)


def test_a_long_text_is_kept_in_parts(declare: Declare, log: Path) -> None:
    ledger = Ledger(declare().file.run.tracking_uri)
    run = ledger.open_sweep(experiment := ledger.experiment("small"), "small")
    for text in (json.dumps({"notes": {"a": ["x" * 3 * LONGEST_TAG]}}), json.dumps({"notes": {"a": ["short"]}})):
        ledger.describe_data(run, text)
        row = ledger.sweep_row(experiment)
        assert row is not None
        assert row.data_notes == text


def test_a_split_that_is_not_the_fields_is_named(root: Path) -> None:
    file = root / "leaves" / "split.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "not_the_fields_split": "drawn with seed 1"}))
    assert "My [Leaves]: not the field's split (drawn with seed 1)" in noted(sweep_of(root, "leaves")).lines()


def of_textures(data: Path, **setting: Any) -> LoadedSweep:
    values = {"data.root": str(data), "alignment.llm_weight": 0, **setting}
    grid = {"datasets": ["DescribableTextures", "EuroSAT"], "shots": [1], "seeds": [1]}
    return check_sweep({"name": "real", "grid": grid, "setting": values, "baselines": ["zero-shot", "gda"]}, "test")


def test_real_images_encoded_by_the_clip_of_drawings_are_said_once(miniature: Path) -> None:
    (line,) = noted(of_textures(miniature)).lines()
    assert re.fullmatch(r"(\w+), (\w+): encoded by mini-clip, which has seen drawings alone; name a CLIP .*", line)
    other = {"backbone.name": "ViT-B-32", "backbone.pretrained": "random"}
    assert noted(of_textures(miniature, **other)).lines() == []


def test_titles_of_own_methods_are_recorded_beside_those_of_other_launches(root: Path, tmp_path: Path) -> None:
    (tmp_path / "pulled.py").write_text(SOURCE)
    sweep = sweep_of(root, "leaves", search=False)
    own = check_sweep(
        {**sweep.file.model_dump(), "baselines": ["coop", "gda", str(tmp_path / "pulled.py")], "search": None}, "test"
    )
    found = noted(own)
    assert found.methods == {"pulled": MethodTitle("Pulled means", "Pulled", "training-free")}
    before = DataNotes(methods={"earlier": MethodTitle("Earlier", "E.", "adapter")}).recorded("")
    again = read_data_notes(found.recorded(before))
    assert again.methods == {"earlier": MethodTitle("Earlier", "E.", "adapter"), **found.methods}
    assert read_data_notes('{"titles": {}, "notes": {}, "judged": null}').methods == {}, "as 0.1.0 recorded it"
