"""Banks of any author come in whole, matched by rules that cannot pick the wrong class, or are refused in one line."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dualpt.core.data.catalog import REAL_GRID, dataset_info
from dualpt.core.descriptions.bank import Bank, bank_path, write_bank
from dualpt.core.descriptions.classes import Classes, DatasetClass, classes_of
from dualpt.core.descriptions.importing.foreign import read_foreign
from dualpt.core.descriptions.importing.matching import Import, imported_bank, match_entries, read_renames
from dualpt.core.descriptions.names import Suggestion
from dualpt.core.descriptions.reading import read_bank, read_content
from dualpt.core.errors import UserError

CLASSES: Classes = tuple(map(DatasetClass, ("marlet", "snow_finch", "Geoffroy's Cat")))
EXPECTED = {"marlet": ("Striped.", "Blue."), "snow_finch": ("White.",), "Geoffroy's Cat": ("Spotted.",)}


def write(folder: Path, content: object, name: str = "bank.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def match(
    entries: dict[str, Sequence[str]], classes: Classes = CLASSES, renames: dict[int, str] | None = None
) -> Import:
    return match_entries("mini-pets", classes, {name: tuple(texts) for name, texts in entries.items()}, renames or {})


def imported(found: Import) -> Bank:
    return imported_bank(found, Path(__file__))


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def numbered(values: Iterable[object], start: int = 0) -> dict[str, object]:
    return {str(number): value for number, value in enumerate(values, start)}


CAT = {"Geoffroy's Cat": ["Spotted."]}
LISTS = {"marlet": ["Striped.", "Blue."], "snow_finch": ["White."], **CAT}
ROWS = [(name, text) for name, texts in LISTS.items() for text in texts]

LAYOUTS: dict[str, tuple[str, Any]] = {
    "lists": ("a.json", LISTS),
    "strings": ("a.json", LISTS | {"snow_finch": "White."}),
    "groups by question": ("a.json", LISTS | {"marlet": {"q1": ["Striped."], "q2": "Blue."}}),
    "nested lists": ("a.json", LISTS | {"marlet": [["Striped."], ["Blue."]]}),
    "blanks and padding": ("a.json", LISTS | {"marlet": [" Striped. ", "", "Blue.\n"]}),
    "records of a class": ("a.json", LISTS | {"marlet": [{"text": "Striped.", "score": 3}, {"text": "Blue."}]}),
    "by question": ("a.json", {f"q{k}": {n: t[k] for n, t in LISTS.items() if len(t) > k} for k in (0, 1)}),
    "a key around it, and remarks": ("a.json", {"model": "an LLM", "data": LISTS}),
    "several datasets by folder": ("a.json", {"eurosat": {"River": ["Blue."]}, "Pets-Folder": LISTS}),
    "a suffix in capitals": ("a.JSON", LISTS),
    "a key around it": ("a.json", {"descriptions": LISTS}),
    "several datasets": ("a.json", {"EuroSAT": {"River": ["Blue."]}, "mini-pets": LISTS}),
    "records": ("a.json", [{"class": name, "descriptions": texts} for name, texts in LISTS.items()]),
    "records of a sentence": ("a.json", [{"class": name, "sentence": text} for name, text in ROWS]),
    "pairs": ("a.json", [[name, texts] for name, texts in LISTS.items()]),
    "a sentence a line": ("a.jsonl", lines(*({"class_name": name, "description": text} for name, text in ROWS))),
    "a class a line": ("a.jsonl", lines(*({name: texts} for name, texts in LISTS.items()))),
    "csv": ("a.csv", "id,Class,Description\n" + "".join(f"1,{name},{text}\n" for name, text in ROWS)),
    "tsv": ("a.tsv", "class\ttext\n" + "".join(f"{name}\t{text}\n" for name, text in ROWS)),
    "csv with semicolons": ("a.csv", "class;sentence\n" + "".join(f"{name};{text}\n" for name, text in ROWS)),
    "csv with numbered columns": (
        "a.csv",
        "class,text_1,text 2\nmarlet,Striped.,Blue.\nsnow_finch,White.,\nGeoffroy's Cat,Spotted.\n",
    ),
    "json lines in a .json": ("a.json", lines(*({"class": name, "sentences": texts} for name, texts in LISTS.items()))),
    "records with labels": (
        "a.json",
        [{"class": k, "name": name, "texts": texts} for k, (name, texts) in enumerate(LISTS.items())],
    ),
    "records by number": (
        "a.json",
        {str(k): {"name": name, "texts": texts} for k, (name, texts) in enumerate(LISTS.items())},
    ),
    "names beside lists": ("a.json", {"model": "an LLM", "classes": [*LISTS], "descriptions": [*LISTS.values()]}),
    "names beside numbers": ("a.json", {"class_names": [*LISTS], "descriptions": numbered(LISTS.values())}),
    "names beside numbers from 1": ("a.json", {"classnames": [*LISTS], "prompts": numbered(LISTS.values(), 1)}),
    "names beside names": ("a.json", {"classes": [*LISTS], "descriptions": LISTS}),
    "columns": ("a.json", {key: numbered(row[k] for row in ROWS) for k, key in enumerate(("class", "text"))}),
    "list items in a string": ("a.json", LISTS | {"marlet": "1. Striped.\n2. Blue.\n"}),
    "with a mark of UTF-8": ("a.csv", "\ufeffclass,text\n" + "".join(f"{name},{text}\n" for name, text in ROWS)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_the_same(tmp_path: Path, layout: str) -> None:
    name, content = LAYOUTS[layout]
    assert read_foreign(write(tmp_path, content, name), ["mini-pets", "pets_folder"], list(EXPECTED)) == EXPECTED


@pytest.mark.parametrize(
    "scored",
    [
        {"a blue bird": 0.2, "Striped wings.": 0.9},
        {"a blue bird": "0.2", "Striped  wings.": "1e-1"},
        [["a blue bird", 0.2], ["Striped wings.", 1]],
        {"descriptions": {"a blue bird": 0.2, "Striped wings.": 0.9}},
        {"an LLM": {"a blue bird": 0.2}, "another": {"Striped wings.": 0.9}},
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_sentences_with_scores_keep_their_order_and_lose_the_scores(tmp_path: Path, scored: object, name: str) -> None:
    path = write(tmp_path, {"marlet": scored}, name)
    assert read_foreign(path, ["mini-pets"], ["marlet"]) == {"marlet": ("a blue bird", "Striped wings.")}


def test_a_field_with_a_line_break_in_a_table(tmp_path: Path) -> None:
    path = write(tmp_path, 'class,text\nmarlet,"Striped,\nand blue."\n', "a.csv")
    assert read_foreign(path, ["mini-pets"]) == {"marlet": ("Striped, and blue.",)}


FAULTS: dict[str, tuple[str, Any, str]] = {
    "no file": ("", None, "no such bank"),
    "another kind": ("a.pkl", "x", "banks are read from .json, .jsonl, .csv and .tsv files"),
    "not json": ("a.json", '{"marlet": [}', "line 1, column 13: not JSON"),
    "not json in a line": ("a.jsonl", '{"a": ["b"]}\n{"a"\n', "line 2, column 5: not JSON"),
    "lists without names": ("a.json", [["Striped."], ["White."]], "a list without class names, whose order cannot"),
    "numbers for names": ("a.json", {"0": ["Striped."], "1": ["White."]}, "its keys are numbers"),
    "a key twice": (
        "a.json",
        '{"marlet": ["a b"], "marlet": ["c d"]}',
        "'marlet' is given twice with different content",
    ),
    "two spellings in one table": ("a.json", {"marlet": ["x"], "marlet ": ["y"]}, "'marlet ' occurs twice"),
    "a number for a sentence": ("a.json", {"marlet": ["Striped.", 7]}, "'marlet' has 7 where a sentence belongs"),
    "a record without a class": ("a.json", [{"text": "Striped."}], "has no field for the class and its text"),
    "a record without a text": ("a.json", [{"class": "marlet"}], "has no field for the class and its text"),
    "nested too deeply": ("a.json", "[" * 100_000, "nested too deeply"),
    "half a character": ("a.json", {"marlet": ["\ud800"]}, "holds half a character"),
    "no number of JSON": ("a.json", '{"marlet": [NaN]}', "'marlet' has nan where a sentence belongs"),
    "two texts": ("a.json", [{"class": "a", "text": "b", "caption": "c"}], "both 'text' and 'caption'; keep one"),
    "numbers that may be no scores": (
        "a.json",
        {"marlet": {"id": 3, "clip score": 0.5}},
        "'marlet' has a number for 'id', which may be a sentence's score or a remark; write {class name: [sentence",
    ),
    "scores alone": ("a.json", {"marlet": {"llm": ["Blue."], "scores": [0.5]}}, "'marlet' has 0.5 where a sentence"),
    "a name twice": (
        "a.json",
        {"classes": ["crane", "crane"], "descriptions": [["A bird."], ["A machine."]]},
        "'classes' names 'crane' more than once",
    ),
    "two fields of texts": (
        "a.json",
        {"classes": ["marlet"], "descriptions": [["Blue."]], "prompts": [["White."]]},
        "sentences stand in 'descriptions' and 'prompts'; leave one of them",
    ),
    "names of other classes": (
        "a.json",
        {"classes": ["marlet"], "descriptions": [["Blue."], ["White."]]},
        "'classes' names 1 classes, and 'descriptions' has 2 entries that are not numbered alike",
    ),
    "two numberings": (
        "a.json",
        {"classes": {"0": "marlet", "1": "finch"}, "descriptions": {"1": ["Blue."], "2": ["White."]}},
        "not numbered alike",
    ),
    "two columns of texts": ("a.csv", "class,text,caption\nb,c,d\n", "its header has both 'text' and 'caption'"),
    "a number for a class": ("a.json", [{"class": 3, "text": "b"}], "'class' is 3 where a class name belongs"),
    "a header without a class": ("a.csv", "a,b\nc,d\n", "its header a, b must have a column of classes"),
    "too many fields": ("a.csv", "class,text\nmarlet,striped,blue\n", "line 2: no class, or more fields"),
    "empty": ("a.json", {}, "holds no descriptions"),
    "a string": ("a.json", '"Striped."', "expected {class name: [sentence, ...]}"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_refused(tmp_path: Path, case: str) -> None:
    name, content, words = FAULTS[case]
    path = tmp_path / "missing.json" if content is None else write(tmp_path, content, name)
    with pytest.raises(UserError) as caught:
        read_foreign(path, ["mini-pets"])
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bank_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("class,text\ncrème,Sweet.\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        read_foreign(path, ["mini-pets"])


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder")])
def test_what_is_no_file_is_one_line(tmp_path: Path, make: Any, kind: str) -> None:
    make(tmp_path / "bank.json")
    said = f"bank.json: is {kind} and cannot be read as a file"
    with pytest.raises(UserError, match=said):
        read_foreign(tmp_path / "bank.json", ["mini-pets"])
    with pytest.raises(UserError, match=f"--map: .*{said}"):
        read_renames(tmp_path / "bank.json", CLASSES, {})
    with pytest.raises(UserError, match=said):
        read_content(tmp_path / "bank.json", dataset_info("EuroSAT"))
    if kind == "a named pipe":  # a folder of lists of names is welcome
        with pytest.raises(UserError, match=said):
            classes_of(dataset_info("EuroSAT"), None, tmp_path / "bank.json")


class TestMatching:
    def test_spellings(self) -> None:
        found = match({"MARLET": ["Striped."], "snow-finch": ["White."], "geoffroys cat": ["Spotted."]})
        assert found.complete
        assert found.respelled == {0: "MARLET", 1: "snow-finch", 2: "geoffroys cat"}

    def test_another_order_of_words_and_a_plural_are_suggested_and_not_taken(self) -> None:
        found = match({"marlets": ["Striped."], "finch snow": ["White."], "Geoffroy's Cat": ["Spotted."]})
        assert found.unmatched == [0, 1]
        assert found.suggestions() == {0: Suggestion("marlets", "plural"), 1: Suggestion("finch snow", "words")}
        assert found.unused == ["marlets", "finch snow"]

    def test_accepted_suggestions_are_of_the_same_words(self) -> None:
        found = match({"marlets": ["Striped."], "finch (snow)": ["White."], "Geofroy's Cat": ["Spotted."]})
        assert found.suggestions()[2] == Suggestion("Geofroy's Cat", "spelling")
        accepted = found.with_suggestions()
        assert accepted.taken == ("marlets", "finch (snow)", None)
        assert accepted.unmatched == [2]

    def test_what_describes_nothing_is_dropped_and_reported(self) -> None:
        bank = {"marlet": ["Striped.", "1."], "snow_finch": ["N/A", "."], "Geoffroy's Cat": ["Spotted."]}
        found = match(bank)
        assert found.dropped == {"marlet": ("1.",), "snow_finch": ("N/A", ".")}
        assert (found.matched, found.empty) == ([0, 2], [1])
        assert found.report()["dropped"] == found.dropped
        assert [part.sentences for part in imported(found).classes] == [("Striped.",), (), ("Spotted.",)]

    def test_empty_entries(self) -> None:
        found = match({"marlet": [], "snow finch": ["White."], "Geoffroy's Cat": ["Spotted."]})
        assert (found.empty, found.matched, found.unmatched) == ([0], [1, 2], [])
        assert not found.complete

    def test_an_exact_name_goes_before_a_spelling(self) -> None:
        found = match({"Marlet": ["Striped."], "marlet": ["White."]}, CLASSES[:1])
        assert found.taken == ("marlet",)
        assert found.unused == ["Marlet"]

    def test_two_spellings_and_no_exact_name_are_ambiguous(self) -> None:
        assert match({"Marlet": ["Striped."], "MARLET": ["White."]}, CLASSES[:1]).taken == (None,)

    def test_two_classes_that_a_spelling_could_mean_are_ambiguous(self) -> None:
        classes = (DatasetClass("C-47"), DatasetClass("C47"))
        assert match({"c 4 7": ["Striped."]}, classes).taken == (None, None)

    def test_classes_of_one_name_share_an_entry_and_wnids_tell_them_apart(self) -> None:
        classes = (DatasetClass("missile", "n03773504"), DatasetClass("missile", "n04008634"))
        assert match({"missile": ["Striped."]}, classes).taken == ("missile", "missile")
        assert match({"n04008634": ["White."], "missile": ["Striped."]}, classes).taken == ("missile", "n04008634")
        shown = match({"n04008634": ["White."]}, classes).report()
        assert shown["unmatched"] == ["missile (n03773504)"]


class TestRenames:
    ENTRIES: ClassVar = {"finch of the snow": ("b",), "missile": ("a",)}

    def read(
        self, tmp_path: Path, content: object, classes: Classes = CLASSES, name: str = "map.json"
    ) -> dict[int, str]:
        return read_renames(write(tmp_path, content, name), classes, self.ENTRIES)

    def test_as_yaml_with_a_class_left_open(self, tmp_path: Path) -> None:
        text = '# a remark\n"snow_finch": "finch of the snow"  # same words\n"marlet":\n'
        assert self.read(tmp_path, text, name="map.yaml") == {1: "finch of the snow"}

    def test_they_go_before_rules(self, tmp_path: Path) -> None:
        renames = self.read(tmp_path, {"snow_finch": "finch of the snow"})
        assert (
            match({"finch of the snow": ["b"], "snow finch": ["no"]}, renames=renames).taken[1] == "finch of the snow"
        )

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"snow_fin": "missile"}, "no class is called 'snow_fin'; did you mean 'snow_finch'?"),
            ({"snow_finch": "missil"}, "the bank has no 'missil'; did you mean 'missile'?"),
            (["snow_finch"], "must be {class name or wnid: the bank's name}"),
            ("{", "map.json: line 1, column 2: not JSON"),
            ({"snow_finch": 7}, "must be {class name or wnid: the bank's name}"),
            ({"snow_finch": "missile", "marlet": "missile"}, "'missile' is given to both 'snow_finch' and 'marlet'"),
        ],
    )
    def test_faults(self, tmp_path: Path, content: object, words: str) -> None:
        with pytest.raises(UserError) as caught:
            self.read(tmp_path, content)
        assert words in str(caught.value)

    def test_a_name_that_occurs_twice_is_mapped_by_wnid(self, tmp_path: Path) -> None:
        classes = (DatasetClass("missile", "n03773504"), DatasetClass("missile", "n04008634"))
        with pytest.raises(UserError, match="2 classes are called 'missile'; use their wnids"):
            self.read(tmp_path, {"missile": "missile"}, classes)
        assert self.read(tmp_path, {"n04008634": "missile"}, classes) == {1: "missile"}


REFUSED = {
    "StanfordCars": {
        "2012 Toyota Corolla Sedan": 1,
        "2012 Scion xD Hatchback": 1,
        "2010 Chrysler Sebring Convertible": 1,
        "2007 Suzuki Aerio Sedan": 1,
        "2012 Ford Fiesta Sedan": 1,
        "2002 Daewoo Nubira Wagon": 1,
    },
    "ImageNet": {
        "jay": 3,
        **dict.fromkeys(
            (
                *("bucket", "cannon", "chain", "cradle", "lotion", "pillow", "front curtain", "dough", "espresso"),
                *("Boxer", "beaker", "stage"),
            ),
            1,
        ),
    },
}
"""Texts of HPT's banks that decline: "As an AI language model, …", "your question is incomplete"; read by eye."""


@pytest.mark.parametrize("name", REAL_GRID)
def test_a_published_bank_imports_whole_and_is_read_for_training(shared_data: Path, tmp_path: Path, name: str) -> None:
    info = dataset_info(name)
    file = "imagenet_wnid_names.txt" if name == "ImageNet" else f"{name}.txt"
    classes = classes_of(info, None, shared_data / "classnames" / file)
    source = shared_data / "descriptions" / "hpt" / f"{name}.json"
    found = match_entries(name, classes, read_foreign(source, [name]), {})
    assert (len(found.matched), found.unmatched, found.empty, found.unused) == (len(classes), [], [], [])
    assert {entry: len(texts) for entry, texts in found.dropped.items()} == REFUSED.get(name, {})
    path = bank_path(tmp_path, name)
    write_bank(path, imported_bank(found, source))
    kept = read_bank(tmp_path, info, [item.name for item in classes], 5)
    lost = [len(found.dropped.get(entry or "", ())) for entry in found.taken]
    assert [len(texts) + n for texts, n in zip(kept, lost, strict=True)] == [5] * len(classes)
    assert read_foreign(path, [name]).keys() == {item.wnid or item.name for item in classes}
