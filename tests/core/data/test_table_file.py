"""A table of images: the same split as the JSON file with the same images, and one line for every fault."""

import json
from pathlib import Path

import pytest

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.readers import read_split
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.splits import PARTS
from dualpt.core.data.table_file import read_table_file
from dualpt.core.errors import UserError

ROWS = [("a/1.jpg", "elm", "train"), ("a/2.jpg", "oak, red", "train"), ("a/3.jpg", "elm", "val")]
ROWS += [("b/4.jpg", "oak, red", "test"), ("b/5.jpg", "elm", "test")]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "split.csv"
    path.write_text("part,path,note,class\n" + "".join(f'{part},{file},,"{name}"\n' for file, name, part in ROWS))
    return path


def test_a_table_is_the_split_of_the_json_file_with_its_images(table: Path) -> None:
    labels = {"elm": 0, "oak, red": 1}
    parts = {p: [[file, labels[name], name] for file, name, part in ROWS if part == p] for p in PARTS}
    same = table.with_suffix(".json")
    same.write_text(json.dumps(parts))
    assert read_table_file(table, "the table") == read_split_file(same)


def test_tabs_and_a_byte_order_mark(table: Path) -> None:
    tabbed = table.with_suffix(".TSV")
    lines = ["path\tclass\tpart", *("\t".join(row) for row in ROWS)]
    tabbed.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert read_table_file(tabbed, "the table") == read_table_file(table, "the table")


def test_it_is_an_own_datasets_split(table: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("trees: {folder: trees, images: photos, split: split.csv}")
    (tmp_path / "trees" / "photos").mkdir(parents=True)
    with pytest.raises(UserError, match="the split file of trees is missing"):
        read_split(dataset_info("trees", tmp_path), tmp_path)
    rows = table.read_text().replace("a/1.jpg", "./trees/photos/a/1.jpg")
    (tmp_path / "trees" / "split.csv").write_text(rows)
    split = read_split(dataset_info("trees", tmp_path), tmp_path)
    assert split.class_names == ("elm", "oak, red")
    assert split.train[0].path == "a/1.jpg"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("part,path", "split,path", "needs one column 'part'"),
        ("part,path,note", "part,path,path", "needs one column 'path'"),
        ("train,a/1.jpg", "training,a/1.jpg", "line 2: part 'training' is none of train, val, test"),
        ("a/3.jpg", "../3.jpg", "line 4: path '../3.jpg' leads out of its folder"),
        ("a/3.jpg", "/data/3.jpg", "line 4: path '/data/3.jpg' is absolute"),
        ("a/3.jpg", "", "line 4: path '' is not a file name"),
        ('"elm"\ntest', '" "\ntest', "class '' is not a name"),
        ('b/5.jpg,,"elm"', 'b/5.jpg,,"elm', "unexpected end of data"),
        ("test,", "val,", "'test' lists no images"),
        ("train,a/2.jpg", "val,a/2.jpg", "no training image for class 1 'oak, red'"),
    ],
)
def test_every_fault_is_one_line(table: Path, before: str, after: str, said: str) -> None:
    text = table.read_text()
    assert before in text
    table.write_text(text.replace(before, after))
    with pytest.raises(UserError) as caught:
        read_table_file(table, "the table")
    assert str(caught.value).startswith(f"{table}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
