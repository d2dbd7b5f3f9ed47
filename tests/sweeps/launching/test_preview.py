"""Commands that only show what would be done leave every file as it was, and make none."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dualpt.core.features.imported.make_import import write_import
from dualpt.sweeps.cli import app
from tests.command_line import answer
from tests.core.features.imported import caches
from tests.core.own_method import DESCRIBED

SMALL = ["datasets=[mini-tiles]", "shots=[1]", "seeds=[1]"]


def every_file(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file and folder below."""
    stats = {str(path): path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


@pytest.fixture(scope="module")
def used_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with features of a dataset; to be read only."""
    folder = tmp_path_factory.mktemp("used") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUALPT_CACHE", str(folder))
        built = CliRunner().invoke(app, ["features", "build", "--dataset", "mini-tiles", "--shots", "2"])
    assert built.exit_code == 0, built.output
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "demo", *SMALL, "--dry-run"],
        ["sweep", "demo", *SMALL, "--simulate"],
        ["ablate", "factorial-2x2", *SMALL, "--dry-run"],
        ["features", "build", "demo", *SMALL, "--dry-run"],
        ["features", "build", "--dataset", "mini-tiles", "--shots", "1", "--dry-run"],
        ["features", "gc", "--dry-run"],
        ["features", "ls"],
    ],
    ids=lambda words: " ".join(words),
)
@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.slow
def test_looking_writes_nothing(
    used_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], used_before: bool
) -> None:
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    if used_before:
        shutil.copytree(used_cache, tmp_path / "cache")
    before = every_file(tmp_path)
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert every_file(tmp_path) == before


def test_a_method_with_nothing_to_choose_by_is_said_before_any_compute(tmp_path: Path) -> None:
    cache = caches.write_tip_cache(tmp_path / "cache")
    for name in ("val_f.pt", "val_l.pt"):
        (cache / name).unlink()
    write_import(caches.made(cache), tmp_path / "imports")
    file, store = tmp_path / "choosing.yaml", tmp_path / "mlflow.db"
    file.write_text(
        "name: choosing\ngrid: {datasets: [mini-tiles], shots: [16], seeds: [1]}\n"
        f"setting: {{data.features: {tmp_path / 'imports'}, backbone.name: {caches.BACKBONE}}}\n"
        "baselines: [nearest-mean, linear-probe]\n"
        f"run: {{tracking_uri: 'sqlite:///{store}'}}\n"
    )
    said = answer(("sweep", str(file), "--dry-run"))
    assert said.code == 2
    assert (
        "linear-probe: mini-tiles has no validation image at 16 shots to choose by; set linear-probe.inverse_penalty"
        in said.error
    )
    assert said.error.count("\n") == 1
    assert not store.exists()
    assert answer(("sweep", str(file), "--dry-run", "shots=8")).code == 0


@pytest.mark.parametrize("method", ["own.py", "zero-shot-descriptions"])
def test_a_missing_bank_is_said_before_any_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(DESCRIBED)
    Path("words.yaml").write_text(
        "name: words\ngrid: {datasets: [mini-tiles], shots: [1], seeds: [1]}\n"
        f"setting: {{method: nearest-mean}}\nbaselines: [{method}]\n"
    )
    before = every_file(tmp_path)
    result = answer(("sweep", "words.yaml", "descriptions.bank=nowhere", "--dry-run"))
    line = "nowhere/mini-tiles.json: no descriptions of mini-tiles; add the file or set descriptions.bank"
    assert (result.code, result.error.strip()) == (2, f"error: {line}")
    assert every_file(tmp_path) == before
