"""What CoOp learned gives the logits that CoOp's own module gives, and a checkpoint of something else is refused."""

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import split_of
from dualpt.core.learned.classifier import PromptClassifier
from dualpt.core.learned.coop_checkpoint import Origin, import_checkpoint, origin_of
from dualpt.core.learned.prompts import LearnedPrompts, load_prompts, save_prompts
from tests.core.learned.coops_module import LENGTH, PromptLearner, coops_logits, plots_logits, saved

ORIGIN = Origin("mini-tiles", 16, 1)


@pytest.fixture(scope="module")
def names() -> tuple[str, ...]:
    """Of the dataset that the prompts were learned on."""
    return split_of(Setting(), ORIGIN.dataset).class_names


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    section = Setting().backbone
    return load_backbone(section.name, section.pretrained, section.precision, "cpu")


def imported(path: Path, method: str = "coop", origin: Origin = ORIGIN) -> LearnedPrompts:
    return import_checkpoint(path, method, origin, {})


@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("method", ["coop", "kgcoop"])
def test_the_logits_are_those_of_coops_module(
    backbone: Backbone, names: tuple[str, ...], method: str, class_specific: bool, tmp_path: Path
) -> None:
    learner = PromptLearner(backbone, names, class_specific)
    prompts = imported(saved(learner, tmp_path / "model.pth.tar-50"), method)
    save_prompts(tmp_path / "imported.safetensors", prompts)
    classifier = PromptClassifier(load_prompts(tmp_path / "imported.safetensors"), device="cpu")
    images = F.normalize(torch.randn(7, classifier.prompt_features.shape[-1]), dim=-1)
    expected = coops_logits(backbone, learner, images)
    found = classifier.logits(ImageFeatures(images, None, torch.zeros(7, dtype=torch.int64)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert classifier.class_names == names


def test_half_precision_and_base_to_new(backbone: Backbone, names: tuple[str, ...], tmp_path: Path) -> None:
    base = names[: ceil(len(names) / 2)]
    prompts = imported(saved(PromptLearner(backbone, base), tmp_path / "model.pth.tar-50", half=True))
    assert (prompts.cell.protocol, prompts.class_names) == ("base-to-new", names)
    whole = imported(saved(PromptLearner(backbone, names), tmp_path / "model.pth.tar-5", half=True))
    assert whole.cell.protocol == "few-shot"
    assert whole.contexts.dtype == torch.float32


def test_without_its_buffers(backbone: Backbone, names: tuple[str, ...], tmp_path: Path) -> None:
    prompts = imported(saved(PromptLearner(backbone, names), tmp_path / "model.pth.tar-50", buffers=False))
    assert tuple(prompts.contexts.shape[:2]) == (1, LENGTH)


def test_another_order_of_classes_is_refused(backbone: Backbone, names: tuple[str, ...], tmp_path: Path) -> None:
    path = saved(PromptLearner(backbone, names[::-1]), tmp_path / "model.pth.tar-50")
    with pytest.raises(UserError, match=rf"'{names[0]}' isn't its class at that place, or its text tower is another"):
        imported(path)


def test_another_dataset_is_refused(backbone: Backbone, names: tuple[str, ...], tmp_path: Path) -> None:
    path = saved(PromptLearner(backbone, ("a", "b", "c")), tmp_path / "model.pth.tar-50")
    with pytest.raises(UserError, match=rf"was trained on 3 classes, the dataset has {len(names)}"):
        imported(path)
    specific = saved(PromptLearner(backbone, ("a", "b", "c"), True), tmp_path / "model.pth.tar-5", buffers=False)
    with pytest.raises(UserError, match=r"holds contexts of 3 classes, mini-tiles has"):
        imported(specific)


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"ctx": torch.randn(LENGTH, 512)}}, tmp_path / "model.pth.tar-50")
    with pytest.raises(UserError, match=r"its contexts have 512 numbers, the text tower"):
        imported(tmp_path / "model.pth.tar-50")


@pytest.mark.parametrize("dataset", ["mini-tiles", "ImageNet"])
def test_the_logits_are_those_of_plots_module(
    backbone: Backbone, names: tuple[str, ...], dataset: str, tmp_path: Path
) -> None:
    learner = PromptLearner(backbone, names, n_prompts=3)
    prompts = imported(saved(learner, tmp_path / "model.pth.tar-50"), "plot")
    assert prompts.contexts.shape == (3, LENGTH, learner.ctx.shape[-1])
    prompts = replace(prompts, cell=replace(prompts.cell, dataset=dataset))
    classifier = PromptClassifier(prompts, device="cpu")
    width = classifier.prompt_features.shape[-1]
    pooled, patches = (F.normalize(torch.randn(*shape, width), dim=-1) for shape in ((5,), (5, 9)))
    found = classifier.logits(ImageFeatures(pooled, patches, torch.zeros(5, dtype=torch.int64)))
    sweeps = prompts.cell.setting.alignment.ot_iterations
    pooled_too = dataset == "ImageNet"
    expected = plots_logits(backbone, learner, pooled, patches, sweeps=sweeps, threshold=0.0, pooled_too=pooled_too)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-3)
    # PLOT stops once its plans change by less than 0.01 on average over the batch; ours sweep on
    stopped = plots_logits(backbone, learner, pooled, patches, sweeps=100, threshold=1e-2, pooled_too=pooled_too)
    assert (found - stopped).abs().max() < 0.05
    assert found.std() > 0.3  # so the tolerances say something


def test_plot_in_half_precision_and_base_to_new(backbone: Backbone, names: tuple[str, ...], tmp_path: Path) -> None:
    base = names[: ceil(len(names) / 2)]
    learner = PromptLearner(backbone, base, n_prompts=4)
    prompts = imported(saved(learner, tmp_path / "model.pth.tar-50", half=True), "plot")
    assert (prompts.cell.protocol, prompts.cell.setting.prompt.n_prompts) == ("base-to-new", 4)
    with pytest.raises(UserError, match=r"holds contexts of 4 classes, .* \(or --method plot, whose prompts are a row"):
        imported(tmp_path / "model.pth.tar-50")
    with pytest.raises(UserError, match="holds a single prompt, and PLOT has several"):
        imported(saved(PromptLearner(backbone, names), tmp_path / "model.pth.tar-1"), "plot")


def test_a_method_that_is_more_than_its_contexts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'cocoop' isn't one of coop, coop-words, kgcoop, plot"):
        imported(tmp_path / "model.pth.tar-50", "cocoop")


def test_what_the_folders_say() -> None:
    path = Path("output/eurosat/CoOp/rn50_ep50_16shots/nctx16_cscFalse_ctpend/seed3/prompt_learner/model.pth.tar-50")
    assert origin_of(path, "EuroSAT", None, None) == Origin("EuroSAT", 16, 3)
    assert origin_of(path, "EuroSAT", 4, 1) == Origin("EuroSAT", 4, 1)
    assert origin_of(Path("output/shots_4/seed_2/m.pth"), "EuroSAT", 4, None) == Origin("EuroSAT", 4, 2)
    with pytest.raises(UserError, match=r"--shots: m\.pth doesn't say it in a folder's name"):
        origin_of(Path("m.pth"), "EuroSAT", None, 1)
