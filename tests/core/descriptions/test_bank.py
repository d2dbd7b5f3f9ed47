"""The bank format keeps what it was given, tells edits by hand, and aligns by label or says why not."""

import json
from pathlib import Path
from typing import Any

import pytest

from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import dataset_info
from dualpt.core.descriptions.bank import (
    BankClass,
    Provenance,
    accept_edits,
    bank_path,
    check_hash,
    make_bank,
    parse_bank,
    write_bank,
)
from dualpt.core.descriptions.classes import classes_of
from dualpt.core.descriptions.reading import read_bank
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import sentences_of, split_of

INFO = dataset_info("ImageNet")
NAMES = ("missile", "tench", "missile")
PROVENANCE = Provenance(
    source="generated", llm="tiny", revision="1", templates=("What is {class}?",), seed=1, date="2026-01-02"
)
CLASSES = (
    BankClass(label=0, name="missile", wnid="n03773504", sentences=("A rocket.", "It flies."), templates=(0, 0)),
    BankClass(label=1, name="tench", wnid="n01440764", sentences=("A green fish.",), templates=(0,)),
    BankClass(label=2, name="missile", wnid="n04008634", sentences=("A thrown stone.",), templates=(0,)),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / INFO.bank_name
    write_bank(file, make_bank("ImageNet", PROVENANCE, CLASSES))
    return file


def edited(path: Path, **changes: Any) -> None:
    """Change entries of the file: `classes__0__name="x"`."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *way, last = [int(part) if part.isdigit() else part for part in key.split("__")]
        place: Any = content
        for part in way:
            place = place[part]
        place[last] = value
    path.write_text(json.dumps(content))


def fault(path: Path, names: tuple[str, ...] = NAMES) -> str:
    with pytest.raises(UserError) as caught:
        read_bank(path.parent, INFO, names, None)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


class TestReading:
    def test_what_was_written_is_read(self, path: Path) -> None:
        assert parse_bank(json.loads(path.read_text()), path) == make_bank("ImageNet", PROVENANCE, CLASSES)

    def test_equal_names_have_their_own_sentences(self, path: Path) -> None:
        assert read_bank(path.parent, INFO, NAMES, 1) == (("A rocket.",), ("A green fish.",), ("A thrown stone.",))

    def test_names_may_be_spelled_otherwise(self, path: Path) -> None:
        assert len(read_bank(path.parent, INFO, ("Missile", "TENCH", "missile"), None)) == 3

    def test_workers_of_other_users_can_read_it(self, path: Path) -> None:
        assert path.stat().st_mode & 0o444 == 0o444


class TestSomeOfTheClasses:
    """ImageNet-A and -R hold 200 of ImageNet's classes and use its bank."""

    def test_they_are_found_by_wnid(self, path: Path) -> None:
        names, wnids = ("missile", "tench"), ("n04008634", "n01440764")
        assert read_bank(path.parent, INFO, names, 1, wnids) == (("A thrown stone.",), ("A green fish.",))

    def test_and_missed_by_wnid(self, path: Path) -> None:
        with pytest.raises(UserError, match="has no class n00000001; generate or import it from lines of"):
            read_bank(path.parent, INFO, ("goose",), 1, ("n00000001",))

    @pytest.mark.parametrize("dataset", ["ImageNetA", "ImageNetR", "ImageNetSketch", "ImageNetV2"])
    def test_variants_read_imagenets_bank(self, miniature: Path, tmp_path: Path, dataset: str) -> None:
        classes = classes_of(INFO, miniature, None)
        rows = [
            BankClass(label=label, name=item.name, wnid=item.wnid, sentences=(f"Class {item.wnid}.",))
            for label, item in enumerate(classes)
        ]
        write_bank(tmp_path / INFO.bank_name, make_bank("ImageNet", PROVENANCE, rows))
        setting = Setting().with_values({"data.root": str(miniature), "descriptions.bank": str(tmp_path)})
        found = sentences_of(setting, dataset)
        split = split_of(setting, dataset)
        names = {f"Class {item.wnid}.": item.name for item in classes}
        assert [names[text] for (text,) in found] == list(split.class_names)
        if dataset in ("ImageNetA", "ImageNetR"):
            assert len(found) < len(classes)


class TestEditsByHand:
    def test_they_are_refused_with_the_command_that_accepts_them(self, path: Path) -> None:
        edited(path, classes__1__sentences=["A brown fish."])
        assert f"accept the edit with `dualpt describe check {path} ImageNet --accept`" in fault(path)

    def test_and_can_be_accepted(self, path: Path) -> None:
        edited(path, classes__1__sentences=["A brown fish."])
        bank = accept_edits(parse_bank(json.loads(path.read_text()), path))
        check_hash(bank, path)
        assert bank.provenance.accepted is not None
        write_bank(path, bank)
        assert read_bank(path.parent, INFO, NAMES, 1)[1] == ("A brown fish.",)


class TestFaults:
    def test_another_order(self, path: Path) -> None:
        line = fault(path, ("tench", "missile", "missile"))
        assert "in another order than the split's: label 0 is 'missile', in the split 'tench'" in line

    def test_other_classes(self, path: Path) -> None:
        assert "not the split's: label 1 is 'tench', in the split 'carp'" in fault(path, ("missile", "carp", "missile"))

    def test_another_number_of_classes(self, path: Path) -> None:
        assert "written for 3 classes of ImageNet, the split has 2" in fault(path, NAMES[:2])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"format": "dualpt-bank/9"}, "format 'dualpt-bank/9' is not known here"),
            ({"classes__0__label": 5}, "classes[0] has label 5; list each class once"),
            ({"classes__0__sentences": ["A rocket.", " "]}, "classes.0.sentences.1: a sentence must not be blank"),
            ({"classes__0__sentences": "A rocket."}, "classes.0.sentences"),
            ({"classes__0__name": 7}, "classes.0.name"),
            ({"classes__0__templates": [0]}, "has 2 sentences and 1 template indices"),
            ({"classes__0__templates": [0, 4]}, "has the index of a template that is not there"),
            ({"classes__0__colour": "red"}, "classes.0.colour: extra inputs are not permitted"),
            ({"provenance": {}}, "provenance.source: field required"),
        ],
    )
    def test_malformed(self, path: Path, change: dict[str, Any], words: str) -> None:
        edited(path, **change)
        assert words in fault(path)

    def test_a_class_without_sentences(self, path: Path) -> None:
        write_bank(
            path,
            make_bank(
                "ImageNet", PROVENANCE, [*CLASSES[:2], CLASSES[2].model_copy(update={"sentences": (), "templates": ()})]
            ),
        )
        assert "no sentences for class 'missile'" in fault(path)

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="--out: nothing can be written in"):
            bank_path(tmp_path / "file" / "bank", "ImageNet")
        (tmp_path / "bank.json").mkdir()
        with pytest.raises(UserError, match=r"bank\.json is a folder"):
            bank_path(tmp_path / "bank.json", "ImageNet")
