"""Classifiers of frozen features at work: on pixels, on other classes, with other weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.learned.feature_classifier import FeatureClassifier
from dualpt.core.learned.fitted import LearnedClassifier
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellRunner


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def fitted(runner: CellRunner, method: str) -> LearnedClassifier:
    cell = Cell(method_setting(method), "mini-tiles", "few-shot", 2, 1)
    runner.parts.prepare_data([cell])
    (result,) = runner.run([cell])
    assert result.learned is not None
    return result.learned


@pytest.mark.parametrize("method", ["nearest-mean", "tip-adapter", "prolip"])
def test_files_get_the_logits_of_stored_features(runner: CellRunner, method: str) -> None:
    learned = fitted(runner, method)
    classifier, inputs = FeatureClassifier(learned, device="cpu"), CellInputs(learned.cell)
    items = inputs.data.tests["test"][:5]
    stored = classifier.logits(runner.parts.features(learned.cell.setting, inputs.source, items))
    scored = [row for _, row in classifier.score_files([inputs.source.image_root / item.path for item in items])]
    assert torch.allclose(torch.stack(scored), stored, atol=1e-3)  # type: ignore[arg-type]
    assert classifier.best(stored[0], 2)[0].name in learned.class_names


def test_a_file_that_is_no_image_comes_with_its_reason(runner: CellRunner, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    ((_, fault),) = FeatureClassifier(fitted(runner, "nearest-mean"), device="cpu").score_files([tmp_path / "a.png"])
    assert isinstance(fault, UserError)


def test_other_classes_where_the_method_serves_them(runner: CellRunner) -> None:
    classifier = FeatureClassifier(fitted(runner, "clip-adapter"), class_names=["cat", "dog"], device="cpu")
    assert classifier.score(torch.zeros(1, 3, 48, 48)).shape == (1, 2)
    learned = fitted(runner, "nearest-mean")
    with pytest.raises(UserError, match="class names: nearest-mean serves only the classes that it was fitted to"):
        FeatureClassifier(learned, class_names=["cat", "dog"], device="cpu")


def test_other_weights_are_refused(runner: CellRunner) -> None:
    learned = replace(fitted(runner, "nearest-mean"), weights="0" * 64)
    with pytest.raises(UserError, match="the classifier was learned with other weights of mini-clip"):
        FeatureClassifier(learned, device="cpu")
