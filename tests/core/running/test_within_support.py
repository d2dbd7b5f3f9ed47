"""Selection within the support set: judged on shots that were held out, tested on what all shots teach."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch

from dualpt.core.cell import Cell, check_serves, selection_of
from dualpt.core.config.sections import Value
from dualpt.core.errors import UserError
from dualpt.core.features.needs import needs_of
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellResult, CellRunner
from dualpt.core.running.within_support import Judged
from dualpt.core.selection_rules import SelectionRule, least_left
from dualpt.core.training.progress import Progress

QUICK: dict[str, Value] = {"optim.epochs": 3, "prompt.context_length": 4}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def cell(method: str, rule: SelectionRule, seed: int = 1, shots: int = 3, **more: Value) -> Cell:
    setting = method_setting(method)
    values = QUICK if setting.learns_prompts else {f"{setting.method_name}.{key}": value for key, value in more.items()}
    return Cell(setting.with_values(values), "mini-tiles", "few-shot", shots, seed, selection=rule)


def run(runner: CellRunner, *cells: Cell) -> list[CellResult]:
    runner.parts.prepare_data(cells)
    runner.check(cells)
    runner.prepare(cells)
    return runner.run(cells)


@pytest.mark.parametrize("method", ["coop", "least-squares"])
def test_tests_see_all_shots_and_the_judgement_only_those_held_out(runner: CellRunner, method: str) -> None:
    more: dict[str, Value] = {} if method == "coop" else {"l2": 1024.0}
    usual, held, cv, none = (
        run(runner, cell(method, rule, **more))[0] for rule in ("validation", "support-holdout", "support-cv", "none")
    )
    for result in (held, cv, none):
        assert result.metrics.test_accuracy == pytest.approx(usual.metrics.test_accuracy, abs=1e-6)
        assert result.sample_fingerprint == usual.sample_fingerprint
    assert none.metrics.val_accuracy is None
    assert held.metrics.val_accuracy is not None
    assert cv.metrics.val_accuracy is not None
    assert (held.metrics.val_accuracy * 8 / 100).is_integer()  # one shot of each of eight classes
    assert cv.metrics.val_accuracy * 24 / 100 == pytest.approx(round(cv.metrics.val_accuracy * 24 / 100))  # all of them
    assert held.metrics.train_seconds > 0


def test_what_is_judged_is_a_fit_without_the_shots_held_out(runner: CellRunner) -> None:
    """The same fit, written out: a cell of the images kept, judged on those held out."""
    one = cell("nearest-mean", "support-holdout")
    (result,) = run(runner, one)
    (division,) = CellInputs(one).judging
    text = runner.parts.raw_text(CellInputs(one), "train")
    kept, held = (
        runner.parts.features(one.setting, CellInputs(one).source, items).global_features[:]
        for items in (division.train, division.val)
    )
    labels = torch.tensor([item.label for item in division.train])
    means = torch.stack([kept[labels == label].mean(0) for label in range(len(text))])
    scores = held @ torch.nn.functional.normalize(means, dim=-1).T
    correct = (scores.argmax(1) == torch.tensor([item.label for item in division.val])).float().mean()
    assert result.metrics.val_accuracy == pytest.approx(100 * float(correct), abs=1e-4)


def test_options_chosen_on_what_is_held_out_are_refitted_with_all_shots(runner: CellRunner) -> None:
    (result,) = run(runner, one := cell("tip-adapter", "support-holdout"))
    assert result.learned is not None
    chosen = result.learned.chosen
    assert set(chosen) == {"alpha", "beta"}
    values = {f"tip-adapter.{name}": float(value) for name, value in chosen.items()}
    fixed = replace(one, setting=one.setting.with_values(values), selection="none")
    (again,) = run(runner, fixed)
    assert again.metrics.test_accuracy == result.metrics.test_accuracy
    assert len(result.learned.classifier.tensors()["labels"][0]) == 24


def test_whole_numbers_that_were_chosen_stay_whole(runner: CellRunner) -> None:
    (result,) = run(runner, cell("lp-plus-plus", "support-holdout"))
    assert result.failure is None
    assert result.learned is not None
    assert result.learned.chosen["steps"] >= 1


@pytest.mark.parametrize(
    ("method", "rule", "phases"),
    [("taskres", "validation", 1), ("taskres", "support-holdout", 2), ("taskres", "support-cv", 4)],
)
def test_epochs_are_told_over_all_divisions(runner: CellRunner, method: str, rule: SelectionRule, phases: int) -> None:
    cells = [cell(method, rule, seed, epochs=5, views=0) for seed in (1, 2)]
    run(runner, *cells)
    told: list[Progress] = []
    runner.run(cells, told.append)
    assert [one.epoch for one in told] == list(range(1, 5 * phases + 1))
    assert {(one.epochs, len(one.loss)) for one in told} == {(5 * phases, 2)}


def test_the_fits_that_choose_are_told_and_the_refits_are_not(runner: CellRunner) -> None:
    cells = [cell("lp-plus-plus", "support-holdout", seed) for seed in (1, 2)]
    run(runner, *cells)
    told: list[Progress] = []
    runner.run(cells, told.append)
    assert [(one.epoch, one.epochs, len(one.loss)) for one in told] == [(3 * n, 300, 2) for n in range(1, 101)]


@pytest.mark.parametrize(("method", "rule"), [("coop", "support-cv"), ("tip-adapter", "support-holdout")])
def test_a_pack_gives_what_its_cells_give_alone(runner: CellRunner, method: str, rule: SelectionRule) -> None:
    cells = [cell(method, rule, seed) for seed in (1, 2)]
    packed = run(runner, *cells)
    for one, alone in zip(packed, (run(runner, each)[0] for each in cells), strict=True):
        assert one.metrics.test_accuracy == pytest.approx(alone.metrics.test_accuracy, abs=0.5)
        assert one.metrics.val_accuracy == pytest.approx(alone.metrics.val_accuracy, abs=1e-4)


def test_progress_counts_every_training_once(runner: CellRunner) -> None:
    seen: list[tuple[int, int]] = []
    cells = [cell("coop", "support-holdout")]
    run(runner, *cells)
    runner.run(cells, report=lambda progress: seen.append((progress.epoch, progress.epochs)))
    assert [done for done, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total in seen} == {6}


def test_checkpoints_of_divisions_do_not_stay(runner: CellRunner, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    long = cell("coop", "support-cv", shots=2)
    long = replace(long, setting=long.setting.with_values({"optim.epochs": 10}))
    run(runner, long)
    runner.run([long], checkpoint=folder / "state.safetensors")
    assert [file.name for file in folder.iterdir()] == ["state.safetensors"]


def test_keys_differ_where_numbers_do(runner: CellRunner) -> None:
    run(runner, cell("coop", "none"))
    rules: tuple[SelectionRule, ...] = ("validation", "support-holdout", "support-cv", "none")
    assert len({cell_key(cell("coop", rule)) for rule in rules}) == 4


def test_nothing_of_the_splits_validation_images_is_read() -> None:
    for rule in ("support-holdout", "support-cv", "none"):
        inputs = CellInputs(one := cell("coop", rule))  # type: ignore[arg-type]
        drawn = {item.path for item in CellInputs(replace(one, selection="validation")).data.val}
        read = {item.path for need in needs_of([one]) for item in need.items}
        assert inputs.data.val == ()
        assert not drawn & read
        assert {item.path for division in inputs.judging for item in division.val} <= read


REFUSED: list[tuple[str, Sequence[int], SelectionRule, str]] = [
    ("coop", [16, 1], "support-holdout", "selection support-holdout: 1 shot can't be divided"),
    ("nearest-mean", [1], "support-cv", "selection support-cv: 1 shot can't be divided"),
    ("tip-adapter", [4], "none", "set tip-adapter.alpha and tip-adapter.beta, or choose selection: support-holdout"),
    ("tip-adapter", [4], "support-cv", "chooses options on one set of images, and support-cv has several"),
]


@pytest.mark.parametrize(("method", "shots", "rule", "said"), REFUSED)
def test_what_cannot_be_judged_is_one_line(method: str, shots: Sequence[int], rule: SelectionRule, said: str) -> None:
    with pytest.raises(UserError) as fault:
        check_serves(method_setting(method), "few-shot", shots, rule)
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


def test_zero_shot_classifiers_divide_nothing() -> None:
    check_serves(method_setting("zero-shot"), "few-shot", [1], "support-holdout")
    assert selection_of(method_setting("zero-shot"), "support-cv", searched=True) == "validation"


def test_a_fixed_recipe_that_nothing_selects_is_not_judged() -> None:
    assert selection_of(method_setting("coop"), "support-cv", searched=False) == "none"
    assert selection_of(method_setting("coop"), "support-cv", searched=True) == "support-cv"
    assert selection_of(method_setting("tip-adapter"), "support-holdout", searched=False) == "support-holdout"
    assert selection_of(method_setting("coop"), "validation", searched=False) == "validation"


def test_what_is_left_to_train_on() -> None:
    assert [least_left(shots, "support-holdout") for shots in (2, 16)] == [1, 15]
    assert [least_left(shots, "support-cv") for shots in (2, 3, 4, 5, 16)] == [1, 2, 3, 3, 12]


@dataclass(frozen=True)
class OneFit:
    val: object
    seconds: float = 1.0
    failure: str | None = None


@dataclass(frozen=True)
class Val:
    accuracy: float
    count: int


def test_divisions_count_by_their_images_and_one_failure_is_the_cells() -> None:
    assert Judged.by([OneFit(Val(100.0, 3)), OneFit(Val(0.0, 1))]) == Judged(75.0, 2.0, None)  # type: ignore[list-item]
    assert Judged.by([OneFit(Val(50.0, 2)), OneFit(None, 1.0, "nan")]) == Judged(None, 2.0, "nan")  # type: ignore[list-item]
    assert Judged.by([]) == Judged(None, 0, None)
