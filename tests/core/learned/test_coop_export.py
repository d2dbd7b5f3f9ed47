"""What we learned gives the same logits in the modules of CoOp and PLOT, and comes back as it went."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.arrays import ImageFeatures
from dualpt.core.cell import Cell
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.config.setting import Setting
from dualpt.core.data.sampling import n_base_classes
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import split_of
from dualpt.core.learned.classifier import PromptClassifier
from dualpt.core.learned.coop_checkpoint import Origin, import_checkpoint
from dualpt.core.learned.coop_export import checkpoint_file, epochs_of, loading_options
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.presets import method_setting
from tests.core.learned.coops_module import LENGTH, PromptLearner, coops_logits, plots_logits

DATASET = "mini-tiles"


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    section = Setting().backbone
    return load_backbone(section.name, section.pretrained, section.precision, "cpu")


def learned(backbone: Backbone, method: str, protocol: str = "few-shot", **values: object) -> LearnedPrompts:
    """As a cell of the method leaves them, with contexts drawn at random."""
    keys = {key.replace("__", "."): value for key, value in values.items()}
    setting = method_setting(method).with_values({"prompt.context_length": LENGTH, **keys})
    names = split_of(setting, DATASET).class_names
    per_class = (len(names),) if setting.prompt.class_specific else ()
    shape = (*per_class, setting.prompt.n_prompts, LENGTH, backbone.model.positional_embedding.shape[-1])
    contexts = torch.randn(shape, generator=torch.Generator().manual_seed(5)) * 0.1
    cell = Cell(setting, DATASET, protocol, 16, 1)  # type: ignore[arg-type]
    return LearnedPrompts(contexts, cell, "key", names, None, backbone.weights_fingerprint)


def loaded(prompts: LearnedPrompts, learner: PromptLearner) -> PromptLearner:
    """As that code loads a checkpoint: its own classes' tokens, and the contexts of the file."""
    state = torch.load(io.BytesIO(checkpoint_file(prompts)), weights_only=True)["state_dict"]
    for buffer in ("token_prefix", "token_suffix"):
        torch.testing.assert_close(state.pop(buffer), getattr(learner, buffer), rtol=0, atol=0)
    assert set(state) == {"ctx"}
    learner.load_state_dict(state, strict=False)
    return learner


def features(prompts: LearnedPrompts) -> ImageFeatures:
    width = PromptClassifier(prompts, device="cpu").prompt_features.shape[-1]
    generator = torch.Generator().manual_seed(6)
    pooled, patches = (F.normalize(torch.randn(*shape, width, generator=generator), dim=-1) for shape in ((5,), (5, 9)))
    return ImageFeatures(pooled, patches, torch.zeros(5, dtype=torch.int64))


def logits(prompts: LearnedPrompts) -> Tensor:
    return PromptClassifier(prompts, device="cpu").logits(features(prompts))


@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("method", ["coop", "kgcoop"])
def test_coops_module_gives_our_logits(backbone: Backbone, method: str, class_specific: bool, tmp_path: Path) -> None:
    prompts = learned(backbone, method, prompt__class_specific=class_specific, prompt__init=None)
    learner = loaded(prompts, PromptLearner(backbone, prompts.class_names, class_specific))
    expected = coops_logits(backbone, learner, features(prompts).global_features)
    torch.testing.assert_close(logits(prompts), expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(logits(back(prompts, method, tmp_path)), logits(prompts))


def test_plots_module_gives_our_logits(backbone: Backbone, tmp_path: Path) -> None:
    prompts = learned(backbone, "plot")
    learner = loaded(prompts, PromptLearner(backbone, prompts.class_names, n_prompts=4))
    images = features(prompts)
    assert isinstance(images.local_features, Tensor)
    expected = plots_logits(
        backbone, learner, images.global_features, images.local_features, sweeps=20, threshold=0.0, pooled_too=False
    )
    torch.testing.assert_close(logits(prompts), expected, rtol=1e-4, atol=2e-3)
    assert torch.equal(logits(back(prompts, "plot", tmp_path)), logits(prompts))
    assert loading_options(prompts)["MODEL.N"] == 4


def back(prompts: LearnedPrompts, method: str, folder: Path) -> LearnedPrompts:
    path = folder / "model.pth.tar-50"
    path.write_bytes(checkpoint_file(prompts))
    found = import_checkpoint(path, method, Origin(DATASET, 16, 1), {})
    assert torch.equal(found.contexts, prompts.contexts)
    assert found.cell.protocol == prompts.cell.protocol
    return found


def test_base_to_new_holds_the_base_classes(backbone: Backbone, tmp_path: Path) -> None:
    prompts = learned(backbone, "coop", "base-to-new")
    loaded(prompts, PromptLearner(backbone, prompts.class_names[: n_base_classes(len(prompts.class_names))]))
    back(prompts, "coop", tmp_path)
    assert loading_options(prompts) == {
        "TRAINER.COOP.N_CTX": LENGTH,
        "TRAINER.COOP.CSC": False,
        "TRAINER.COOP.CLASS_TOKEN_POSITION": "end",
        "DATASET.SUBSAMPLE_CLASSES": "base",
    }


def test_epochs_are_those_of_the_training(backbone: Backbone) -> None:
    prompts = learned(backbone, "coop", optim__recipe="coop")
    assert epochs_of(prompts) == 200
    assert torch.load(io.BytesIO(checkpoint_file(prompts)), weights_only=True)["epoch"] == 200


OURS_ALONE = {
    "prompts": ("dualpt", {"inference.local_weight": 0.0}, r"prompt\.n_prompts=2: the code of CoOp and PLOT doesn't"),
    "local form": ("dualpt", {}, r"backbone\.local_features=value"),
    "descriptions": ("coop", {"inference.description_weight": 1.0}, r"inference\.description_weight=1\.0"),
    "global weight": ("coop", {"inference.global_weight": 0.5}, r"inference\.global_weight=0\.5"),
    "PLOT's global weight": ("plot", {"inference.global_weight": 1.0}, r"inference\.global_weight=1\.0"),
    "position": ("plot", {"prompt.class_token_position": "front"}, r"prompt\.class_token_position=front"),
}


@pytest.mark.parametrize(("method", "values", "said"), OURS_ALONE.values(), ids=OURS_ALONE)
def test_what_that_code_classifies_otherwise_is_refused(
    backbone: Backbone, method: str, values: dict[str, object], said: str
) -> None:
    prompts = learned(backbone, method, **{key.replace(".", "__"): value for key, value in values.items()})
    with pytest.raises(UserError, match=said):
        checkpoint_file(prompts)
