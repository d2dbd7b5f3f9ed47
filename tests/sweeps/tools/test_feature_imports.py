"""`dualpt features import`, and cells trained on what it wrote, from the command line."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dualpt.core.clip.weights import MINI_CLIP_FILE, weights_fingerprint
from dualpt.sweeps.cli import app
from tests.core.features.imported.caches import BACKBONE, DATASET, write_mini_clip_cache, write_tip_cache


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, words)])
    said = str(result.exception) if result.exception is not None and result.exit_code else result.output
    return result.exit_code, said


def importing(folder: Path, *more: object) -> tuple[int, str]:
    return call("features", "import", folder, "--dataset", DATASET, "--backbone", BACKBONE, *more)


def test_from_a_folder_to_numbers(tmp_path: Path) -> None:
    code, said = importing(write_tip_cache(tmp_path / "tip", text=True))
    assert code == 0, said
    assert "train 128, val 64, test 320 rows of width 12, 8 classes" in said
    assert "text features of text_weights_t.pt, normalised" in said
    features = tmp_path / "cache" / "imported" / BACKBONE
    assert f"data.features={features} backbone.name={BACKBONE}" in said
    words = (f"data.features={features}", f"backbone.name={BACKBONE}", "--json")
    code, said = call("train", "--dataset", DATASET, "--method", "gda", "--seeds", "1,2", "--shots", 4, *words)
    assert code == 0, said
    first, second = json.loads(said)
    assert first["test/accuracy"] > 40
    assert first["sample_fingerprint"] != second["sample_fingerprint"]


def test_class_names_are_encoded_where_no_text_came(tmp_path: Path) -> None:
    folder = write_mini_clip_cache(tmp_path / "theirs", DATASET)
    words = ("features", "import", folder, "--dataset", DATASET, "--backbone", "mini-clip", "--out", tmp_path / "out")
    code, said = call(*words, "--weights", MINI_CLIP_FILE, "--template", "a picture of a {}.")
    assert code == 0, said
    assert "text features of 'a picture of a {}.', weights " in said
    assert "no text features" not in said
    document = json.loads(call(*words, "--weights", MINI_CLIP_FILE, "--template", "a picture of a {}.", "--json")[1])
    assert document["template"] == "a picture of a {}."
    assert document["weights"] == weights_fingerprint("mini-clip", None)
    code, said = call("train", "--dataset", DATASET, "--method", "zero-shot", f"data.features={tmp_path}/out", "--json")
    assert code == 0, said
    (row,) = json.loads(said)
    assert row["test/accuracy"] > 40


def test_a_sweep_plans_its_cells_and_says_what_they_read(tmp_path: Path) -> None:
    importing(write_tip_cache(tmp_path / "tip"), "--out", tmp_path / "out")
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"name: imported\ngrid: {{datasets: [{DATASET}], shots: [4, 16], seeds: [1, 2]}}\n"
        f"setting: {{backbone.name: {BACKBONE}}}\nbaselines: [nearest-mean, gda-image]\n"
    )
    store = f"run.tracking_uri=sqlite:///{tmp_path}/mlflow.db"
    code, said = call("sweep", file, f"features={tmp_path}/out", store, "--dry-run", "--no-progress")
    assert code == 0, said
    assert "8 cells, 0 finished, 8 to train" in said
    assert "one draw of 16 shots for all seeds" in " ".join(said.split())
    code, said = call("sweep", file, f"data.features={tmp_path}/out", store, "baselines=[coop]", "--dry-run")
    assert code == 1
    assert "learned prompts need a text tower" in said


def test_imports_are_listed_with_the_store(tmp_path: Path) -> None:
    assert "imported, " not in call("features", "ls")[1]
    importing(write_tip_cache(tmp_path / "tip"))
    folder = tmp_path / "cache" / "imported" / BACKBONE
    code, said = call("features", "ls")
    assert code == 0
    assert f"imported, {BACKBONE}: {folder}" in said
    assert "  1 import, " in said
    (row,) = [line.replace("│", " ").split() for line in said.splitlines() if DATASET in line.split()]
    assert row[:7] == [DATASET, "512", "1", "no", "–", "–", "no"]
    (folder / "broken.safetensors").write_bytes(b"no tensors")
    document = json.loads(call("features", "ls", "--json")[1])
    (one,) = document["imports"]
    assert (one["dataset"], one["backbone"], one["rows"], one["draws"]) == (DATASET, BACKBONE, 512, 1)
    assert (one["text"], one["weights"], one["crops"], one["norms"]) == (False, "", 0, False)
    assert document["unreadable_imports"] == [str(folder / "broken.safetensors")]


def test_json_says_what_was_imported(tmp_path: Path) -> None:
    code, said = importing(write_tip_cache(tmp_path / "tip"), "--out", tmp_path / "out", "--seed", 3, "--json")
    assert code == 0, said
    content = json.loads(said)
    assert content["draws"] == [{"shots": 16, "seed": 3}]
    assert content["text"] is None
    assert content["rows"] == {"train": 128, "val": 64, "test": 320}
    assert Path(content["file"]).is_file()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--backbone", "ViT-B/61"), "unknown architecture 'ViT-B/61'; did you mean"),
        (("--dataset", "EuroSAT"), "8 classes, and the dataset has 10; check --dataset"),
        (("--dataset", "EuroSATT"), "did you mean 'EuroSAT'"),
        (("data.views=3",), "data.views means nothing here"),
        (("another",), "give one folder"),
        (("--template", "a {}."), "needs --weights"),
        (("--weights", "random", "--template", "a photo."), "has no {} for the class name"),
        (("--weights", "random", "--logit-scale", 50), "--weights have their own"),
        (("--weights", "random"), "unknown architecture 'toy'"),
    ],
)
def test_faults_are_one_line_and_leave_nothing(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    write_tip_cache(tmp_path / "tip")
    code, said = importing(tmp_path / "tip", "--out", tmp_path / "out", *words)
    assert code == 1
    assert line in said
    assert not (tmp_path / "out").exists()


def test_a_split_file_is_held_against_the_rows(tmp_path: Path) -> None:
    write_tip_cache(tmp_path / "tip")
    torch.save(torch.load(tmp_path / "tip" / "val_l.pt").flip(0), tmp_path / "tip" / "val_l.pt")
    parts = {
        part: [[f"{part}{c}-{i}.png", c, f"kind {c}"] for c in range(8) for i in range(count)]
        for part, count in (("train", 20), ("val", 8), ("test", 40))
    }
    (tmp_path / "split.json").write_text(json.dumps(parts))
    code, said = importing(tmp_path / "tip", "--split", tmp_path / "split.json")
    assert code == 1
    assert "row 0 has label 7, and the split's image there 0: the same labels in another order" in said


def test_methods_without_what_they_need_are_refused(tmp_path: Path) -> None:
    importing(write_tip_cache(tmp_path / "tip"), "--out", tmp_path / "out")
    for method, line in (
        ("gda", "gda: needs text features"),
        ("dualpt", "holds no local features; set it and inference.local_weight to 0"),
        ("kgcoop", "learned prompts need a text tower"),
        ("prolip", "projection"),
    ):
        code, said = call(
            "train",
            "--dataset",
            DATASET,
            "--method",
            method,
            f"data.features={tmp_path}/out",
            f"backbone.name={BACKBONE}",
        )
        assert code == 1
        assert line in said
