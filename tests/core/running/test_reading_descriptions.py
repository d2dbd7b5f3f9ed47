"""A user's method that reads descriptions: what it is given, of which classes, and where there are none."""

import json
from pathlib import Path

import pytest
import torch

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Protocol, Value
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellResult, CellRunner
from dualpt.core.running.feature_fits import support_of
from dualpt.core.training.alignment import mean_feature
from tests.core.own_method import DESCRIBED, SOURCE

SERVING = 'source = "a test"\n    protocols = frozenset({"few-shot", "base-to-new", "cross-dataset"})\n'
BY_NAME = """
    def for_classes(self, classifier, raw_text, scale):
        weights = scale * normalize(raw_text, dim=-1)[None]
        return LinearClassifier(weights, torch.zeros_like(weights[..., 0]))
"""
"""Other classes by their names."""


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


@pytest.fixture
def described(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(DESCRIBED.replace('source = "a test"\n', SERVING) + BY_NAME)
    return str(path)


@pytest.fixture
def ragged(tmp_path: Path) -> dict[str, Value]:
    """A bank whose classes have one sentence, two and three by turns."""
    names = CellInputs(cell("zero-shot")).class_names("train")
    bank = {name: [f"{name} {part}." for part in ("fur", "ears", "tails")[: 1 + n % 3]] for n, name in enumerate(names)}
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "mini-tiles.json").write_text(json.dumps(bank))
    return {"descriptions.bank": str(tmp_path / "bank")}


def cell(
    method: str, values: dict[str, Value] | None = None, protocol: Protocol = "few-shot", targets: tuple[str, ...] = ()
) -> Cell:
    setting = method_setting(method).with_values(values or {})
    shots, seed = (2, 1) if setting.trains else (0, 0)
    return Cell(setting, "mini-tiles", protocol, shots, seed, targets)


def run(runner: CellRunner, *cells: Cell) -> list[CellResult]:
    runner.parts.prepare_data(cells)
    runner.check(cells)
    runner.prepare(cells)
    return runner.run(cells)


@pytest.mark.parametrize("bank", ["drawn", "ragged"])
def test_class_means_of_descriptions_are_the_zero_shot_classifier(
    runner: CellRunner, described: str, ragged: dict[str, Value], bank: str
) -> None:
    values = ragged if bank == "ragged" else {}
    (own,), (built_in,) = (run(runner, cell(method, values)) for method in (described, "zero-shot-descriptions"))
    assert own.learned is not None
    text = runner.parts.class_text(CellInputs(built_in.cell), "test")
    assert text.descriptions is not None
    weights = own.learned.classifier.tensors()["weights"][0] / runner.parts.scale_of(CellInputs(built_in.cell))
    wanted = mean_feature(text.descriptions, text.description_mask)
    torch.testing.assert_close(weights, wanted, atol=1e-6, rtol=0)
    assert own.metrics.test_accuracy == built_in.metrics.test_accuracy
    assert own.per_class == built_in.per_class
    for measure, value in built_in.metrics.beside_accuracy.items():
        assert own.metrics.beside_accuracy[measure] == pytest.approx(value, abs=1e-6), measure


def test_classes_with_fewer_descriptions_are_masked(
    runner: CellRunner, described: str, ragged: dict[str, Value]
) -> None:
    one = cell(described, ragged)
    run(runner, one)
    support = support_of(runner.parts, [CellInputs(one)])
    assert support.descriptions is not None
    assert support.description_mask is not None
    assert support.descriptions.shape == (8, 3, 128)
    assert support.description_mask.sum(1).tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    lengths = support.descriptions.norm(dim=-1)
    torch.testing.assert_close(lengths, support.description_mask.float(), atol=1e-5, rtol=0)


def test_descriptions_are_of_the_classes_trained_on(runner: CellRunner, described: str) -> None:
    """Those of base classes under base-to-new; new ones, and other datasets', are known by name."""
    every, base = cell(described), cell(described, protocol="base-to-new")
    transferred = cell(described, protocol="cross-dataset", targets=("mini-pets",))
    (result,) = run(runner, base)
    (moved,) = run(runner, transferred)
    assert result.metrics.base_accuracy is not None
    assert set(moved.metrics.targets) == {"mini-pets"}
    of_every, of_base, of_source = (support_of(runner.parts, [CellInputs(one)]) for one in (every, base, transferred))
    assert of_every.descriptions is not None
    assert of_base.descriptions is not None
    assert of_source.descriptions is not None
    torch.testing.assert_close(of_base.descriptions, of_every.descriptions[:4])
    torch.testing.assert_close(of_source.descriptions, of_every.descriptions)
    (by_name,) = run(runner, cell("zero-shot", protocol="cross-dataset", targets=("mini-pets",)))
    assert moved.metrics.targets == by_name.metrics.targets


def test_without_a_bank_one_line_says_so_before_anything_is_computed(
    runner: CellRunner, described: str, tmp_path: Path
) -> None:
    lines = []
    for method in (described, "zero-shot-descriptions"):
        one = cell(method, {"descriptions.bank": str(tmp_path / "nowhere")})
        runner.parts.prepare_data([one])
        with pytest.raises(UserError) as fault:
            runner.check([one])
        lines.append(str(fault.value))
    file = tmp_path / "nowhere" / "mini-tiles.json"
    assert lines == [f"{file}: no descriptions of mini-tiles; add the file or set descriptions.bank"] * 2


def test_a_method_that_declares_none_is_given_none(runner: CellRunner, tmp_path: Path) -> None:
    path = tmp_path / "plain.py"
    path.write_text(SOURCE)
    one = cell(str(path), {"descriptions.bank": str(tmp_path / "nowhere")})
    run(runner, one)
    support = support_of(runner.parts, [CellInputs(one)])
    assert support.descriptions is None
    assert support.description_mask is None


def test_what_a_method_writes_to_descriptions_stays_in_its_pack(runner: CellRunner, described: str) -> None:
    (before,) = run(runner, cell(described))
    Path(described).with_name("writing.py").write_text(
        DESCRIBED.replace("        means =", "        support.descriptions.zero_()\n        means =")
    )
    run(runner, cell(str(Path(described).with_name("writing.py"))))
    (after,) = run(runner, cell("zero-shot-descriptions"))
    assert after.metrics.test_accuracy == before.metrics.test_accuracy
