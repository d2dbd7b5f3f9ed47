"""Dassl's draws: read by content, mapped to rows, and never executed."""

import json
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dualpt.core.data.imported_split import ImportedSplit
from dualpt.core.data.sampling import FewShotSample, draw_few_shot
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.splits import Item, Split
from dualpt.core.errors import UserError
from dualpt.core.features.imported.fewshot_pickles import find_draws, rows_of_draw
from tests.core.features.imported.caches import COUNTS, made, part, split_of

DASSL = "dassl.data.datasets.base_dataset"


class Datum:
    """As in Dassl: private fields, properties left out."""

    __module__ = DASSL

    def __init__(self, impath: str, label: int, classname: str) -> None:
        self._impath, self._label, self._domain, self._classname = impath, label, 0, classname


@pytest.fixture
def dassl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dassl can be imported while files are written."""
    module: Any = ModuleType(DASSL)
    module.Datum = Datum
    monkeypatch.setitem(sys.modules, DASSL, module)
    for above in ("dassl", "dassl.data", "dassl.data.datasets"):
        monkeypatch.setitem(sys.modules, above, ModuleType(above))


def write_draw(folder: Path, sample: FewShotSample, shots: int, seed: int, root: str, protocol: int = 5) -> Path:
    def data(items: Sequence[Item]) -> list[Datum]:
        return [Datum(f"{root}/{item.path}", item.label, item.class_name) for item in items]

    path = folder / f"shot_{shots}-seed_{seed}.pkl"
    path.write_bytes(pickle.dumps({"train": data(sample.train), "val": data(sample.val)}, protocol))
    return path


@pytest.mark.usefixtures("dassl")
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_draw_is_found_among_the_rows(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of()
    sample = draw_few_shot(split, 4, 7)
    write_draw(tmp_path, sample, 4, 7, "/home/somebody/data/tiles/images", protocol)
    monkeypatch.delitem(sys.modules, DASSL)
    (draw,) = find_draws(tmp_path)
    rows = rows_of_draw(draw, split, "tiles/images")
    assert (rows.shots, rows.seed) == (4, 7)
    assert rows.val is not None
    assert tuple(split.train[row] for row in rows.train) == sample.train
    assert tuple(split.val[row] for row in rows.val) == sample.val


def complete(folder: Path) -> None:
    parts = {name: part(count, 1) for name, count in COUNTS.items()}
    features = {f"{name}_features": one.rows.numpy() for name, one in parts.items()}
    np.savez(folder / "all.npz", **features, **{f"{name}_labels": one.labels.numpy() for name, one in parts.items()})


@pytest.mark.usefixtures("dassl")
def test_features_of_all_images_follow_the_draw(tmp_path: Path) -> None:
    split = split_of()
    other = draw_few_shot(split, 2, 99)  # what a draw of seed 1 isn't
    write_draw(tmp_path, other, 2, 1, "/data/mini_tiles/images")
    complete(tmp_path)
    about: ImportedSplit = made(tmp_path, split=split, draws=find_draws(tmp_path)).about
    assert about.draw(2, 1) == other
    assert about.draw(2, 2) == draw_few_shot(split, 2, 2)


@pytest.mark.usefixtures("dassl")
def test_features_of_a_draw_take_its_validation_images(tmp_path: Path) -> None:
    split = split_of()
    sample = draw_few_shot(split, 5, 1)
    write_draw(tmp_path, sample, 5, 1, "/data/mini_tiles/images")
    parts = {"train_5shots": part(5, 1), "val": part(8, 2), "test": part(40, 3)}
    for name, one in parts.items():
        np.savez(tmp_path / f"{name}.npz", features=one.rows.numpy(), labels=one.labels.numpy())
    about = made(tmp_path, split=split, draws=find_draws(tmp_path)).about
    assert about.draw(5, 1).val == sample.val
    with pytest.raises(UserError, match="names images, and no split says"):
        made(tmp_path, draws=find_draws(tmp_path))


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shot_1-seed_1.pkl").write_bytes(pickle.dumps({"train": [Bomb(tmp_path / "trace")]}))
    with pytest.raises(UserError, match=r"shot_1-seed_1\.pkl: not a few-shot draw of Dassl \(names .*\)"):
        find_draws(tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is empty"),
        (b"\x80\x05garbage", "shot_1-seed_1"),
        (b"(" * 100_000 + b"t" * 100_000 + b".", "shot_1-seed_1"),
        (pickle.dumps([1, 2]), "holds no 'train' list"),
        (pickle.dumps({"train": []}), "lists no images"),
        (pickle.dumps({"train": ["a.png"]}), "entry 0 is no Datum"),
    ],
)
def test_other_files_are_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "shot_1-seed_1.pkl").write_bytes(content)
    with pytest.raises(UserError, match=line):
        find_draws(tmp_path)


@pytest.mark.usefixtures("dassl")
def test_images_of_another_split(tmp_path: Path) -> None:
    split = split_of()
    sample = draw_few_shot(split, 1, 1)
    write_draw(tmp_path, sample, 1, 1, "/data/elsewhere")
    (draw,) = find_draws(tmp_path)
    with pytest.raises(UserError, match="is not in the split's 'train'"):
        rows_of_draw(draw, split, "mini_tiles/images")
    wrong = FewShotSample(tuple(item._replace(label=(item.label + 1) % 8) for item in sample.train), sample.val, "")
    write_draw(tmp_path, wrong, 1, 1, "/data/mini_tiles/images")
    (draw,) = find_draws(tmp_path)
    with pytest.raises(UserError, match="it was drawn from another split"):
        rows_of_draw(draw, split, "mini_tiles/images")


@pytest.mark.usefixtures("dassl")
@pytest.mark.parametrize(
    ("shots", "drawn", "line"),
    [
        (3, lambda items: items, "2 rows of class 0, and a draw of 3 shots has 3"),
        (2, lambda items: (*items[1:], items[-1]), r"train-7-\d+\.png is drawn twice in 'train'"),
    ],
)
def test_a_draw_of_other_images_than_its_name_says(
    tmp_path: Path, shots: int, drawn: Callable[[tuple[Item, ...]], tuple[Item, ...]], line: str
) -> None:
    sample = draw_few_shot(split_of(), 2, 1)
    write_draw(tmp_path, FewShotSample(drawn(sample.train), sample.val, ""), shots, 1, "/data/mini_tiles/images")
    (draw,) = find_draws(tmp_path)
    with pytest.raises(UserError, match=line):
        rows_of_draw(draw, split_of(), "mini_tiles/images")


@pytest.mark.usefixtures("dassl")
def test_a_draws_validation_images_without_features(tmp_path: Path) -> None:
    sample = draw_few_shot(split_of(), 2, 1)
    write_draw(tmp_path, sample, 2, 1, "/data/mini_tiles/images")
    for name, count in (("train", COUNTS["train"]), ("test", COUNTS["test"])):
        np.savez(tmp_path / f"{name}.npz", features=part(count, 1).rows.numpy(), labels=part(count, 1).labels.numpy())
    drawn = made(tmp_path, split=split_of(), draws=find_draws(tmp_path)).about.draw(2, 1)
    assert drawn.train == sample.train
    assert len(drawn.val) == len(sample.val)
    assert not set(drawn.val) & set(drawn.train)


@pytest.mark.usefixtures("dassl")
def test_the_fields_own_draws_give_the_fields_fingerprint(shared_data: Path, tmp_path: Path) -> None:
    split: Split = read_split_file(
        shared_data / "splits" / "split_zhou_OxfordPets.json", "the split", "oxford_pets/images"
    )
    content = json.loads((shared_data / "fewshot_indices" / "oxford_pets" / "shot_4-seed_2.json").read_text())
    drawn = {
        name: [Datum(one["impath"], one["label"], one["classname"]) for one in content[name]["data"]]
        for name in ("train", "val")
    }
    (tmp_path / "shot_4-seed_2.pkl").write_bytes(pickle.dumps(drawn))
    (draw,) = find_draws(tmp_path)
    rows = rows_of_draw(draw, split, "oxford_pets/images")
    assert rows.val is not None
    sample = draw_few_shot(split, 4, 2)
    assert tuple(split.train[row] for row in rows.train) == sample.train
    assert tuple(split.val[row] for row in rows.val) == sample.val
