"""What CoOp learned gives the logits that CoOp's own module gives, and a checkpoint of something else is refused."""

from math import ceil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.config import Setting
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import split_of
from dualpt.core.learned.classifier import PromptClassifier
from dualpt.core.learned.coop_checkpoint import Origin, import_checkpoint, origin_of
from dualpt.core.learned.prompts import LearnedPrompts, load_prompts, save_prompts

ORIGIN = Origin("mini-tiles", 16, 1)
LENGTH = 4


@pytest.fixture(scope="module")
def names() -> tuple[str, ...]:
    """Of the dataset that the prompts were learned on."""
    return split_of(Setting(), ORIGIN.dataset).class_names


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    section = Setting().backbone
    return load_backbone(section.name, section.pretrained, section.precision, "cpu")


class PromptLearner(nn.Module):
    """CoOp's (KaiyangZhou/CoOp@ff61507: trainers/coop.py), with the class name at the end."""

    def __init__(self, backbone: Backbone, names: tuple[str, ...], class_specific: bool = False) -> None:
        super().__init__()
        texts = [" ".join(["X"] * LENGTH) + " " + name.replace("_", " ") + "." for name in names]
        tokenizer = backbone.tokenizer
        rows = [[tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in texts]
        positions = len(backbone.model.positional_embedding)
        self.tokens = torch.tensor([row + [0] * (positions - len(row)) for row in rows])
        with torch.no_grad():
            embedding = backbone.model.token_embedding(self.tokens)
        shape = (len(names), LENGTH) if class_specific else (LENGTH,)
        generator = torch.Generator().manual_seed(3)
        self.ctx = nn.Parameter(torch.randn(*shape, embedding.shape[-1], generator=generator) * 0.1)
        self.register_buffer("token_prefix", embedding[:, :1])
        self.register_buffer("token_suffix", embedding[:, 1 + LENGTH :])

    def forward(self) -> Tensor:
        ctx = self.ctx if self.ctx.ndim == 3 else self.ctx.expand(len(self.tokens), -1, -1)
        return torch.cat([self.token_prefix, ctx, self.token_suffix], dim=1)  # type: ignore[list-item]


@torch.no_grad()
def coops_logits(backbone: Backbone, learner: PromptLearner, images: Tensor) -> Tensor:
    """As CoOp's CustomCLIP: all positions, the feature at the end token, cosine times the scale."""
    model = backbone.model
    x = learner() + model.positional_embedding
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
    text = x[torch.arange(len(x)), learner.tokens.argmax(dim=-1)] @ model.text_projection
    return model.logit_scale.exp() * images @ F.normalize(text, dim=-1).T


def saved(learner: PromptLearner, path: Path, *, half: bool = False, buffers: bool = True) -> Path:
    """As Dassl saves it."""
    state = {key: value.half() if half else value for key, value in learner.state_dict().items()}
    kept = {key: value for key, value in state.items() if buffers or key == "ctx"}
    torch.save({"state_dict": kept, "epoch": 50, "optimizer": None}, path)
    return path


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


def test_plots_prompts_are_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'plot' isn't one of coop, .*; PLOT's prompts serve as a start"):
        imported(tmp_path / "model.pth.tar-50", "plot")


def test_what_the_folders_say() -> None:
    path = Path("output/eurosat/CoOp/rn50_ep50_16shots/nctx16_cscFalse_ctpend/seed3/prompt_learner/model.pth.tar-50")
    assert origin_of(path, "EuroSAT", None, None) == Origin("EuroSAT", 16, 3)
    assert origin_of(path, "EuroSAT", 4, 1) == Origin("EuroSAT", 4, 1)
    assert origin_of(Path("output/shots_4/seed_2/m.pth"), "EuroSAT", 4, None) == Origin("EuroSAT", 4, 2)
    with pytest.raises(UserError, match=r"--shots: m\.pth doesn't say it in a folder's name"):
        origin_of(Path("m.pth"), "EuroSAT", None, 1)
