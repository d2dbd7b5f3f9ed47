"""`dualpt data` as it is typed: draws, tables, contact sheets, registrations; each bad input is one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from dualpt.core.data.catalog import IMAGENET_VARIANTS, REAL_GRID
from dualpt.core.errors import UserError
from dualpt.sweeps.cli import app


def dualpt(*words: object) -> Result:
    """Run a command in this process; its `UserError`, if any, is raised."""
    result = CliRunner(env={"COLUMNS": "220"}).invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class TestCheck:
    def test_all_fine(self, miniature: Path) -> None:
        result = dualpt("data", "check", "--root", miniature, "--deep")
        assert result.exit_code == 0
        assert all(name in result.stdout for name in (*REAL_GRID, *IMAGENET_VARIANTS))
        assert "4/1000" in result.stdout  # classes found and published

    def test_it_says_what_was_not_found_and_what_was_read(self, miniature_copy: Path) -> None:
        shutil.rmtree(miniature_copy / "eurosat")
        (miniature_copy / "dtd" / "images" / "banded" / "0_0000.jpg").write_bytes(b"")
        names = ["EuroSAT", "DescribableTextures"]
        plain = dualpt("data", "check", *names, "--root", miniature_copy)
        assert f"not found: eurosat/ under {miniature_copy}" in plain.output
        assert "images were not opened; --deep decodes every one" in plain.output
        deep = dualpt("data", "check", *names, "--root", miniature_copy, "--deep")
        assert "18 images decoded, 1 of them cannot be read" in deep.output
        assert deep.exit_code == 3

    def test_a_datasets_own_folder_as_root(self, miniature: Path) -> None:
        result = dualpt("data", "check", "--root", miniature / "dtd")
        assert f"is the folder of DescribableTextures itself; did you mean --root {miniature}?" in result.output

    def test_fewer_images_than_published_are_a_fault_on_demand(self, miniature: Path) -> None:
        result = dualpt("data", "check", "EuroSAT", "--root", miniature, "--published")
        assert result.exit_code == 3
        assert "differs" in result.stdout

    def test_json_holds_every_dataset_asked_for(self, miniature: Path) -> None:
        rows = json.loads(dualpt("data", "check", "imagenet-variants", "--root", miniature, "--json").stdout)
        assert [row["name"] for row in rows] == list(IMAGENET_VARIANTS)
        assert all(row["fine"] and not row["as_published"] for row in rows)

    def test_a_fault_is_named_and_the_others_are_still_examined(self, miniature_copy: Path) -> None:
        (miniature_copy / "fgvc_aircraft" / "images" / "2000000.jpg").unlink()
        (miniature_copy / "sun397" / "split_zhou_SUN397.json").write_text("{")
        photograph = miniature_copy / "dtd" / "images" / "banded" / "0_0000.jpg"
        photograph.write_bytes(photograph.read_bytes()[:100])
        shutil.rmtree(miniature_copy / "food-101")
        result = dualpt("data", "check", "--root", miniature_copy, "--deep")
        assert result.exit_code == 3
        assert "1 image missing: 2000000.jpg" in result.stdout
        assert "split_zhou_SUN397.json: line 1" in result.stdout
        assert "banded/0_0000.jpg: not a readable image" in result.stdout
        rows = json.loads(dualpt("data", "check", "--root", miniature_copy, "--deep", "--json").stdout)
        faulty = {row["name"] for row in rows if not row["fine"]}
        assert faulty == {"FGVCAircraft", "SUN397", "DescribableTextures", "Food101"}

    def test_absent_variants_are_not_asked_for_without_names(self, miniature_copy: Path) -> None:
        shutil.rmtree(miniature_copy / "imagenetv2")
        assert dualpt("data", "check", "--root", miniature_copy).exit_code == 0
        assert dualpt("data", "check", "ImageNetV2", "--root", miniature_copy).exit_code == 3

    def test_mini_datasets_are_not_drawn_for_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
        result = dualpt("data", "check")
        assert result.exit_code == 0
        assert "not drawn" in result.stdout
        assert not (tmp_path / "cache").exists()


class TestShow:
    def test_classes_counts_and_a_sheet(self, miniature: Path, tmp_path: Path) -> None:
        sheet = tmp_path / "sheets" / "cars.png"
        result = dualpt("data", "show", "StanfordCars", "--root", miniature, "--output", sheet, "--per-class", 3)
        assert "2000 AM General Hummer SUV" in result.stdout
        with Image.open(sheet) as image:
            assert image.width >= 3 * 96
            assert len(image.getcolors(1 << 20) or []) > 500  # photographs, and not only paper

    def test_json(self, miniature: Path, tmp_path: Path) -> None:
        words = ("data", "show", "ImageNetA", "--root", miniature, "-o", tmp_path / "a.png", "--json")
        document = json.loads(dualpt(*words).stdout)
        assert document["classes"][1] == {"label": 1, "name": "sunglasses", "train": 0, "val": 0, "test": 3}

    def test_an_unreadable_image_is_a_red_square_and_a_line(self, miniature_copy: Path, tmp_path: Path) -> None:
        image = miniature_copy / "eurosat" / "2750" / "Forest" / "1_0000.jpg"
        image.write_bytes(b"no image")
        result = dualpt("data", "show", "EuroSAT", "--root", miniature_copy, "-o", tmp_path / "e.png")
        assert "Forest/1_0000.jpg: not a readable image" in result.stdout
        with Image.open(tmp_path / "e.png") as sheet:
            assert (200, 60, 60) in {colour for _, colour in sheet.getcolors(1 << 20) or []}


class TestAdd:
    def test_a_registered_dataset_is_drawn_checked_and_shown_by_name(
        self, miniature_copy: Path, tmp_path: Path
    ) -> None:
        words = ("--folder", "eurosat", "--images", "2750", "--split", "split_zhou_EuroSAT.json", "--title", "Land")
        dualpt("data", "add", "land", "--root", miniature_copy, *words)
        dualpt("data", "add", "folders-of-land", "--root", miniature_copy, "--folder", "eurosat/2750")
        entries = yaml.safe_load((miniature_copy / "datasets.yaml").read_text())
        assert list(entries) == ["land", "folders-of-land"]
        draws = [
            json.loads(dualpt("data", "draw", name, "--root", miniature_copy, "--shots", 2, "--json").stdout)
            for name in ("EuroSAT", "land", "folders-of-land")
        ]
        assert draws[0]["train"] == draws[1]["train"] != draws[2]["train"]
        names = {row["name"] for row in json.loads(dualpt("data", "check", "--root", miniature_copy, "--json").stdout)}
        assert {"land", "folders-of-land"} <= names

    def test_it_is_trained_by_name(self, miniature_copy: Path) -> None:
        dualpt("data", "add", "land", "--root", miniature_copy, "--folder", "eurosat/2750")
        words = ("--shots", 1, "--method", "coop", f"data.root={miniature_copy}", "optim.epochs=2", "--json")
        (few,) = json.loads(dualpt("train", "--dataset", "land", *words).stdout)
        assert few["dataset"] == "land"
        wanted = ("features", "build", "--dataset", "land", "--dry-run", *words)
        assert {row["dataset"] for row in json.loads(dualpt(*wanted).stdout)["needs"]} == {"land"}
        transfer = ("--protocol", "cross-dataset", "--targets", "UCF101,land,Food101")
        (moved,) = json.loads(dualpt("train", "--dataset", "land", *transfer, *words).stdout)
        assert moved["targets"] == ["UCF101", "Food101"]
        assert 0 <= moved["target/mean/accuracy"] <= 100


FAULTS = [
    (("check", "--root", "nowhere"), "--root: no folder 'nowhere'"),
    (("check", "EuroSAT"), "--root: EuroSAT is read from disk"),
    (("check", "EuroSta", "--root", "DATA"), "did you mean 'EuroSAT'?"),
    (("draw",), "name a dataset, or give a split file with --split"),
    (("draw", "EuroSAT"), "--root: EuroSAT is read from disk; give the FOLDER that holds 'eurosat/'"),
    (("draw", "EuroSAT", "--root", "nowhere"), "--root: no folder 'nowhere'; give the FOLDER that"),
    (("draw", "EuroSAT", "--root", "DATA/eurosat"), "did you mean"),
    (("draw", "EuroSAT", "--root", "DATA/dtd"), "holds no folder 'eurosat'"),
    (("draw", "ImageNetA", "--root", "DATA"), "ImageNetA has test images only"),
    (("draw", "--split", "nowhere.json"), "nowhere.json: the split file is missing"),
    (("draw", "--split", "DATA/dtd"), "cannot be read"),
    (("draw", "--split", "DATA/fgvc_aircraft/variants.txt"), "variants.txt: line 1, column 4: not JSON"),
    (("draw", "--split", "DATA/descriptions/EuroSAT.json"), "holds no 'train'; expected the lists"),
    (("draw", "EuroSAT", "data.root=nowhere"), "--root: no folder 'nowhere'"),
    (("draw", "EuroSAT", "Food101", "--root", "DATA"), "EuroSAT and Food101: this command takes one dataset"),
    (("check", "optim.epochs=3"), "optim.epochs means nothing here, only data.root does"),
    (("show", "--root", "DATA"), "name the dataset to show"),
    (("add", "--root", "DATA", "--folder", "dtd"), "name the dataset to register"),
    (("add", "own", "--folder", "dtd"), "--root: give the data root"),
    (("show", "EuroSAT"), "--root: EuroSAT is read from disk"),
    (("show", "EuroSAT", "--root", "DATA", "-o", "/proc/none/x.png"), "--output: /proc/none/x.png cannot be written"),
    (("show", "EuroSAT", "--root", "DATA", "-o", "DATA"), "cannot be written"),
    (("add", "EuroSAT", "--root", "DATA", "--folder", "dtd"), "the name 'EuroSAT' is taken"),
    (("add", "imagenet", "--root", "DATA", "--folder", "dtd"), "the name 'imagenet' is taken by 'ImageNet'"),
    (("add", "a b", "--root", "DATA", "--folder", "dtd"), "'a b' cannot name a dataset"),
    (("add", "own", "--root", "nowhere", "--folder", "dtd"), "--root: no folder 'nowhere'"),
    (("add", "own", "--root", "DATA", "--folder", "none"), "holds no folder 'none'; name it as it lies there"),
    (("add", "own", "--root", "DATA", "--folder", "../x"), "folder: must be a relative path"),
    (("add", "own", "--root", "DATA", "--folder", "dtd", "--images", "none"), "the images of own are missing"),
    (("add", "own", "--root", "DATA", "--folder", "fgvc_aircraft/images"), "holds no class folders"),
    (("add", "own", "--root", "DATA", "--folder", "dtd", "--split", "none.json"), "the split file of own is missing"),
    (
        ("add", "own", "--root", "DATA", "--folder", "dtd", "--split", "split_zhou_DescribableTextures.json"),
        "missing; complete the images",
    ),
    (("add", "own", "--root", "DATA", "--folder", "dtd/images", "--template", "a leaf"), "needs exactly one {}"),
]


@pytest.mark.parametrize(("words", "said"), FAULTS, ids=[" ".join(words)[:70] for words, _ in FAULTS])
def test_each_fault_is_one_line_and_writes_nothing(
    miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(miniature.rglob("*"))
    with pytest.raises(UserError) as caught:
        dualpt("data", *(word.replace("DATA", str(miniature)) for word in words))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert sorted(miniature.rglob("*")) == before


@pytest.mark.slow
def test_a_fault_reaches_the_user_as_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dualpt.sweeps.cli", "data", "draw", "EuroSAT"]
    result = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "error: --root: EuroSAT is read from disk; give the FOLDER that holds 'eurosat/'"
    ]
