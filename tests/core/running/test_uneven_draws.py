"""Every method on draws as uneven as the classes, under selections that divide them: it runs, or is refused at once."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dualpt.core.cell import Cell, chooses
from dualpt.core.config.sections import DrawKind, Value
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs, mini_root
from dualpt.core.method_catalog import CATALOGUE, load_method
from dualpt.core.mini.grid import ensure_mini_grid
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellResult, CellRunner
from dualpt.core.selection_rules import SelectionRule
from dualpt.sweeps.planning.data_notes import scarce_note

TRAINING = {"uneven": (20, 16, 12, 8, 6, 4, 2, 1), "single": (1,) * 8}
"""Training images of each of the eight classes of `mini-tiles`, as datasets of one's own."""
SHOTS = 4
REALISTIC = [9, 7, 6, 4, 3, 2, 1, 0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, mini = tmp_path_factory.mktemp("data"), mini_root()
    ensure_mini_grid(mini, ["mini-tiles"])
    split = json.loads((mini / "mini_tiles" / "split_zhou_MiniTiles.json").read_text())
    rows = {part: [split[part][row] for row in range(len(split[part]))] for part in split}
    for name, counts in TRAINING.items():
        of_class = [[row for row in rows["train"] if row[1] == label][:count] for label, count in enumerate(counts)]
        test = [row for label in range(8) for row in [row for row in rows["test"] if row[1] == label][:5]]
        kept = {"train": [row for one in of_class for row in one], "val": [], "test": test}
        for path, _, _ in (*kept["train"], *kept["test"]):
            (root / name / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(mini / "mini_tiles" / "images" / path, root / name / path)
        (root / name / "split.json").write_text(json.dumps(kept))
    (root / "datasets.yaml").write_text(
        "".join(f"{name}: {{folder: {name}, split: split.json}}\n" for name in TRAINING)
    )
    return root


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def cell(root: Path, method: str, draw: DrawKind, rule: SelectionRule = "none", dataset: str = "uneven") -> Cell:
    setting = method_setting(method)
    quick: dict[str, Value] = {"data.root": str(root), "data.draw": draw}
    if setting.fits_features:
        short = {"views": 0, "epochs": 2}
        quick |= {f"{method}.{key}": short[key] for key, _ in setting.own if key in short}
    else:
        quick |= {"optim.epochs": 2, "prompt.context_length": 2}
    return Cell(setting.with_values(quick), dataset, "few-shot", SHOTS, 1, selection=rule)


def run(runner: CellRunner, one: Cell) -> list[CellResult]:
    """As a pack of two seeds, since their numbers of images have to agree."""
    pack = [one, replace(one, seed=2)]
    runner.check(pack)
    runner.prepare(pack)
    return runner.run(pack)


@pytest.mark.parametrize("draw", ["relaxed", "realistic"])
@pytest.mark.parametrize("method", [*CATALOGUE, "coop"])
def test_every_method_on_every_draw(runner: CellRunner, root: Path, method: str, draw: DrawKind) -> None:
    one = cell(root, method, draw)
    one = replace(one, selection="support-holdout" if chooses(one.setting) else "support-cv")
    if draw == "realistic" and one.setting.fits_features and load_method(method).definition.every_class:
        with pytest.raises(
            UserError, match=rf"^{method}: needs an image of every class, .*data\.draw=relaxed"
        ) as fault:
            runner.check([one])
        assert "\n" not in str(fault.value)
        return
    for result in run(runner, one):
        assert result.failure is None
        held = sum(len(division.val) for division in CellInputs(result.cell).judging)
        assert held in ((6, 30) if draw == "relaxed" else (6, 31))  # a class with one image keeps it
        assert result.metrics.val_accuracy is not None
        assert (result.metrics.val_accuracy * held / 100) == pytest.approx(
            round(result.metrics.val_accuracy * held / 100), abs=1e-3
        )


def test_what_is_held_out_never_takes_the_last_image_of_a_class(root: Path) -> None:
    for rule in ("support-holdout", "support-cv"):
        inputs = CellInputs(cell(root, "coop", "realistic", rule))  # type: ignore[arg-type]
        counts = [[item.label for item in inputs.data.train].count(label) for label in range(8)]
        assert counts == REALISTIC
        for division in inputs.judging:
            assert {item.label for item in division.train} == {item.label for item in inputs.data.train}
            assert {*division.train} | {*division.val} == {*inputs.data.train}


REFUSED: list[tuple[str, SelectionRule, str]] = [
    ("tip-adapter", "support-holdout", "no class of single has two training images to divide, and selection support-"),
    ("tip-adapter", "validation", "single has no validation image at 4 shots to choose by"),
    (
        "gda-image",
        "none",
        "needs 2 images of some class, and the draw at 4 shots seed 1 of single leaves 1 of any class",
    ),
]


@pytest.mark.parametrize(("method", "rule", "said"), REFUSED)
def test_classes_of_one_image_are_refused_before_compute(
    runner: CellRunner, root: Path, method: str, rule: SelectionRule, said: str
) -> None:
    for draw in ("standard", "relaxed", "realistic"):
        with pytest.raises(UserError) as fault:
            runner.check([cell(root, method, draw, rule, "single")])  # type: ignore[arg-type]
        assert str(fault.value).startswith(f"{method}: {said}")
        assert "\n" not in str(fault.value)


def test_a_covariance_of_each_class_needs_two_rows_of_each(runner: CellRunner, root: Path) -> None:
    one = cell(root, "gda", "relaxed")
    fixed = replace(one, setting=one.setting.with_values({"gda.alpha": 1.0}))
    runner.check([fixed])  # shrunk: some class with two rows is enough
    each = replace(fixed, setting=fixed.setting.with_values({"gda.covariance": "class-mean"}))
    with pytest.raises(UserError, match=r"needs 2 images of each class, .* leaves 1 of '.*'; raise the shots or gda"):
        runner.check([each])


def test_what_the_draw_is_is_said(root: Path) -> None:
    def said(draw: DrawKind, shots: int) -> str:
        return scarce_note(replace(cell(root, "coop", draw), shots=shots))

    assert said("realistic", 4) == (
        "realistic draw at 4 shots: 32 training images, 0 to 9 of a class; 1 of 8 classes have none"
    )
    assert said("relaxed", 16) == (
        "relaxed draw at 16 shots: 69 training images (all there are; 128 were asked for), 1 to 20 of a class"
    )
