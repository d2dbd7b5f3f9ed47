"""Text features encoded for an import: what cells read of images and towers, and nothing of other weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dualpt.core.cell import Cell
from dualpt.core.clip.weights import MINI_CLIP_FILE
from dualpt.core.config.sections import BackboneSection
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import dataset_info
from dualpt.core.errors import UserError
from dualpt.core.features.imported.import_parts import Declared
from dualpt.core.features.imported.import_text import with_text
from dualpt.core.features.imported.make_import import MadeImport, make_import, write_import
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs, find_dataset
from dualpt.core.inputs.templates import start_of
from dualpt.core.learned.feature_classifier import FeatureClassifier
from dualpt.core.presets import NO_LLM, NO_LOCAL
from dualpt.core.running.cell_runner import CellRunner
from tests.core.features.imported import caches

DATASET, TEMPLATE = "mini-flowers", "a photo of a {}, a type of flower."
WEIGHTS = BackboneSection(name="mini-clip", pretrained=str(MINI_CLIP_FILE))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeImport:
    folder = caches.write_mini_clip_cache(tmp_path_factory.mktemp("own") / "theirs", DATASET)
    return make_import(folder, Declared(dataset_info(DATASET), "mini-clip", find_dataset(Setting(), DATASET).split))


def of(folder: Path | None, method: str, **values: object) -> Cell:
    known = {"data.features": str(folder)} if folder is not None else {}
    setting = Setting().with_values({"method": method, **known, **values})
    return Cell(setting, DATASET, "few-shot", 4 if setting.trains else 0, 1 if setting.trains else 0)


def test_cells_have_the_numbers_that_images_and_weights_give(made: MadeImport, tmp_path: Path) -> None:
    write_import(with_text(made, WEIGHTS, dataset_info(DATASET).template), tmp_path)
    runner = CellRunner()
    for method, values in (("zero-shot", {}), ("clap", {"clap.views": 0}), ("gda", {"gda.views": 0})):
        cells = [of(folder, method, **values) for folder in (None, tmp_path)]
        runner.prepare(cells)
        images, imported = (runner.run([cell])[0].metrics for cell in cells)
        assert imported.test_accuracy == images.test_accuracy, method
        nll = images.beside_accuracy["test/nll"]
        assert imported.beside_accuracy["test/nll"] == pytest.approx(nll, rel=1e-4), method


def test_prompts_are_learned_as_on_images(made: MadeImport, tmp_path: Path) -> None:
    write_import(with_text(made, WEIGHTS, TEMPLATE), tmp_path)
    runner, bank = CellRunner(), str(find_dataset(Setting(), DATASET).root / "descriptions")
    quick = {"optim.epochs": 3, "prompt.context_length": 4, "descriptions.bank": bank, **NO_LOCAL}
    for values in (quick, {**quick, **NO_LLM}):
        cells = [of(folder, "prompt", **values) for folder in (None, tmp_path)]
        runner.check(cells)
        runner.prepare(cells)
        images, imported = (runner.run([cell])[0] for cell in cells)
        assert imported.loss_curve == pytest.approx(images.loss_curve, rel=1e-5)
        assert imported.metrics.test_accuracy == images.metrics.test_accuracy
        assert imported.key != images.key
        assert imported.prompts is not None
        assert images.prompts is not None
        assert imported.prompts.weights == images.prompts.weights
        assert cell_key(of(tmp_path, "prompt", **values, **{"data.views": 4})) == imported.key, "it has no crops"


def test_prompts_are_aligned_with_the_template_that_the_import_names(made: MadeImport, tmp_path: Path) -> None:
    write_import(with_text(made, WEIGHTS, "a blurry {}, up close."), tmp_path)
    parts, values = CellRunner().parts, {**NO_LOCAL, "alignment.llm_target": "template"}
    inputs = CellInputs(of(tmp_path, "prompt", **values, **{"prompt.init": "dataset-template"}))
    assert start_of(inputs) == "a blurry"
    bank = str(find_dataset(Setting(), DATASET).root / "descriptions")
    for cell in (inputs.cell, of(tmp_path, "zero-shot-descriptions", **{"descriptions.bank": bank})):
        read = parts.class_text(CellInputs(cell), "train").template
        expected = parts.class_text(CellInputs(of(tmp_path, "zero-shot")), "train").template
        torch.testing.assert_close(read, expected, msg=cell.setting.method_name)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "holds no local features"),
        ({**NO_LOCAL, "data.views": 0}, "data.views: 0 crops images at every step"),
        ({**NO_LOCAL, "backbone.pretrained": "random"}, r"holds features of other weights \(SHA-256"),
    ],
)
def test_prompts_that_cannot_be_learned_there_are_refused(
    made: MadeImport, tmp_path: Path, values: dict[str, object], line: str
) -> None:
    write_import(with_text(made, WEIGHTS, TEMPLATE), tmp_path)
    with pytest.raises(UserError, match=line):
        CellInputs(of(tmp_path, "prompt", **values))


def test_a_cell_reads_imports_of_one_space(made: MadeImport, tmp_path: Path) -> None:
    ours = with_text(made, WEIGHTS, TEMPLATE)
    write_import(ours, tmp_path)
    write_import(replace(ours, about=replace(ours.about, dataset="mini-tiles", weights="0" * 64)), tmp_path)
    cell = Cell(of(tmp_path, "zero-shot").setting, DATASET, "cross-dataset", 0, 0, targets=("mini-tiles",))
    with pytest.raises(UserError, match=r"hold features of different weights \(b792a3befb84, 0{12}\)"):
        CellInputs(cell)


def test_what_is_learned_on_it_classifies_images(made: MadeImport, tmp_path: Path) -> None:
    write_import(with_text(made, WEIGHTS, TEMPLATE), tmp_path)
    runner, dataset = CellRunner(), find_dataset(Setting(), DATASET)
    learned = runner.run([of(tmp_path, "gda", **{"gda.views": 0})])[0].learned
    assert learned is not None
    assert learned.template == TEMPLATE
    classifier, items = FeatureClassifier(learned, device="cpu"), dataset.split.test[::20]
    scores = [logits for _, logits in classifier.score_files([dataset.image_root / item.path for item in items])]
    expected = classifier.logits(runner.parts.features(Setting(), dataset, items))
    torch.testing.assert_close(torch.stack(scores), expected)  # type: ignore[arg-type]
    raw = runner.run([of(tmp_path, "least-squares", **{"least-squares.views": 0})])[0].learned
    assert raw is not None
    with pytest.raises(UserError, match="norms where the method reads raw ones"):
        FeatureClassifier(raw, device="cpu")


def test_what_it_came_from_and_how_well_it_fits_is_noted(made: MadeImport) -> None:
    about = with_text(made, WEIGHTS, TEMPLATE).about
    (note,) = [note for note in about.notes if "text features" in note]
    assert note.startswith(f"text features of '{TEMPLATE}', weights ")
    assert "% of the training images (chance is 8.3 %)" in note
    assert about.text.startswith(f"'{TEMPLATE}', weights ")
    assert not made.about.text


@pytest.mark.parametrize(
    ("weights", "line"),
    [
        (BackboneSection(name="mini-clip", pretrained="random"), r"text features of random classify .* other weights"),
        (BackboneSection(name="mini-clip", pretrained="missing.pt"), "'missing.pt' is not a file"),
        (BackboneSection(name="ViT-S-32-alt", pretrained="random"), "width"),
    ],
)
def test_weights_that_did_not_give_the_features_are_refused(
    made: MadeImport, weights: BackboneSection, line: str
) -> None:
    with pytest.raises(UserError, match=line):
        with_text(made, weights, TEMPLATE)


def test_there_is_one_text_and_it_is_of_names(tmp_path: Path) -> None:
    theirs = caches.made(caches.write_tip_cache(tmp_path / "with", text=True))
    with pytest.raises(UserError, match=r"text features come with these \(text_weights_t.pt\)"):
        with_text(theirs, WEIGHTS, TEMPLATE)
    with pytest.raises(UserError, match="no class names to encode"):
        with_text(caches.made(caches.write_tip_cache(tmp_path / "without")), WEIGHTS, TEMPLATE)
