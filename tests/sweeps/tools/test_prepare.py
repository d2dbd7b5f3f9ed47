"""`dualpt data prepare` as it is typed."""

import json
import multiprocessing
import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dualpt.core.data.catalog import IMAGENET_VARIANTS, REAL_GRID
from dualpt.core.errors import UserError
from dualpt.sweeps.cli import app
from dualpt.sweeps.tools.prepare import only_one
from tests.core.data.preparing.miniatures import ARCHIVES, SPLIT_FILES, TORCHVISION, lists_of, write
from tests.core.data.preparing.preparing import snapshot

SLOW = 8 * 2**20
"""Bytes of an image that takes long enough to be killed at the next."""


def prepare(*words: object, width: int = 220) -> Result:
    """Run the command in this process; its `UserError`, if any, is raised."""
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, ["data", "prepare", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Half of the eleven in torchvision's folders, the others as archives, and a clone with split files."""
    for number, name in enumerate(REAL_GRID):
        write(tmp_path / "have", (TORCHVISION, ARCHIVES)[number % 2][name](name))
    for name in SPLIT_FILES:
        write(tmp_path / "clone", lists_of(name))
    write(tmp_path / "clone", {"imagenet_clip_classnames.txt": lists_of("ImageNet")["classnames.txt"]})
    return tmp_path


def test_from_folders_and_archives_to_a_checked_data_root(sources: Path) -> None:
    words = ("--from", sources / "have", "--splits", sources / "clone", "--root", sources / "root")
    for width in (60, 80, 100, 160):
        dry = prepare(*words, "--dry-run", width=width)
        assert dry.exit_code == 0
        assert {*REAL_GRID, "archive", "extract"} <= set(dry.stdout.replace("│", " ").replace(",", " ").split())
    assert not (sources / "root").exists()
    before = snapshot(sources / "have")
    result = prepare(*words)
    assert result.exit_code == 0, result.stdout
    assert snapshot(sources / "have") == before
    assert "OxfordPets: torchvision's folder or gallop's: " in result.stdout
    assert f"Caltech101: an archive: {sources}/have/caltech-101.zip" in result.stdout
    assert "faulty" not in result.stdout
    again = prepare(*words)
    assert again.exit_code == 0
    assert again.stdout.count("there already") == len(REAL_GRID)


def test_a_root_whose_link_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to("gone")
    with pytest.raises(UserError, match=r"^--root: '.*root' is a link to 'gone', which isn't there; make that folder$"):
        prepare("--from", tmp_path, "--root", tmp_path / "root")


def test_images_from_very_many_folders_are_a_few_lines(tmp_path: Path) -> None:
    paths = [f"image_{number:05d}.jpg" for number in range(1, 31)]
    write(tmp_path / "have", {f"flower_data/train/{number}/{path}": b"?" for number, path in enumerate(paths)})
    parts = {part: [[path, 0, "rose"] for path in paths[k::3]] for k, part in enumerate(("train", "val", "test"))}
    write(tmp_path / "have", {"split_zhou_OxfordFlowers.json": json.dumps(parts).encode()})
    shown = prepare("OxfordFlowers", "--from", tmp_path / "have", "--root", tmp_path / "root", "--dry-run").stdout
    assert shown.count("flower_data/train") == 8
    assert "OxfordFlowers: and 22 more places" in shown


def test_a_killed_process_is_continued(tmp_path: Path) -> None:
    write(tmp_path / "have", TORCHVISION["EuroSAT"]("EuroSAT") | lists_of("EuroSAT"))
    for path in (tmp_path / "have").rglob("*.jpg"):
        with path.open("r+b") as file:
            file.truncate(SLOW)
    words = ["--from", str(tmp_path / "have"), "--root", str(tmp_path / "root"), "--copy"]
    process = multiprocessing.get_context("fork").Process(target=prepare, args=words)
    process.start()
    folder = tmp_path / "root/eurosat"
    while process.is_alive() and not list(folder.rglob("*.jpg")):
        time.sleep(0.01)
    process.kill()
    process.join()
    kept = {path.name: path.stat().st_ino for path in folder.rglob("*.jpg")}
    assert prepare(*words).exit_code == 0
    found = {path.name: path for path in (folder / "2750").rglob("*.jpg")}
    assert {name: found[name].stat().st_ino for name in kept} == kept
    assert all(
        path.read_bytes() == (tmp_path / "have" / path.relative_to(tmp_path / "root")).read_bytes()
        for path in found.values()
    )
    assert len(found) == 6
    assert list(folder.glob(".*")) == []


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "have").mkdir()
    words = ("--from", tmp_path / "have", "--root", tmp_path / "root")
    with only_one(tmp_path / "root"):
        with pytest.raises(UserError, match=r"another process is filling '.*root'; wait for it"):
            prepare(*words)
        assert prepare(*words, "--dry-run").exit_code == 0


def test_what_is_missing_and_where_people_get_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = prepare("--from", tmp_path / "empty", "--root", tmp_path / "root")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for name in (*REAL_GRID, *IMAGENET_VARIANTS):
        assert any(line.startswith(f"  {name}: get ") for line in lines)
    assert not (tmp_path / "root").exists()
    assert prepare("DescribableTextures", "--from", tmp_path / "empty", "--root", tmp_path / "root").exit_code == 3


def test_a_missing_split_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "have", TORCHVISION["EuroSAT"]("EuroSAT"))
    result = prepare("--from", tmp_path / "have", "--root", tmp_path / "root")
    assert result.exit_code == 3
    assert f"EuroSAT: by its name: {tmp_path}/have/eurosat/2750" in result.stdout
    assert (
        "EuroSAT: the split file split_zhou_EuroSAT.json is missing: a clone of github.com/MarcLafon" in result.stdout
    )


def test_a_damaged_archive_does_not_stop_the_others(sources: Path) -> None:
    archive = sources / "have" / "food-101.tar.gz"
    if not archive.exists():
        archive = sources / "have" / "caltech-101.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    result = prepare("--from", sources / "have", "--splits", sources / "clone", "--root", sources / "root")
    assert result.exit_code == 3
    assert "truncated or damaged" in result.stdout
    assert (sources / "root" / "oxford_pets" / "images").exists()


def test_a_name_is_a_dataset_even_where_a_folder_is_called_so(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sources / "OxfordPets").mkdir()
    monkeypatch.chdir(sources)
    result = prepare("OxfordPets", "--from", "have", "--splits", "clone", f"data.root={sources / 'root'}")
    assert result.exit_code == 0
    assert [path.name for path in (sources / "root").iterdir()] == ["oxford_pets"]


def test_further_folders_as_a_shell_leaves_them(sources: Path) -> None:
    (sources / "more").mkdir()
    (sources / "have" / "oxford-iiit-pet").rename(sources / "more" / "oxford-iiit-pet")
    words = ("--splits", sources / "clone", "--root", sources / "root")
    result = prepare("--from", sources / "have", sources / "more", "OxfordPets", *words)
    assert result.exit_code == 0
    assert (sources / "root" / "oxford_pets" / "images").is_symlink()
    assert not (sources / "root" / "eurosat").exists()


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--from", "nowhere", "--root", "root"), "--from: no folder or archive 'nowhere'"),
        (("--from", ".", "--root", "root", "--splits", "nowhere"), "--splits: no folder or archive 'nowhere'"),
        (("--from", ".", "--root", "file"), "--root: 'file' is a file"),
        (("--from", "."), "--root: give the data root, the FOLDER to fill"),
        (("--from", ".", "--root", "root", "data.rot=x"), "data.rot means nothing here"),
        (("--from", ".", "--root", "root", "Eurosat"), "did you mean 'EuroSAT'"),
        (("--from", ".", "--root", "root", "mini-pets"), "mini-pets: only the eleven and ImageNet's variants"),
    ],
)
def test_bad_words_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        prepare(*words)
    assert fault in str(caught.value)
    assert not (tmp_path / "root").exists()
