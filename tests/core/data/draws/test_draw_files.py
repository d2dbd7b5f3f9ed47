"""Draws as the field's files: Dassl's own class reads what is written, and nothing in a file is ever run."""

import pickle
import pickletools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dualpt.core.data.draws.draw_files import CLASS, MODULE, draw_file, pickled, read_draw, shots_and_seed, write_draw
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError

DRAW = {
    "train": (Item("Bengal_1.jpg", 0, "bengal"), Item("folder/Zürich 2.jpg", 300, "zürich’s cat")),
    "val": (Item("Bengal_9.jpg", 0, "bengal"),),
}
IMAGES = "oxford_pets/images"


class Datum:
    """Dassl's, as its files hold it: made without a look at the disk, read by its properties."""

    def __init__(self, impath: str = "", label: int = 0, domain: int = 0, classname: str = "") -> None:
        assert Path(impath).is_file()
        self._impath, self._label, self._domain, self._classname = impath, label, domain, classname


@pytest.fixture
def dassl(monkeypatch: pytest.MonkeyPatch) -> type[Datum]:
    """Dassl as far as its pickles need it: the class under the name that they know it by."""
    parts = MODULE.split(".")
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), ModuleType(".".join(parts[:depth])))
    monkeypatch.setattr(sys.modules[MODULE], CLASS, Datum, raising=False)
    monkeypatch.setattr(Datum, "__module__", MODULE)
    return Datum


def field_file(path: Path, root: str, draw: dict[str, tuple[Item, ...]], protocol: int) -> Path:
    """A file as CoOp's code writes it."""
    data: dict[str, list[Datum]] = {}
    for part, items in draw.items():
        data[part] = [Datum.__new__(Datum) for _ in items]
        for datum, item in zip(data[part], items, strict=True):
            datum._impath, datum._label = f"{root}/{IMAGES}/{item.path}", item.label
            datum._domain, datum._classname = 0, item.class_name
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path


def test_dassl_reads_what_is_written(dassl: type[Datum], tmp_path: Path) -> None:
    path = draw_file(tmp_path, "oxford_pets", 4, 1)
    write_draw(path, DRAW, Path("/data/oxford_pets/images"))
    assert path == tmp_path / "oxford_pets/split_fewshot/shot_4-seed_1.pkl"
    read = pickle.loads(path.read_bytes())
    assert list(read) == ["train", "val"]
    for part, items in DRAW.items():
        assert all(type(datum) is dassl for datum in read[part])
        assert [vars(datum) for datum in read[part]] == [
            {
                "_impath": f"/data/oxford_pets/images/{item.path}",
                "_label": item.label,
                "_domain": 0,
                "_classname": item.class_name,
            }
            for item in items
        ]
    assert list(tmp_path.rglob("*.part")) == []
    pickletools.dis(path.read_bytes(), out=(tmp_path / "listing").open("w"))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "shot_2-seed_7.pkl"
    write_draw(path, DRAW, Path("/data/oxford_pets/images"))
    assert read_draw(path, IMAGES) == DRAW
    assert shots_and_seed(path) == (2, 7)
    assert shots_and_seed(tmp_path / "shot_2-seed_7_shuffled.pkl") is None


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_files_of_the_field_are_read_from_wherever_they_were_written(
    dassl: type[Datum], tmp_path: Path, protocol: int
) -> None:
    train_only = {"train": DRAW["train"]}
    path = field_file(tmp_path / "a.pkl", "/home/kz/data", train_only, protocol)
    assert read_draw(path, IMAGES) == train_only


class Runs:
    def __reduce__(self) -> Any:
        return (print, ("it ran",))


class RunsLater:
    """A harmless class with a harmful name for its state."""

    def __reduce__(self) -> Any:
        return (eval, ("1",))


def global_of(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


HOSTILE = {
    "a call": pickle.dumps({"train": [Runs()]}),
    "eval": pickle.dumps({"train": [RunsLater()]}),
    "os.system": global_of("os", "system") + b"(S'touch RAN'\ntR.",
    "a dotted name": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch RAN\x85R.",
    "damaged": pickled(DRAW, Path("/d"))[:-20],
    "not a pickle": b"\x89PNG\r\n\x1a\n",
    "a number": pickle.dumps(3),
    "no train": pickle.dumps({"val": []}),
    "train is no list": pickle.dumps({"train": "abc"}),
    "images are words": pickle.dumps({"train": ["cat.jpg"]}),
    "val is no list": pickle.dumps({"train": [], "val": 3}),
    "nested too deeply": b"(" * 100_000 + b"t" * 100_000 + b".",
    "an extension": b"\x80\x02\x82\x01.",
    "empty": b"",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_anything_else_is_one_line_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "shot_1-seed_1.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"shot_1-seed_1\.pkl: ") as fault:
        read_draw(path, IMAGES)
    assert "\n" not in str(fault.value)
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_cannot_change_what_the_next_one_is_read_with(tmp_path: Path) -> None:
    """BUILD on the class itself sets its attributes; the next file has a class of its own."""
    first, second = tmp_path / "shot_1-seed_1.pkl", tmp_path / "shot_1-seed_2.pkl"
    first.write_bytes(global_of("x", CLASS) + b"(N}(S'_label'\nI7\nutb.")
    with pytest.raises(UserError, match="not a few-shot draw"):
        read_draw(first, IMAGES)
    second.write_bytes(pickled(DRAW, Path("/data/oxford_pets/images")))
    assert read_draw(second, IMAGES) == DRAW


@pytest.mark.parametrize("path", ["../../etc/passwd", "/elsewhere/a.jpg", "a\nb.jpg"])
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    file = tmp_path / "shot_1-seed_1.pkl"
    file.write_bytes(pickled({"train": (Item(path, 0, "x"),)}, Path()))
    with pytest.raises(UserError, match="'train' entry 0: path") as fault:
        read_draw(file, IMAGES)
    assert "\n" not in str(fault.value)


def test_a_pipe_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_draw(tmp_path / "absent.pkl", IMAGES)
    with pytest.raises(UserError, match="is a folder"):
        read_draw(tmp_path, IMAGES)
