"""Methods on frozen features from cells to results: packs, protocols, what they read, and faults."""

from pathlib import Path

import pytest
import torch

from dualpt.core.cell import Cell, check_serves, pack_of
from dualpt.core.config.sections import Value
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.images import View, decode
from dualpt.core.errors import UserError
from dualpt.core.features.imported.import_parts import Declared
from dualpt.core.features.imported.make_import import make_import, write_import
from dualpt.core.features.needs import needs_of
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.learned.feature_classifier import FeatureClassifier
from dualpt.core.learned.fitted import classifier_file, load_classifier
from dualpt.core.methods.interface import Images
from dualpt.core.presets import method_setting
from dualpt.core.running import frozen_parts
from dualpt.core.running.cell_runner import CellResult, CellRunner
from dualpt.core.running.feature_fits import NOT_FINITE, support_of
from tests.core.features.imported import caches
from tests.core.own_method import SOURCE

PACKED = ("nearest-mean", "least-squares", "tip-adapter", "gda", "ss-text", "proker")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def cell(method: str, seed: int = 1, protocol: str = "few-shot", shots: int = 2, **more: Value) -> Cell:
    setting = method_setting(method, protocol=protocol)  # type: ignore[arg-type]
    own = {f"{setting.method_name}.{key}": value for key, value in more.items()}
    return Cell(setting.with_values(own), "mini-tiles", protocol, shots, seed)  # type: ignore[arg-type]


def run(runner: CellRunner, *cells: Cell) -> list[CellResult]:
    runner.parts.prepare_data(cells)
    runner.check(cells)
    runner.prepare(cells)
    return runner.run(cells)


@pytest.mark.parametrize("method", PACKED)
def test_a_pack_gives_what_its_cells_give_alone(runner: CellRunner, method: str) -> None:
    cells = [cell(method, seed) for seed in (1, 2, 3)]
    packed = run(runner, *cells)
    for one, alone in zip(packed, (run(runner, each)[0] for each in cells), strict=True):
        assert one.metrics.test_accuracy == pytest.approx(alone.metrics.test_accuracy, abs=0.5)
        assert one.metrics.val_accuracy == pytest.approx(alone.metrics.val_accuracy, abs=2.0)
        assert (one.key, one.sample_fingerprint) == (alone.key, alone.sample_fingerprint)
    assert len({one.key for one in packed}) == 3


def test_a_result_is_that_of_a_cell(runner: CellRunner) -> None:
    (result,) = run(runner, cell("nearest-mean"))
    metrics = result.metrics
    assert result.failure is None
    assert metrics.train_loss is None
    assert {"test/balanced_accuracy", "test/ece", "test/nll"} <= metrics.beside_accuracy.keys()
    assert metrics.train_seconds > 0
    assert metrics.test_accuracy is not None
    assert metrics.test_accuracy > 50
    assert set(result.per_class) == {"test"}
    assert len(result.per_class["test"]) == 8


def test_what_is_saved_classifies_as_the_cell_was_judged(runner: CellRunner, tmp_path: Path) -> None:
    for method in ("gda", "tip-adapter", "least-squares"):
        (result,) = run(runner, one := cell(method))
        assert result.learned is not None
        path = tmp_path / f"{method}.safetensors"
        path.write_bytes(classifier_file(result.learned))
        classifier = FeatureClassifier(load_classifier(path), device="cpu")
        inputs = CellInputs(one)
        images = runner.parts.features(one.setting, inputs.source, inputs.data.tests["test"])
        accuracy = 100 * (classifier.logits(images).argmax(-1) == images.labels).double().mean().item()
        assert accuracy == pytest.approx(result.metrics.test_accuracy)


def test_new_classes_are_classified_by_their_names(runner: CellRunner) -> None:
    with pytest.raises(UserError, match=r"gda: new classes need gda\.covariance=class-mean"):
        check_serves(method_setting("gda"), "base-to-new", [2])
    (result,) = run(runner, cell("gda", protocol="base-to-new"))
    base, new = result.metrics.base_accuracy, result.metrics.new_accuracy
    assert base is not None
    assert new is not None
    assert min(base, new) > 25  # four classes each
    assert result.metrics.harmonic_mean == pytest.approx(2 * base * new / (base + new))
    assert result.learned is not None
    assert result.learned.class_names == result.class_names[:4]


def test_other_datasets_are_classified_by_their_names(runner: CellRunner) -> None:
    source = cell("clip-adapter", protocol="cross-dataset")
    transferred = Cell(source.setting, source.dataset, "cross-dataset", 2, 1, ("mini-pets",))
    (result,) = run(runner, transferred)
    assert set(result.metrics.targets) == {"mini-pets"}


def test_views_are_read_as_the_method_crops_them(runner: CellRunner) -> None:
    one = cell("gda", views=2, min_crop_area=0.25)
    views = {need.view for need in needs_of([one])}
    assert views == {None, View(0, 0.25), View(1, 0.25)}
    run(runner, one)
    support = support_of(runner.parts, [CellInputs(one)])
    assert support.images.directions.shape[:3] == (1, 2, 16)
    assert not torch.equal(support.images.directions[:, 0], support.images.directions[:, 1])
    assert cell_key(one) != cell_key(cell("gda", views=2, min_crop_area=0.5))


def test_raw_features_are_the_towers(runner: CellRunner) -> None:
    one = cell("tip-adapter", views=0)
    run(runner, one)
    support = support_of(runner.parts, [CellInputs(one)])
    backbone = runner.parts.towers_of(one.setting).backbone
    inputs = CellInputs(one)
    pixels = [backbone.preprocess.plain(decode(inputs.source.image_root / item.path)) for item in inputs.data.train]
    with torch.no_grad():
        raw = backbone.model.visual(torch.stack(pixels))
    assert torch.allclose(support.images.raw[0, 0], raw, atol=1e-4)
    assert support.raw_text.norm(dim=-1).sub(1).abs().max() > 0.01


def test_hidden_features_come_with_their_projection(runner: CellRunner) -> None:
    one = cell("prolip", views=0)
    run(runner, one)
    support = support_of(runner.parts, [CellInputs(one)])
    assert support.images.hidden is not None
    assert support.projection is not None
    raw = torch.nn.functional.normalize(support.images.hidden @ support.projection, dim=-1)
    assert torch.allclose(raw, support.images.directions, atol=1e-5)


def test_options_that_are_packable_may_differ_within_a_pack(tmp_path: Path, runner: CellRunner) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE)
    one, other = (cell(str(path), pull=pull) for pull in (0.0, 50.0))
    assert pack_of(one) == pack_of(other)
    packed = run(runner, one, other)
    alone = [run(runner, each)[0] for each in (one, other)]
    accuracies = [result.metrics.test_accuracy for result in packed]
    assert accuracies == [result.metrics.test_accuracy for result in alone]
    assert accuracies[0] != accuracies[1]
    assert pack_of(cell("gda")) != pack_of(cell("gda", views=3))


def test_a_fault_of_a_users_own_names_its_line(tmp_path: Path, runner: CellRunner) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace("support.text", "support.texts"))
    with pytest.raises(UserError, match=r"own\.py:21: AttributeError: 'Support' object has no attribute 'texts'"):
        run(runner, cell(str(path)))


def test_a_cell_that_depends_on_its_pack_names_its_fit(tmp_path: Path, runner: CellRunner) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace("for one in options]", "for one in options[:1] * len(options)]"))
    with pytest.raises(UserError, match=r"own\.py:19: ValueError: fit gives the last of 2 packed cells another"):
        run(runner, *(cell(str(path), pull=pull) for pull in (0.0, 50.0)))


def test_a_classifier_of_another_shape_names_its_fit(tmp_path: Path, runner: CellRunner) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace("(support.scale * weights, ", "(weights[:, :, 1:], "))
    with pytest.raises(
        UserError, match=r"own\.py:19: ValueError: the classifier's weights has shape .*127\), expected"
    ):
        run(runner, cell(str(path)))


def test_what_a_method_writes_to_text_features_stays_in_its_pack(runner: CellRunner, tmp_path: Path) -> None:
    """They are kept for all cells, and those of imports are the file's own."""
    path, folder = tmp_path / "own.py", caches.imports(tmp_path, text=True)
    (before,) = run(runner, imported_cell(folder, "ss-text"))
    path.write_text(SOURCE.replace("        pull =", "        support.raw_text.zero_()\n        pull ="))
    run(runner, imported_cell(folder, str(path)))
    (after,) = run(runner, imported_cell(folder, "ss-text"))
    assert after.metrics.test_accuracy == before.metrics.test_accuracy


def test_a_fit_that_keeps_state_names_its_line(tmp_path: Path, runner: CellRunner) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace("        pull =", "        self.seen = True\n        pull ="))
    with pytest.raises(UserError, match=r"own\.py:\d+: ValueError: fit left self\.seen"):
        run(runner, cell(str(path)))


def test_a_classifier_that_is_not_finite_fails_its_cell(tmp_path: Path, runner: CellRunner) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        SOURCE.replace("support.scale * weights", "weights / torch.tensor(support.seeds)[:, None, None].sub(1)")
    )
    failed, sound = run(runner, cell(str(path), 1), cell(str(path), 2))
    assert failed.failure == NOT_FINITE
    assert failed.metrics.test_accuracy is None
    assert failed.learned is None
    assert sound.failure is None
    assert sound.metrics.test_accuracy is not None


def test_protocols_and_shots_that_a_method_is_not_made_for(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace('source = "a test"', 'source = "a test"\n    min_shots = 2'))
    setting = method_setting(str(path))
    check_serves(setting, "few-shot", [4, 2])
    with pytest.raises(UserError, match="pulled: can't be judged under protocol base-to-new, since it serves few-shot"):
        check_serves(setting, "base-to-new", [2])
    with pytest.raises(UserError, match="pulled: needs at least 2 shots, found 1"):
        check_serves(setting, "few-shot", [4, 1])


def test_one_row_of_a_class_is_refused_before_anything_is_encoded() -> None:
    one = method_setting("gda").with_values({"gda.views": 0})
    with pytest.raises(UserError, match=r"gda: needs 2 rows of each class, and finds 1 \(images 1, views of each 1\)"):
        check_serves(one, "few-shot", [1, 4])
    check_serves(one, "few-shot", [2])
    check_serves(method_setting("gda"), "few-shot", [1])


def imported_cell(folder: Path, method: str, seed: int = 1, shots: int = 16, protocol: str = "few-shot") -> Cell:
    values: dict[str, Value] = {"data.features": str(folder), "backbone.name": caches.BACKBONE}
    setting = method_setting(method, protocol=protocol).with_values(values)  # type: ignore[arg-type]
    shots, seed = (shots, seed) if setting.trains else (0, 0)
    return Cell(setting, caches.DATASET, protocol, shots, seed)  # type: ignore[arg-type]


def test_imported_features_give_the_formulas_numbers(runner: CellRunner, tmp_path: Path) -> None:
    folder = caches.imports(tmp_path, text=True)
    train, test = caches.part(16, seed=16), caches.part(40, seed=104)
    means = torch.nn.functional.normalize(
        torch.stack([train.rows[train.labels == c].mean(0) for c in range(8)]), dim=-1
    )
    for method, weights in (("nearest-mean", means), ("zero-shot", caches.text_features())):
        (result,) = run(runner, imported_cell(folder, method))
        wanted = 100 * ((test.rows @ weights.T).argmax(1) == test.labels).float().mean()
        assert result.metrics.test_accuracy == pytest.approx(wanted.item(), abs=0.4)
    assert 40 < result.metrics.test_accuracy < 100


def test_no_tower_and_no_image_is_read(runner: CellRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_parts, "load_backbone", None)
    folder = caches.imports(tmp_path, text=True, views=3)
    cells = [imported_cell(folder, "gda", seed, shots) for shots in (4, 16) for seed in (1, 2)]
    assert needs_of(cells) == []
    for pack in (cells[:2], cells[2:]):
        assert all(result.failure is None for result in run(runner, *pack))
    by_name = run(runner, imported_cell(folder, "clip-adapter", shots=4, protocol="base-to-new"))[0].metrics
    assert by_name.harmonic_mean is not None


def test_packed_imported_cells_give_what_each_gives_alone(runner: CellRunner, tmp_path: Path) -> None:
    folder = caches.imports(tmp_path, text=True, views=2, ending="_unnormed")
    for method in ("tip-adapter", "gda-image", "least-squares", "taskres"):
        cells = [imported_cell(folder, method, seed, shots=2) for seed in (1, 2, 3)]
        packed = run(runner, *cells)
        for one, alone in zip(packed, (run(runner, each)[0] for each in cells), strict=True):
            assert one.metrics.test_accuracy == pytest.approx(alone.metrics.test_accuracy, abs=0.5)
        assert len({one.key for one in packed}) == 3


def test_what_was_learned_on_imported_features_names_no_weights(runner: CellRunner, tmp_path: Path) -> None:
    (result,) = run(runner, imported_cell(caches.imports(tmp_path), "nearest-mean"))
    assert result.learned is not None
    path = tmp_path / "learned.safetensors"
    path.write_bytes(classifier_file(result.learned))
    learned = load_classifier(path)
    test = caches.part(40, seed=104)
    logits = learned.classifier.logits(Images(test.rows))[0]
    accuracy = 100 * (logits.argmax(-1) == test.labels).double().mean().item()
    assert accuracy == pytest.approx(result.metrics.test_accuracy, abs=0.4)
    with pytest.raises(UserError, match="learned on imported features"):
        FeatureClassifier(learned, device="cpu")


def test_no_validation_image_is_found_before_anything_is_fitted(runner: CellRunner, tmp_path: Path) -> None:
    cache = caches.write_tip_cache(tmp_path / "cache")
    for name in ("val_f.pt", "val_l.pt"):
        (cache / name).unlink()
    write_import(caches.made(cache), tmp_path / "imports")
    line = (
        r"linear-probe: mini-tiles has no validation image at 16 shots to choose by; set linear-probe\.inverse_penalty"
    )
    with pytest.raises(UserError, match=line):
        runner.check([imported_cell(tmp_path / "imports", "linear-probe")])
    runner.check([imported_cell(tmp_path / "imports", "linear-probe", shots=8)])
    runner.check([imported_cell(tmp_path / "imports", "nearest-mean")])


UNDECLARED = {
    "support.images.hidden.mean(1)": r"own\.py:21: reads hidden, which needs doesn't declare; let it return "
    r"Needs\(hidden=True\)",
    "support.images.directions[:, 0] * support.images.norms[:, 0, :, None]": r"own\.py:21: reads norms, .*"
    r"Needs\(norms=True\)",
    "support.images.raw[:, 0]": r"own\.py:21: ValueError: raw features are read, .* do not declare norms=True",
    "support.images.directions[:, 0] @ support.projection": r"own\.py:21: reads projection, .* Needs\(hidden=True\)",
    "support.images.directions[:, 0] + support.descriptions.mean(1)": r"own\.py:21: reads descriptions, which needs "
    r"doesn't declare; let it return Needs\(descriptions=True\)",
    "support.images.directions[:, 0] * support.description_mask.any()": r"own\.py:21: reads description_mask, .*"
    r"Needs\(descriptions=True\)",
    "support.images.local_features[:, 0]": r"own\.py:21: Images has no local_features: an Images has directions",
}
"""What a method reads without having declared it, and the line that says so."""


@pytest.mark.parametrize("read", UNDECLARED)
def test_what_was_not_declared_is_one_line_that_says_what_to_declare(
    runner: CellRunner, tmp_path: Path, read: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace("support.images.directions[:, 0]", read))
    with pytest.raises(UserError, match=UNDECLARED[read]) as fault:
        run(runner, cell(str(path)))
    assert "\n" not in str(fault.value)


def test_what_was_read_a_line_above_is_named_where_it_was_read(runner: CellRunner, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        SOURCE.replace("        pull = torch", "        rows = support.images.hidden\n        pull = torch").replace(
            "support.images.directions[:, 0]", "rows.mean(1)"
        )
    )
    with pytest.raises(UserError, match=r"own\.py:20: reads hidden, which needs doesn't declare"):
        run(runner, cell(str(path)))


def test_other_faults_with_none_keep_their_own_words(runner: CellRunner, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace("support.images.directions[:, 0]", "None"))
    with pytest.raises(UserError, match=r"own\.py:21: TypeError: .*NoneType"):
        run(runner, cell(str(path)))


REFERENCE = {
    "DescribableTextures": ("dtd", 66.49, 71.75),
    "OxfordPets": ("oxford_pets", 84.55, 90.19),
    "OxfordFlowers": ("oxford_flowers", 95.25, 97.65),
}
"""Folder of real CLIP ViT-B/16 features; accuracy of the nearest mean and of GDA's image part on them."""


@pytest.mark.parametrize("dataset", REFERENCE)
def test_real_features_give_the_known_accuracies(
    runner: CellRunner, shared_data: Path, tmp_path: Path, dataset: str
) -> None:
    name, nearest, gda = REFERENCE[dataset]
    made = make_import(shared_data / "clip_features" / name, Declared(dataset_info(dataset), "ViT-B-16"))
    write_import(made, tmp_path)
    for method, wanted in (("nearest-mean", nearest), ("gda-image", gda)):
        values: dict[str, Value] = {"data.features": str(tmp_path), "backbone.name": "ViT-B-16"}
        (result,) = run(runner, Cell(method_setting(method).with_values(values), dataset, "few-shot", 16, 1))
        assert result.metrics.test_accuracy == pytest.approx(wanted, abs=0.005)
