"""Both towers of each supported architecture against open_clip's own methods, on small random models.

The five architectures of the field are scaled down: their depth pattern, patch grid and head layout stay in kind,
widths and sizes shrink. Everything is compared at float32 within 1e-5, after loading from a file as a user would.
"""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.errors import UserError
from dualpt.core.prompts.encoder import PromptEncoder

pytestmark = pytest.mark.usefixtures("private_cache")

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
SCALED = {
    "RN50": {"layers": [3, 4, 6, 3], "width": 8, "image_size": 64, "head_width": 16},
    "RN101": {"layers": [3, 4, 23, 3], "width": 8, "image_size": 64, "head_width": 16},
    "ViT-B-32": {"layers": 3, "width": 48, "patch_size": 16, "image_size": 48, "head_width": 16},
    "ViT-B-16": {"layers": 3, "width": 48, "patch_size": 8, "image_size": 48, "head_width": 16},
    "ViT-L-14": {"layers": 4, "width": 64, "patch_size": 7, "image_size": 42, "head_width": 16},
}
SENTENCES = ("a photo of a cat.", "x", "a striped cloth with many, many colours")
NAMES = ("cat", "golden retriever", "Boeing 737-800")


@pytest.fixture(scope="module", autouse=True)
def scaled_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configs")
    for name, vision in SCALED.items():
        config = {"embed_dim": 24, "quick_gelu": True, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"scaled-{name}-quickgelu.json").write_text(json.dumps(config))
        (folder / f"scaled-{name}.json").write_text(json.dumps(config | {"quick_gelu": False}))
    open_clip.add_model_config(folder)


def reference(name: str, quick_gelu: bool = True) -> CLIP:
    """open_clip's model, every norm and bias away from its initial value, and a trained logit scale."""
    torch.manual_seed(3)
    model = CLIP(embed_dim=24, vision_cfg=SCALED[name], text_cfg=TEXT, quick_gelu=quick_gelu).eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.add_(0.2 * torch.rand_like(tensor) if "running_var" in key else 0.2 * torch.randn_like(tensor))
        model.logit_scale.fill_(4.6)
    return model


def pictures(model: CLIP) -> Tensor:
    torch.manual_seed(5)
    size = model.visual.image_size
    return torch.randn(3, 3, *((size, size) if isinstance(size, int) else size))


def sentence_tokens(tokenizer: SimpleTokenizer) -> list[list[int]]:
    return [[tokenizer.sot_token_id, *tokenizer.encode(s), tokenizer.eot_token_id] for s in SENTENCES]


def both_features(backbone: Backbone, images: Tensor) -> tuple[Tensor, Tensor]:
    tower = backbone.text
    return backbone.encode_images(images, "value")[0], tower.encode_sentences(sentence_tokens(SimpleTokenizer()))


def prompts_of(backbone: Backbone, contexts: Tensor) -> Tensor:
    tower = backbone.text
    names = [backbone.tokenizer.encode(f"{name}.") for name in NAMES]
    return PromptEncoder(tower, names, context_length=contexts.shape[2]).encode(contexts)


@pytest.mark.parametrize("quick_gelu", [True, False])
@pytest.mark.parametrize("name", SCALED)
def test_both_towers_are_open_clips(tmp_path: Path, name: str, quick_gelu: bool) -> None:
    model = reference(name, quick_gelu)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    full = f"scaled-{name}{'-quickgelu' if quick_gelu else ''}"
    backbone = load_backbone(full, str(tmp_path / "weights.safetensors"))
    images = pictures(model)
    with torch.no_grad():
        wanted = (
            model.encode_image(images, normalize=True),
            model.encode_text(SimpleTokenizer()(SENTENCES), normalize=True),
        )
    for found, expected in zip(both_features(backbone, images), wanted, strict=True):
        assert (found - expected).abs().max() <= 1e-5
    assert backbone.logit_scale == pytest.approx(99.484, rel=1e-4)


class TestOpenAiLayout:
    """OpenAI's state dicts: open_clip's names, half precision, and three constants that mark them."""

    @pytest.fixture(params=["ViT-B-16", "RN50"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return request.param

    def save(self, name: str, path: Path) -> tuple[CLIP, dict[str, Tensor]]:
        model = reference(name)
        state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
        constants = {"input_resolution": torch.tensor(48), "context_length": torch.tensor(77)}
        torch.save(state | constants | {"vocab_size": torch.tensor(49408)}, path)
        return model, state

    def test_half_precision_weights_in_float32_towers(self, name: str, tmp_path: Path) -> None:
        model, state = self.save(name, tmp_path / "clip.pt")
        model.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
        backbone = load_backbone(f"scaled-{name}-quickgelu", str(tmp_path / "clip.pt"))
        images = pictures(model)
        with torch.no_grad():
            wanted = (
                model.encode_image(images, normalize=True),
                model.encode_text(SimpleTokenizer()(SENTENCES), normalize=True),
            )
        for found, expected in zip(both_features(backbone, images), wanted, strict=True):
            assert (found - expected).abs().max() <= 1e-5

    def test_their_mark_enforces_quick_gelu(self, name: str, tmp_path: Path) -> None:
        self.save(name, tmp_path / "clip.pt")
        with pytest.raises(
            UserError, match=f"were trained with QuickGELU, scaled-{name} has GELU; use scaled-{name}-quick"
        ):
            load_backbone(f"scaled-{name}", str(tmp_path / "clip.pt"))


@pytest.mark.parametrize("name", ["ViT-B-16", "RN50"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_towers_with_float32_contexts(tmp_path: Path, name: str, precision) -> None:
    """Contexts and their gradients stay float32, near those of float32 towers."""
    save_file(reference(name).state_dict(), tmp_path / "weights.safetensors")
    path = str(tmp_path / "weights.safetensors")
    full, half = (load_backbone(f"scaled-{name}-quickgelu", path, p) for p in ("fp32", precision))
    tolerance = {"bf16": 0.03, "fp16": 0.004}[precision]
    images = pictures(full.model)
    for exact, rounded in zip(both_features(full, images), both_features(half, images), strict=True):
        assert rounded.dtype == torch.float32
        assert (exact - rounded).abs().max() <= tolerance
    gradients = []
    torch.manual_seed(9)
    noise, target = 0.02 * torch.randn(1, 2, 4, 32), F.normalize(torch.randn(3, 1, 24), dim=-1)
    for backbone in (full, half):
        contexts = noise.clone().requires_grad_()
        features = prompts_of(backbone, contexts)
        assert features.dtype == torch.float32
        (features * target).sum().backward()
        assert contexts.grad is not None
        assert contexts.grad.dtype == torch.float32
        gradients.append(contexts.grad)
    assert F.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0) > 0.99
