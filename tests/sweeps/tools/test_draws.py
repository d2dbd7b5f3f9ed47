"""`dualpt data draw` as it is typed: draws printed, exported as the field's files, and held against such files."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
from click.testing import Result

from dualpt.core.data.catalog import REAL_GRID
from dualpt.core.data.draws.draw_files import pickled
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError
from tests.sweeps.tools.test_data import dualpt


class TestPrinted:
    @pytest.mark.parametrize(
        ("folder", "name"), [("dtd", "DescribableTextures"), ("eurosat", "EuroSAT"), ("oxford_pets", "OxfordPets")]
    )
    def test_a_real_split_file_without_images(self, shared_data: Path, tmp_path: Path, folder: str, name: str) -> None:
        split = shared_data / "splits" / f"split_zhou_{name}.json"
        (tmp_path / folder).mkdir()
        shutil.copy(split, tmp_path / folder)
        expected = json.loads((shared_data / "fewshot_indices" / folder / "shot_4-seed_3.json").read_text())
        document = json.loads(
            dualpt("data", "draw", name, "--root", tmp_path, "--shots", 4, "--seed", 3, "--json").stdout
        )
        for part in ("train", "val"):
            drawn = [(label, name) for _, label, name in document[part]]
            assert drawn == [(entry["label"], entry["classname"]) for entry in expected[part]["data"]]
            ends = [entry["impath"] for entry in expected[part]["data"]]
            assert all(end.endswith(f"/{path}") for end, (path, _, _) in zip(ends, document[part], strict=True))
        by_file = json.loads(dualpt("data", "draw", "--split", split, "--shots", 4, "--seed", 3, "--json").stdout)
        assert by_file["fingerprint"] == document["fingerprint"]

    def test_plain_lines_are_in_the_order_of_the_draw(self, miniature: Path) -> None:
        words = ("data", "draw", "StanfordCars", "--root", miniature, "--shots", 2)
        lines = dualpt(*words).stdout.splitlines()
        document = json.loads(dualpt(*words, "--json").stdout)
        rows = [[part, str(label), path, name] for part in ("train", "val") for path, label, name in document[part]]
        assert [line.split("\t") for line in lines[:-1]] == rows
        assert document["fingerprint"] in lines[-1]

    def test_the_root_as_other_commands_take_it(self, miniature: Path) -> None:
        plain = dualpt("data", "draw", "EuroSAT", "--root", miniature, "--shots", 2).stdout
        assert dualpt("data", "draw", "EuroSAT", f"data.root={miniature}", "--shots", 2).stdout == plain
        assert dualpt("data", "draw", f"data.root={miniature}", "EuroSAT", "--shots", 2).stdout == plain
        checked = dualpt("data", "check", "EuroSAT", f"data.root={miniature}", "--json").stdout
        assert json.loads(checked)[0]["found"]

    @pytest.mark.parametrize("name", [*REAL_GRID, "mini-tiles"])
    def test_every_layout(self, miniature: Path, name: str) -> None:
        document = json.loads(dualpt("data", "draw", name, "--root", miniature, "--shots", 2, "--json").stdout)
        assert len(document["train"]) == len(document["val"]) > 0


class TestExported:
    def draw(self, *words: object) -> Result:
        return dualpt("data", "draw", "OxfordPets", *words)

    def test_every_seed_is_a_file_that_verifies(self, miniature: Path, tmp_path: Path) -> None:
        words = ("--root", miniature, "--shots", 2)
        exported = self.draw(*words, "--seeds", "draws(3)", "--export", tmp_path, "--json")
        written = json.loads(exported.stdout)
        assert [Path(one["file"]).relative_to(tmp_path).as_posix() for one in written] == [
            f"oxford_pets/split_fewshot/shot_2-seed_{seed}.pkl" for seed in (1, 2, 3)
        ]
        printed = json.loads(self.draw(*words, "--seed", 2, "--json").stdout)
        assert written[1]["fingerprint"] == printed["fingerprint"]
        for folder in (tmp_path, tmp_path / "oxford_pets", tmp_path / "oxford_pets" / "split_fewshot"):
            verified = self.draw("--root", miniature, "--verify", folder)
            assert verified.exit_code == 0
            assert verified.stdout.count("is our draw") == 3

    def test_exported_again_the_bytes_are_the_same(self, miniature: Path, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            self.draw("--root", miniature, "--shots", 1, "--export", tmp_path / folder)
        a, b = (next((tmp_path / folder).rglob("*.pkl")).read_bytes() for folder in ("a", "b"))
        assert a == b

    @pytest.mark.parametrize("folder", ["dtd", "eurosat", "oxford_pets"])
    def test_draws_of_the_fields_own_code_verify(self, shared_data: Path, tmp_path: Path, folder: str) -> None:
        name = {"dtd": "DescribableTextures", "eurosat": "EuroSAT", "oxford_pets": "OxfordPets"}[folder]
        (tmp_path / folder / "split_fewshot").mkdir(parents=True)
        shutil.copy(shared_data / "splits" / f"split_zhou_{name}.json", tmp_path / folder)
        for source in sorted((shared_data / "fewshot_indices" / folder).glob("shot_*-seed_*.json"))[:4]:
            recorded = json.loads(source.read_text())
            draw = {
                part: tuple(Item(e["impath"].lstrip("/"), e["label"], e["classname"]) for e in recorded[part]["data"])
                for part in ("train", "val")
            }
            path = tmp_path / folder / "split_fewshot" / f"{source.stem}.pkl"
            path.write_bytes(pickled(draw, Path("/")))
        verified = dualpt("data", "draw", name, "--root", tmp_path, "--verify", tmp_path)
        assert verified.exit_code == 0, verified.stdout
        assert verified.stdout.count("is our draw") > 0

    def test_classes_that_run_out_of_images_are_named(self, miniature: Path, tmp_path: Path) -> None:
        words = ("--root", miniature, "--export", tmp_path)
        assert "fewer than" not in self.draw(*words, "--shots", 1).stdout
        assert "note: fewer than 500 training images of '" in self.draw(*words, "--shots", 500).stdout

    def test_another_draw_is_said_to_differ(self, miniature: Path, tmp_path: Path) -> None:
        self.draw("--root", miniature, "--shots", 1, "--seed", 1, "--export", tmp_path)
        file = tmp_path / "oxford_pets" / "split_fewshot" / "shot_1-seed_1.pkl"
        file.rename(file.with_name("shot_1-seed_2.pkl"))
        verified = self.draw("--root", miniature, "--verify", tmp_path)
        assert verified.exit_code == 3
        assert "differs: train image" in verified.stdout
        (found,) = json.loads(self.draw("--root", miniature, "--verify", tmp_path, "--json").stdout)
        assert found["difference"].startswith("train image")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--export", "x", "--verify", "y"), "--export and --verify exclude each other"),
            (("--seeds", "1-3"), "--seeds: only --export takes several"),
            (("--seeds", "3-1", "--export", "x"), "--seeds: the range '3-1' runs backwards"),
            (("--seeds", "-1", "--export", "x"), "--seeds: seeds are 0 or larger, found -1"),
            (("--verify", "x"), "--verify: x holds no oxford_pets/split_fewshot/shot_K-seed_S.pkl"),
            (("--export", "/proc/none"), "--export: /proc/none/oxford_pets/split_fewshot cannot be written"),
        ],
    )
    def test_slips_are_one_line_and_leave_nothing(
        self, miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError) as fault:
            self.draw("--root", miniature, *words)
        assert said in str(fault.value)
        assert "\n" not in str(fault.value)
        assert list(tmp_path.iterdir()) == []

    def test_files_need_a_dataset(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"name a dataset$"):
            dualpt("data", "draw", "--split", "s.json", "--export", tmp_path)

    def test_a_file_that_would_run_code_is_refused(self, miniature: Path, tmp_path: Path) -> None:
        (tmp_path / "shot_1-seed_1.pkl").write_bytes(pickle.dumps({"train": [print]}))
        with pytest.raises(UserError, match=r"it names builtins\.print"):
            self.draw("--root", miniature, "--verify", tmp_path)


def test_draws_as_uneven_as_the_classes(tmp_path: Path) -> None:
    rows = [[f"{name}/{n}.jpg", label, name] for label, name in enumerate("abc") for n in range((20, 4, 1)[label])]
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": rows, "val": rows[:1], "test": rows[:1]}))
    words = ("data", "draw", "--split", split, "--shots", 2, "--draw")
    said = dualpt(*words, "realistic").stdout
    assert said.endswith("# realistic: 0 to 5 training images per class; none of c\n")
    assert len([line for line in said.splitlines() if line.startswith("train")]) == 6
    assert dualpt(*words, "relaxed").stdout.endswith("# relaxed: 1 to 4 training images per class\n")
    with pytest.raises(UserError, match=r"--draw: unknown kind 'realistik'; did you mean 'realistic'\?"):
        dualpt(*words, "realistik")
