"""`datasets.yaml`: what it may say, and that its names then stand beside the built-in ones."""

import os
from pathlib import Path

import pytest

from dualpt.core.data.catalog import BUILT_IN, dataset_info, expand_datasets, own_datasets, registered
from dualpt.core.data.own_datasets import append_own_dataset, check_entry, read_own_datasets
from dualpt.core.data.readers import read_split
from dualpt.core.errors import UserError

LEAVES = """\
# my own
leaves:
  folder: leaves
  images: photos
  split: split_leaves.json
  template: a photo of a {} leaf.
  title: Leaves
bark: {folder: bark, split: folders}
"""


def test_entries_become_datasets(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text(LEAVES)
    leaves, bark = dataset_info("leaves", tmp_path), dataset_info("bark", tmp_path)
    assert leaves.image_root(tmp_path) == tmp_path / "leaves" / "photos"
    assert (leaves.layout, leaves.split_file, leaves.kind) == ("split file", "split_leaves.json", "own")
    assert (leaves.template, leaves.title, leaves.bank_name) == ("a photo of a {} leaf.", "Leaves", "leaves.json")
    assert (bark.layout, bark.title, bark.template) == ("class folders", "bark", "a photo of a {}.")
    assert expand_datasets(["mini-pets", "leaves"], tmp_path) == ("mini-pets", "leaves")


def test_names_read_once_are_known_without_the_root(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("elsewhere-2: {folder: a, split: folders, title: Elsewhere}")
    with pytest.raises(UserError, match="unknown dataset 'elsewhere-2'"):
        dataset_info("elsewhere-2")
    own_datasets(tmp_path)
    assert dataset_info("elsewhere-2").title == "Elsewhere"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("moss: {folder: a, split: folders}")
    assert dataset_info("moss", tmp_path).folder == "a"
    (tmp_path / "datasets.yaml").write_text("moss: {folder: other, split: folders}")
    assert dataset_info("moss", tmp_path).folder == "other"
    (tmp_path / "datasets.yaml").unlink()
    with pytest.raises(UserError, match="unknown dataset 'moss'"):
        dataset_info("moss", tmp_path)


def test_a_near_miss_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text(LEAVES)
    with pytest.raises(UserError, match=r"did you mean 'leaves'\?"):
        dataset_info("leafes", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- leaves", "expected a mapping of keys, found list"),
        ("leaves: photos", "leaves: expected the keys folder and split, found 'photos'"),
        ("leaves: {folder: a}", "leaves: split: field required"),
        ("leaves: {folder: a, split: folders, templat: x}", "templat: extra inputs are not permitted"),
        ("leaves: {folder: /data/a, split: folders}", "folder: must be a relative path inside the data root"),
        ("leaves: {folder: ../a, split: folders}", "folder: must be a relative path inside the data root"),
        ("leaves: {folder: a, images: 'b\\c', split: folders}", "images: must be a relative path"),
        ("leaves: {folder: '', split: folders}", "folder: must not be empty"),
        ("leaves: {folder: a, split: folders, template: a leaf}", "template: needs exactly one {}"),
        ("leaves: {folder: a, split: 3}", "split: expected text of at most 1000 characters, found 3"),
        ("EuroSAT: {folder: a, split: folders}", "the name 'EuroSAT' is taken by 'EuroSAT'"),
        ("eurosat: {folder: a, split: folders}", "the name 'eurosat' is taken by 'EuroSAT'"),
        ("mini: {folder: a, split: folders}", "the name 'mini' is taken"),
        ("mean: {folder: a, split: folders}", "the name 'mean' is taken"),
        ("leaves: {folder: a, split: folders}\nLeaves: {folder: b, split: folders}", "is taken by 'leaves'"),
        ("leaves: {folder: a, split: folders}\nleaves: {folder: b, split: folders}", "key 'leaves' is given twice"),
        ("my/leaves: {folder: a, split: folders}", "'my/leaves' cannot name a dataset"),
        ("leaves: {folder: a", "datasets.yaml"),
        ("leaves: &a [*a]", "contains itself"),
        ("leaves: &a {folder: *a, split: x}", "contains itself"),
        ("&a\nleaves: *a\n", "contains itself"),
        ("leaves: " + "[" * 5000 + "]" * 5000, "nested more than 32 levels deep"),
        ("leaves: " + "{a: " * 3000 + "}" * 3000, "nested more than 32 levels deep"),
        ("leaves: {folder: " + "a" * 5000 + ", split: folders}", "folder: expected text of at most 1000 characters"),
        ("leaves: {folder: " + "a" * 300 + ", split: folders}", "folder: must be made of printable names of at most"),
        ('leaves: {folder: "a\\0b", split: folders}', "a text holds a NUL character"),
        ("leaves: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_each_fault_is_one_line_that_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "datasets.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        own_datasets(tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path / "datasets.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(20)
def test_a_named_pipe_or_a_folder_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "datasets.yaml")
    with pytest.raises(UserError, match=r"datasets.yaml: is a named pipe and cannot be read as a file"):
        own_datasets(tmp_path)
    (tmp_path / "datasets.yaml").unlink()
    (tmp_path / "datasets.yaml").mkdir()
    with pytest.raises(UserError, match=r"datasets.yaml: is a folder and cannot be read"):
        own_datasets(tmp_path)


def test_adding_keeps_what_stands_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text(LEAVES)
    entry = check_entry({"folder": "ferns", "split": "folders", "title": "Fougères"}, "test")
    path = append_own_dataset(tmp_path, "ferns", entry)
    assert path.read_text().startswith(LEAVES)
    assert dataset_info("ferns", tmp_path) == registered("ferns", entry)
    assert list(read_own_datasets(tmp_path, BUILT_IN)) == ["leaves", "bark", "ferns"]


def test_a_registered_folder_is_read_like_any_other(miniature_copy: Path) -> None:
    (miniature_copy / "datasets.yaml").write_text("land: {folder: eurosat, images: '2750', split: folders}")
    split = read_split(dataset_info("land", miniature_copy), miniature_copy)
    assert split.class_names == ("Annual Crop Land", "Forest")
