"""`dualpt train`: what it refuses before training, and what it writes after."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.results import CellMetrics
from dualpt.core.running.cell_runner import CellResult
from dualpt.sweeps.planning.data_notes import scarce_note
from dualpt.sweeps.tools.train import _print, _summary, cells_of, save_result, train_cells, train_once
from tests.core.features.imported import caches
from tests.core.own_method import SOURCE


def cells(shots: int | None = None, seeds: str = "1", overrides: tuple[str, ...] = ()) -> list[tuple[int, int]]:
    made = cells_of("mini-pets", shots, seeds, "coop", "few-shot", None, list(overrides))
    return [(cell.shots, cell.seed) for cell in made]


def test_shots_have_one_meaning_in_two_spellings() -> None:
    assert cells() == [(16, 1)]
    assert cells(2) == cells(None, overrides=("data.shots=2",)) == cells(2, overrides=("data.shots=2",)) == [(2, 1)]
    with pytest.raises(UserError, match=r"--shots 4 and data\.shots=2 differ"):
        cells(4, overrides=("data.shots=2",))


def test_a_key_of_prompts_does_nothing_for_other_methods(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(SOURCE)
    for method, said in (
        (str(own), "pulled, which learns no prompts; its own keys are pulled.pull"),
        ("gda", "gda, which learns no prompts; its own keys are gda.alpha, gda.covariance"),
        ("zero-shot", "zero-shot, which learns no prompts; it has no keys of its own"),
    ):
        with pytest.raises(UserError, match=rf"^override: optim\.epochs does nothing for {said}"):
            cells_of("mini-pets", 1, "1", method, "few-shot", None, ["optim.epochs=3"])


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "true", "two"])
def test_shots_are_whole_numbers_from_1_on(value: str) -> None:
    with pytest.raises(UserError, match=r"data\.shots: expected a whole number"):
        cells(overrides=(f"data.shots={value}",))


def test_more_shots_than_images_are_said() -> None:
    (few,) = cells_of("mini-pets", 4, "1", "coop", "few-shot", None, [])
    assert scarce_note(few) == ""
    (many,) = cells_of("mini-pets", 500, "1", "coop", "few-shot", None, [])
    assert scarce_note(many) == "12 of 12 classes have fewer than 500 training images; all 20 of each are taken"
    (none,) = cells_of("mini-pets", 500, "1", "zero-shot", "few-shot", None, [])
    assert scarce_note(none) == ""


def test_seeds_are_distinct_and_not_negative() -> None:
    assert cells(seeds="0,3,3") == [(16, 0), (16, 3)]
    with pytest.raises(UserError, match="--seeds: seeds are 0 or larger, found -1"):
        cells(seeds="1,-1")


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dualpt.core.running.cell_runner.CellRunner.check", lambda *_: pytest.fail("the folder was not examined first")
    )
    made = cells_of("mini-pets", 1, "1", "coop", "few-shot", None, [])
    with pytest.raises(UserError, match="--save: /proc/none cannot be written"):
        train_once(Console(file=io.StringIO()), made, save=Path("/proc/none"), as_json=True)


def test_values_without_a_number_are_null_in_json(tmp_path: Path) -> None:
    (cell,) = cells_of("mini-pets", 1, "1", "coop", "few-shot", None, [])
    metrics = CellMetrics(test_accuracy=50.0, train_loss=float("nan"))
    result = CellResult(cell, "key", metrics, {"test": {"beagle": 50.0, "pug": float("nan")}})
    assert _summary(result)["train/loss"] is None
    save_result(result, tmp_path)
    (path,) = tmp_path.iterdir()

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    document = json.loads(path.read_text(), parse_constant=refuse)
    assert document["per_class"] == {"test": {"beagle": 50.0, "pug": None}}


def selections(option: str | None, *overrides: str, method: str = "coop", shots: int = 4) -> set[str]:
    made = cells_of("mini-pets", shots, "1-2", method, "few-shot", None, list(overrides), option)
    return {cell.selection for cell in made}


def test_a_selection_has_one_meaning_in_two_spellings() -> None:
    assert selections(None) == {"validation"}
    assert selections("support-cv") == selections(None, "data.selection=support-cv") == {"support-cv"}
    assert selections("support-cv", method="zero-shot") == {"validation"}
    with pytest.raises(UserError, match=r"--selection none and data\.selection=support-cv differ"):
        selections("none", "data.selection=support-cv")
    with pytest.raises(UserError, match=r"--selection: unknown rule .support."):
        selections("support")
    with pytest.raises(UserError, match="1 shot can't be divided"):
        selections("support-holdout", shots=1)


def test_features_are_named_as_for_a_sweep() -> None:
    words = ["features=/there", "backbone.name=ViT-B-16"]
    (cell,) = cells_of("OxfordPets", 4, "1", "nearest-mean", "few-shot", None, words)
    assert str(cell.setting.data.features) == "/there"


def test_seeds_that_share_one_draw_are_told(tmp_path: Path) -> None:
    words = [f"features={caches.imports(tmp_path)}", f"backbone.name={caches.BACKBONE}"]
    for shots, told in ((16, True), (4, False)):
        cells = cells_of(caches.DATASET, shots, "1,2", "nearest-mean", "few-shot", None, words)
        console = Console(file=io.StringIO(), width=100)
        _print(console, train_cells(cells, console, quiet=True), None)
        assert ("one draw serves all seeds" in console.file.getvalue()) == told  # type: ignore[attr-defined]
