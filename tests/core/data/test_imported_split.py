"""Labels and draws of imported features: the stored draws, smaller ones of them, and faults in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dualpt.core.data.imported_split import ImportedSplit, StoredDraw, find_import
from dualpt.core.data.sampling import draw_few_shot
from dualpt.core.data.splits import PARTS
from dualpt.core.errors import UserError
from tests.core.features.imported.caches import DATASET, imports

LABELS = {"train": (0, 1) * 6, "val": (0, 1) * 6, "test": (0, 1, 1)}
ABOUT = ImportedSplit("leaves", "toy", 4, ("oak", "elm"), LABELS, draws=(StoredDraw(4, 1, tuple(range(4, 12))),))


def test_nothing_is_written_that_earlier_versions_did_not_write_of_such_features() -> None:
    """The metadata is hashed into cell keys, and importing the same cache again must find the same file."""
    kept = json.loads(ABOUT.metadata())
    assert set(kept) == {
        *("version", "dataset", "backbone", "width", "class_names", "labels", "paths", "draws", "complete", "crops"),
        *("raw", "text", "scale", "notes"),
    }
    known = replace(ABOUT, text="'{}'", template="{}", weights="4e1f")
    assert json.loads(known.metadata()).items() >= {"template": "{}", "weights": "4e1f"}.items()


def test_rows_are_items_with_names_of_their_own() -> None:
    split = ABOUT.split
    every = [item.path for part in PARTS for item in getattr(split, part)]
    assert len(set(every)) == 27
    assert split.test[1] == ("test/1", 1, "elm")
    assert split.note.startswith("features of toy computed elsewhere")


def test_a_stored_draw_serves_every_seed_of_its_shots() -> None:
    draws = [ABOUT.draw(4, seed) for seed in (1, 2, 3)]
    assert all(draw.train == draws[0].train for draw in draws)
    assert [item.path for item in draws[0].train] == [f"train/{row}" for row in range(4, 12)]
    assert len({draw.val for draw in draws}) == 3
    assert len({draw.fingerprint for draw in draws}) == 3


def test_smaller_draws_are_of_the_stored_one() -> None:
    samples = [ABOUT.draw(2, seed) for seed in (1, 2)]
    assert samples[0].train != samples[1].train
    for sample in samples:
        assert set(sample.train) < set(ABOUT.draw(4, 1).train)
        assert [sum(item.label == label for item in sample.train) for label in (0, 1)] == [2, 2]


def test_a_stored_draw_is_preferred_for_its_own_seed() -> None:
    about = replace(ABOUT, draws=(*ABOUT.draws, StoredDraw(1, 7, (1, 0), val=(5, 0))))
    own = about.draw(1, 7)
    assert [item.path for item in (*own.train, *own.val)] == ["train/1", "train/0", "val/5", "val/0"]
    assert about.draw(1, 8).train != own.train


def test_without_validation_images_a_draw_judges_itself_on_none_of_its_own() -> None:
    """ImageNet's draws have no validation part, and its features no images for one."""
    labels = {part: LABELS[part] for part in ("train", "test")}
    stored = StoredDraw(2, 1, (0, 1, 4, 5))
    whole = replace(ABOUT, labels=labels, draws=(stored,), complete=True).draw(2, 1)
    assert [item.path for item in whole.train] == [f"train/{row}" for row in stored.train]
    assert [sum(item.label == label for item in whole.val) for label in (0, 1)] == [2, 2]
    assert not set(whole.train) & set(whole.val)
    several = replace(ABOUT, labels=labels, draws=(stored, *ABOUT.draws))
    assert several.draw(2, 1).val == ()
    assert len(several.draw(2, 2).val) == 4


def test_more_shots_than_there_are() -> None:
    with pytest.raises(UserError, match="holds 4 training images per class of leaves, and 8 shots are asked for"):
        ABOUT.draw(8, 1)


def test_complete_training_images_are_drawn_as_ever() -> None:
    about = replace(ABOUT, draws=(), complete=True)
    for shots in (1, 4, 16):
        assert about.draw(shots, 2) == draw_few_shot(about.split, shots, 2)


def test_files_that_nothing_imported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.features: no folder"):
        find_import(tmp_path / "none", DATASET)
    folder = imports(tmp_path)
    with pytest.raises(UserError, match=r"holds no EuroSAT\.safetensors \(there: mini-tiles\)"):
        find_import(folder, "EuroSAT")
    with pytest.raises(UserError, match="but cached features; import them with `dualpt features import"):
        find_import(tmp_path / "cache", DATASET)
    (folder / "EuroSAT.safetensors").write_bytes((folder / f"{DATASET}.safetensors").read_bytes())
    with pytest.raises(UserError, match="holds features of mini-tiles"):
        find_import(folder, "EuroSAT")
    (folder / "Food101.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a file that `dualpt features import` wrote"):
        find_import(folder, "Food101")
