"""Methods that choose options of their own: what each is shown under every selection, and that the choice is kept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dualpt.core.cell import Cell, check_serves, chooses
from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.method_catalog import CATALOGUE
from dualpt.core.methods.interface import Support
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellResult, CellRunner
from dualpt.core.selection_rules import SelectionRule
from dualpt.sweeps.ledger.contents import chosen_params

CHOOSING: dict[str, set[str]] = {
    "least-squares": {"l2"},
    "tip-adapter": {"alpha", "beta"},
    "gda": {"alpha"},
    "proker": {"beta", "ridge"},
    "linear-probe": {"inverse_penalty"},
    "tip-adapter-f": {"alpha", "beta"},
    "lp-plus-plus": {"steps"},
}


def setting_of(method: str) -> Setting:
    setting = method_setting(method)
    quick: dict[str, Value] = {"views": 0, "epochs": 2}
    values = {f"{method}.{key}": quick[key] for key, _ in setting.own if key in quick}
    return setting.with_values({**values, **({"least-squares.l2": None} if method == "least-squares" else {})})


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Support]:
    """What each fit of any method is given, in order; the fits are real."""
    given: list[Support] = []
    for method in CHOOSING:
        definition = setting_of(method).definition.definition

        def watched(self: Any, support: Support, options: Sequence[Any], fit: Any = definition.fit) -> Any:
            given.append(support)
            return fit(self, support, options)

        monkeypatch.setattr(definition, "fit", watched)
    return given


def run(runner: CellRunner, one: Cell) -> CellResult:
    runner.parts.prepare_data([one])
    runner.check([one])
    runner.prepare([one])
    (result,) = runner.run([one])
    assert result.failure is None
    return result


def cell(method: str, rule: SelectionRule, shots: int = 3) -> Cell:
    return Cell(setting_of(method), "mini-tiles", "few-shot", shots, 1, selection=rule)


def test_these_are_all_the_methods_that_choose() -> None:
    assert {name for name in CATALOGUE if chooses(setting_of(name))} == CHOOSING.keys()


@pytest.mark.parametrize("method", CHOOSING)
def test_what_a_method_is_shown_is_what_the_selection_allows(
    runner: CellRunner, shown: list[Support], method: str
) -> None:
    def features(items: Sequence[Item]) -> Tensor:
        return runner.parts.features(one.setting, CellInputs(one).source, items).global_features[:]

    one = cell(method, "support-holdout")
    result = run(runner, one)
    (division,), drawn = CellInputs(one).judging, CellInputs(one).data.train
    first, last = shown
    assert first.val is not None
    torch.testing.assert_close(first.images.directions[0, 0], features(division.train), rtol=0, atol=0)
    torch.testing.assert_close(first.val.images.directions[0], features(division.val), rtol=0, atol=0)
    torch.testing.assert_close(last.images.directions[0, 0], features(drawn), rtol=0, atol=0)
    assert last.val is None
    assert {*division.train} | {*division.val} == {*drawn}
    assert not {item.path for item in CellInputs(replace(one, selection="validation")).data.val} & {
        item.path for item in drawn
    }
    assert result.learned is not None
    assert set(result.learned.chosen) == CHOOSING[method]
    assert set(chosen_params(result)) == {f"chosen.{option}" for option in CHOOSING[method]}


@pytest.mark.parametrize("method", CHOOSING)
def test_the_same_options_fixed_give_the_same_classifier_and_may_be_judged_by_folds(
    runner: CellRunner, shown: list[Support], method: str
) -> None:
    one = cell(method, "support-holdout")
    chose = run(runner, one)
    assert chose.learned is not None
    whole = {"steps"}
    values: dict[str, Value] = {
        f"{method}.{key}": int(value) if key in whole else float(value) for key, value in chose.learned.chosen.items()
    }
    fixed = replace(one, setting=one.setting.with_values(values))
    none = run(runner, replace(fixed, selection="none"))
    shown.clear()
    cv = run(runner, replace(fixed, selection="support-cv"))
    assert none.metrics.test_accuracy == cv.metrics.test_accuracy == chose.metrics.test_accuracy
    assert none.metrics.val_accuracy is None
    assert cv.metrics.val_accuracy is not None
    assert [support.labels.shape[1] for support in shown] == [16, 16, 16, 24]  # three folds of eight, then all
    assert shown[-1].val is None
    assert cv.learned is not None
    assert not cv.learned.chosen


@pytest.mark.parametrize("method", CHOOSING)
def test_what_shows_no_images_is_refused_with_what_helps(method: str) -> None:
    setting, options = setting_of(method), " and ".join(f"{method}.{key}" for key in sorted(CHOOSING[method]))
    refused: list[tuple[int, SelectionRule, str]] = [
        (4, "none", f"{method}: chooses options by images, and selection none has none; set {options}, or choose "
         "selection: support-holdout"),
        (1, "none", f"{method}: chooses options by images, and selection none has none; set {options}, or choose "
         "selection: validation"),
        (4, "support-cv", f"{method}: chooses options on one set of images, and support-cv has several; set {options}, "
         "or choose selection: support-holdout"),
        (1, "support-cv", "selection support-cv: 1 shot can't be divided"),
        (1, "support-holdout", "selection support-holdout: 1 shot can't be divided"),
    ]  # fmt: skip
    for shots, rule, said in refused:
        with pytest.raises(UserError) as fault:
            check_serves(setting, "few-shot", [shots], rule)
        assert str(fault.value).startswith(said)
        assert "\n" not in str(fault.value)


def test_rows_that_a_division_leaves_are_said_to_be_its_doing() -> None:
    with pytest.raises(UserError, match=r"gda: needs 2 rows .*images 1, which selection support-holdout leaves"):
        check_serves(setting_of("gda"), "few-shot", [2], "support-holdout")
    with pytest.raises(UserError, match=r"\(images 1, views of each 1\)"):
        check_serves(setting_of("gda"), "few-shot", [1])
