"""Every published method on a GPU: it runs there, and gives what it gives on a CPU, as far as rounding allows."""

from pathlib import Path

import pytest
import torch

from dualpt.core.cell import Cell, check_serves
from dualpt.core.config.sections import Protocol
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.learned.feature_classifier import FeatureClassifier
from dualpt.core.learned.fitted import classifier_file, load_classifier
from dualpt.core.presets import METHODS, method_setting
from dualpt.core.running.cell_runner import CellResult, CellRunner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: methods run on a CPU here")

GPU = "cuda"
DATASET, SHOTS, CHANCE = "mini-tiles", 4, 100 / 8
POINTS = 2.5
"""Of accuracy: rounding moves steps, and steps move images near a boundary."""


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CellRunner]:
    """By device, each with a store of its own."""
    folder = tmp_path_factory.mktemp("stores")
    return {device: CellRunner(cache=folder / device, device=device) for device in ("cpu", GPU)}


def pack(method: str, protocol: Protocol, precision: str = "fp32") -> list[Cell]:
    """Two seeds; prompts descend for a few epochs."""
    setting = method_setting(method, protocol=protocol).with_values({"backbone.precision": precision})
    if setting.learns_prompts:
        setting = setting.with_values({"optim.epochs": 6, "data.views": 1})
    try:
        check_serves(setting, protocol, [SHOTS])
    except UserError as error:
        pytest.skip(str(error))
    return [Cell(setting, DATASET, protocol, SHOTS, seed) for seed in (1, 2)]


def run(runner: CellRunner, cells: list[Cell]) -> list[CellResult]:
    runner.parts.prepare_data(cells)
    runner.check(cells)
    runner.prepare(cells)
    results = runner.run(cells)
    assert [result.failure for result in results] == [None, None]
    return results


@pytest.mark.parametrize("protocol", ["few-shot", "base-to-new"])
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_gives_what_a_cpu_gives(runners: dict[str, CellRunner], method: str, protocol: Protocol) -> None:
    cells = pack(method, protocol)
    results = [run(runners[device], cells) for device in ("cpu", GPU)]
    for one, other in zip(*results, strict=True):
        assert (one.key, one.sample_fingerprint) == (other.key, other.sample_fingerprint)
        for name in ("test_accuracy", "base_accuracy", "new_accuracy"):
            wanted, found = getattr(one.metrics, name), getattr(other.metrics, name)
            assert found == (None if wanted is None else pytest.approx(wanted, abs=POINTS)), name


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_towers_serve_every_method(runners: dict[str, CellRunner], method: str) -> None:
    for result in run(runners[GPU], pack(method, "few-shot", "bf16")):
        assert result.metrics.test_accuracy is not None
        assert result.metrics.test_accuracy > 2 * CHANCE


@pytest.mark.parametrize("method", ["nearest-mean", "gda", "tip-adapter-f", "clap", "linear-probe", "prolip"])
def test_what_a_gpu_learned_classifies_on_either_device(
    runners: dict[str, CellRunner], tmp_path: Path, method: str
) -> None:
    cells = pack(method, "few-shot")
    learned = run(runners[GPU], cells)[0].learned
    assert learned is not None
    path = tmp_path / "classifier.safetensors"
    path.write_bytes(classifier_file(learned))
    inputs = CellInputs(cells[0])
    images = runners["cpu"].parts.features(cells[0].setting, inputs.source, inputs.data.tests["test"])
    here, there = (
        FeatureClassifier(load_classifier(path), device=device).logits(images).cpu() for device in ("cpu", GPU)
    )
    assert torch.allclose(here, there, rtol=1e-3, atol=1e-3)
