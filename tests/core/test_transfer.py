"""Transfer end to end: metrics of every target, equal to testing the same contexts by hand."""

from pathlib import Path
from statistics import fmean

import pytest
import torch

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Protocol, Value
from dualpt.core.data.catalog import IMAGENET_VARIANTS
from dualpt.core.data.protocols import targets_of
from dualpt.core.errors import UserError
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellResult, CellRunner


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def cell(root: Path, source: str, protocol: Protocol, method: str = "dualpt", **more: Value) -> Cell:
    values: dict[str, Value] = {"data.root": str(root), "optim.epochs": 3, "prompt.context_length": 4}
    setting = method_setting(method).with_values(values | {key.replace("__", "."): v for key, v in more.items()})
    named = ("UCF101", "DescribableTextures", "StanfordCars") if protocol == "cross-dataset" else None
    shots, seed = (2, 1) if setting.method == "prompt" else (0, 0)
    return Cell(setting, source, protocol, shots, seed, targets_of(protocol, source, named))


def run(runner: CellRunner, *cells: Cell) -> list[CellResult]:
    runner.check(cells)
    runner.prepare(cells)
    return runner.run(cells)


@pytest.mark.parametrize("views", [0, 1, 2])
def test_cross_dataset_reports_every_target_and_their_mean(miniature: Path, runner: CellRunner, views: int) -> None:
    (result,) = run(runner, cell(miniature, "EuroSAT", "cross-dataset", data__views=views))
    metrics = result.metrics.by_name()
    targets = ["UCF101", "DescribableTextures", "StanfordCars"]
    assert metrics["target/mean/accuracy"] == pytest.approx(
        fmean(metrics[f"target/{name}/accuracy"] for name in targets)
    )
    assert metrics["target/mean/nll"] == pytest.approx(fmean(metrics[f"target/{name}/nll"] for name in targets))
    assert {"val/accuracy", "test/accuracy"} <= set(metrics)
    assert set(result.per_class["target/UCF101"]) == {"Apply_Eye_Makeup", "Archery"}
    for name in targets:
        assert fmean(result.per_class[f"target/{name}"].values()) == pytest.approx(metrics[f"target/{name}/accuracy"])


@pytest.mark.parametrize("method", ["zero-shot", "zero-shot-descriptions"])
def test_zero_shot_on_targets_is_zero_shot_on_each(miniature: Path, runner: CellRunner, method: str) -> None:
    (moved,) = run(runner, cell(miniature, "EuroSAT", "cross-dataset", method))
    for name, accuracy in moved.metrics.targets.items():
        (own,) = run(runner, Cell(moved.cell.setting, name, "few-shot", 0, 0))
        assert accuracy == own.metrics.test_accuracy
        assert moved.per_class[f"target/{name}"] == own.per_class["test"]
        for measure in ("balanced_accuracy", "ece", "nll"):
            assert moved.metrics.by_name()[f"target/{name}/{measure}"] == own.metrics.by_name()[f"test/{measure}"]


def test_domain_generalization_tests_on_all_four_variants(miniature: Path, runner: CellRunner) -> None:
    described = cell(miniature, "ImageNet", "domain-generalization", inference__description_weight=0.5)
    (result,) = run(runner, described)
    assert tuple(result.metrics.targets) == IMAGENET_VARIANTS
    assert len(result.per_class["target/ImageNetA"]) == 2  # among its own classes
    assert list(result.per_class["target/ImageNetV2"]) == ["tench", "missile", "missile (2)", "sunglasses"]


def test_targets_do_not_change_what_is_learned(miniature: Path, runner: CellRunner) -> None:
    moved = cell(miniature, "EuroSAT", "cross-dataset")
    (result,) = run(runner, moved)
    (plain,) = run(runner, Cell(moved.setting, "EuroSAT", "few-shot", 2, 1))
    assert result.contexts is not None
    assert plain.contexts is not None
    assert torch.equal(result.contexts, plain.contexts)
    assert result.metrics.test_accuracy == plain.metrics.test_accuracy
    assert result.metrics.val_accuracy == plain.metrics.val_accuracy
    assert result.key != plain.key


def test_class_contexts_have_none_for_a_targets_classes(miniature: Path, runner: CellRunner) -> None:
    with pytest.raises(UserError, match=r"prompt\.class_specific"):
        runner.check([cell(miniature, "EuroSAT", "cross-dataset", prompt__class_specific=True)])
