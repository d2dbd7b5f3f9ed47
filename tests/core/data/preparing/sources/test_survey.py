"""What lies in folders is listed once, whatever they are called, and what can't be listed is said."""

import os
from pathlib import Path

import pytest

from dualpt.core.data.preparing.sources.survey import survey
from dualpt.core.errors import UserError
from tests.core.data.preparing.miniatures import write


def test_files_folders_and_archives(tmp_path: Path) -> None:
    write(tmp_path, {"dtd/images/banded/a.jpg": b"", "b.tar.gz": b"", ".hidden/c.jpg": b"", "__MACOSX/d.jpg": b""})
    found = survey([tmp_path], "--from")
    assert found.files[f"{tmp_path}/dtd/images/banded"] == ["a.jpg"]
    assert found.archives == [tmp_path / "b.tar.gz"]
    assert set(found.folders) == {str(tmp_path / path) for path in ("", "dtd", "dtd/images", "dtd/images/banded")}
    assert survey([tmp_path / "b.tar.gz"], "--from").archives == [tmp_path / "b.tar.gz"]


def test_a_folder_that_is_linked_in_circles_is_walked_once(tmp_path: Path) -> None:
    write(tmp_path, {"a/x.jpg": b""})
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to("/nowhere")
    assert len(survey([tmp_path, tmp_path / "a"], "--from").files) == 2


def test_a_link_to_itself_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a/x.jpg": b""})
    (tmp_path / "round").symlink_to("round")
    found = survey([tmp_path], "--from")
    assert found.files[f"{tmp_path}/a"] == ["x.jpg"]
    assert found.unreadable == []


def test_a_list_may_be_given_by_itself(tmp_path: Path) -> None:
    write(tmp_path, {"split.json": b"{}", "other.json": b"{}"})
    assert survey([tmp_path / "split.json"], "--splits").files == {str(tmp_path): ["split.json"]}


def test_imagenets_folders_are_named_and_not_walked(tmp_path: Path) -> None:
    write(tmp_path, {"train/n01440764/x.JPEG": b""})
    found = survey([tmp_path], "--from")
    assert found.folders[f"{tmp_path}/train"] == ["n01440764"]
    assert f"{tmp_path}/train/n01440764" not in found.files


def test_the_data_root_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"root/dtd/a.jpg": b"", "have/a.jpg": b""})
    assert f"{tmp_path}/root" not in survey([tmp_path], "--from", tmp_path / "root").files


def test_names_that_cannot_be_printed(tmp_path: Path) -> None:
    os.makedirs(os.path.join(os.fsencode(tmp_path), b"\xff\nx"))
    found = survey([tmp_path], "--from")
    assert found.unreadable == [f"{tmp_path}: left out '\\udcff\\nx', a name that can't be printed; rename it"]


def test_a_missing_folder_is_one_line() -> None:
    with pytest.raises(UserError, match=r"--splits: no folder or archive 'nowhere'"):
        survey([Path("nowhere")], "--splits")
