"""`dualpt features`: estimated first, built once, listed, verified, removed; each fault is one line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dualpt.core.cell import Cell
from dualpt.core.clip import backbone
from dualpt.core.errors import UserError
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.search_spaces.sweep_file import check_sweep, load_sweep
from dualpt.sweeps.cli import app
from dualpt.sweeps.commands.options import out
from dualpt.sweeps.tools.features import FeatureCosts, describe, feature_costs, sweep_cells
from tests.core.features.imported import caches
from tests.core.features.tiny import flip

DATASET = ["--dataset", "mini-tiles", "--shots", "1", "--seeds", "1,2"]


def dualpt(*words: str) -> Result:
    result = CliRunner().invoke(app, ["features", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(*words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(dualpt(*words, "--json").stdout)
    return document


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console takes its width when it is made, and test runners set one of their own."""
    monkeypatch.setattr(out, "_width", 200)


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
@pytest.mark.usefixtures("private_cache")
def test_from_an_estimate_to_an_empty_store() -> None:
    planned = answer("build", *DATASET, "--dry-run")
    assert planned["encoded"] == 0
    assert planned["estimated"]["seconds"] > 0
    assert answer("ls")["shelves"] == []

    built = answer("build", *DATASET)
    assert built["encoded"] == planned["estimated"]["images"] > 0
    assert answer("build", *DATASET)["encoded"] == 0

    (stored,) = answer("ls")["shelves"]
    assert (stored["backbone"], stored["local"], stored["dataset"]) == ("mini-clip", "value", "mini-tiles")
    assert stored["images"] == built["encoded"]
    assert planned["estimated"]["bytes"] < stored["bytes"] < 1.05 * planned["estimated"]["bytes"]
    assert "mini-tiles" in dualpt("ls").stdout

    sound = {"shelves": 1, "rows": built["encoded"], "former_rows": 0, "damaged": {}, "unreadable": []}
    assert answer("verify") == sound
    (file,) = Path(stored["folder"]).glob("*.safetensors")
    flip(file, -100)
    damaged = dualpt("verify", "--json")
    assert damaged.exit_code == 3
    assert json.loads(damaged.stdout)["damaged"] == {stored["folder"]: [file.name]}
    assert answer("build", *DATASET)["encoded"] == built["encoded"]
    flip(next(Path(stored["folder"]).glob("*.safetensors")), -100)
    assert ": features do not match their checksum" in dualpt("verify").stdout
    answer("build", *DATASET)
    assert dualpt("verify").exit_code == 0

    assert answer("gc")["removed"] == {}
    assert list(answer("gc", "--dataset", "mini-tiles", "--dry-run")["removed"]) == [stored["folder"]]
    assert answer("gc", "--dataset", "mini-tiles")["bytes"] > 0
    assert answer("ls")["shelves"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build"], "give one sweep file, or --dataset NAME"),
        (["build", "demo", *DATASET], "give one sweep file, or --dataset NAME"),
        (["build", "demo", "mini-grid"], "give one sweep file, or --dataset NAME"),
        (["build", "demoo"], "did you mean 'demo'?"),
        (["build", "--dataset", "mini-tile"], "did you mean 'mini-tiles'?"),
        (["build", *DATASET, "backbone.name=ViT-B-31"], "did you mean 'ViT-B-32'?"),
        (["build", *DATASET, "backbone.name=auto"], "auto takes the architecture from a checkpoint folder"),
        (["build", *DATASET, "--protocol", "few"], "unknown protocol 'few'"),
        (["build", "--dataset", "EuroSAT"], "data.root is not set"),
        (["gc", "--backbone", "ViT-B-16"], "--backbone: the store has no backbone 'ViT-B-16'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_each_fault_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        dualpt(*words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def sweep_over(space: dict[str, Any]) -> list[Cell]:
    declared = {"name": "small", "grid": {"datasets": ["mini-pets"], "shots": [2], "seeds": [1]}}
    return sweep_cells(check_sweep(declared | {"search": {"trials": 1, "space": space}}, "test"))


def test_a_sweep_needs_the_features_of_every_searched_backbone_and_view() -> None:
    cells = sweep_over(
        {
            "backbone.local_features": {"choice": ["value", "tokens"]},
            "data.views": {"int": [1, 4]},
            "alignment.llm_weight": {"float": [0.1, 10]},
        }
    )
    found = {(cell.setting.backbone.local_features, cell.setting.data.views) for cell in cells}
    assert found == {("value", 1), ("value", 4), ("tokens", 1), ("tokens", 4)}


def test_a_range_of_views_that_passes_one_needs_the_plain_crop_too() -> None:
    cells = sweep_over({"data.views": {"int": [0, 4]}})
    assert [cell.setting.data.views for cell in cells] == [0, 1, 4]


def test_other_searched_keys_multiply_nothing() -> None:
    assert len(sweep_over({"alignment.llm_weight": {"float": [0.1, 10]}, "prompt.n_prompts": {"int": [1, 4]}})) == 1


def test_costs_are_told_in_one_line() -> None:
    assert describe(FeatureCosts(0, 0, 0.0)) == "all features are stored"
    assert describe(FeatureCosts(50_000, 10_085_000_000, 1200.0)) == "50000 images to encode, 10.1 GB, about 20 min"
    assert describe(FeatureCosts(7, 1_300_000, None)) == "7 images to encode, 1.3 MB, unknown until the first build"


@pytest.mark.slow
def test_a_dry_run_on_imported_features_loads_no_towers(tmp_path: Path) -> None:
    features = caches.imports(tmp_path, text=True)
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"name: imported\ngrid: {{datasets: [{caches.DATASET}], shots: [4], seeds: [1]}}\n"
        f"setting: {{backbone.name: {caches.BACKBONE}}}\nbaselines: [nearest-mean, zero-shot, rla]\n"
    )
    words = [
        "sweep",
        str(file),
        f"features={features}",
        "--dry-run",
        f"run.tracking_uri=sqlite:///{tmp_path}/mlflow.db",
    ]
    program = (
        "import sys\nfrom dualpt.sweeps.cli import main\ntry:\n    main()\n"
        "except SystemExit as ended:\n    print(ended.code, 'open_clip' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=300)
    assert "3 cells, 0 finished, 3 to train" in done.stdout, done.stderr
    assert "features: all features are stored" in done.stdout
    assert done.stdout.splitlines()[-1] == "None False"


def test_an_estimate_builds_an_architecture_once(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so to know its width; a sweep asks for each dataset, number of shots and seed."""
    built: list[str] = []
    real = backbone.backbone_facts
    monkeypatch.setattr(backbone, "backbone_facts", lambda name, *rest: (built.append(name), real(name, *rest))[1])
    feature_costs(load_sweep(shipped_or_path("demo"), {"grid.datasets": ["mini-tiles", "mini-pets"]}))
    assert built == ["mini-clip"]
