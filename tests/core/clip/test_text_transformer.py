"""The text side against open_clip's own layers, to the last bit: features of sentences, and gradients of embeddings."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.clip.text_transformer import LayerNorm, TextTransformer, rounded
from dualpt.core.clip.whole_model import build, round_towers
from tests.core.text_side import text_tower_of

pytestmark = pytest.mark.usefixtures("private_cache")

SENTENCES = ["a photo of a cat.", "x", "a striped cloth with many, many colours", "word " * 90]
PRECISIONS = ("fp32", "bf16", "fp16")
VISION = {"layers": 1, "width": 32, "head_width": 16, "image_size": 32, "patch_size": 16}
BASE_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 2}
"""ViT-B/16's, cut to two layers."""


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    return SimpleTokenizer()(SENTENCES)


def trained_like(model: nn.Module) -> None:
    """No norm or bias is left at its initial value."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.ndim == 1 and value.is_floating_point():
                value.add_(0.2 * torch.randn(value.shape, generator=generator))


def features(tower: TextTower, tokens: Tensor) -> Tensor:
    """As open_clip pads them: on every position."""
    x = tower.embed(tokens) + tower.position_embeddings(torch.arange(tokens.shape[1]))
    return tower.encode_full(x, tokens.argmax(-1), raw=True)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("options", [{}, {"quick_gelu": True}], ids=str)
@pytest.mark.parametrize("text", [{}, {"norm_kwargs": {"eps": 1e-3}, "mlp_ratio": 3.5}], ids=str)
def test_features_are_open_clips(tokens: Tensor, precision: Any, options: Any, text: Any) -> None:
    config = {"embed_dim": 512, "vision_cfg": VISION, "text_cfg": BASE_TEXT | text, **options}
    model = build(config, precision)
    trained_like(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    round_towers(model, is_mini=False, precision=precision)
    formats = {key: str(value.dtype).removeprefix("torch.") for key, value in model.state_dict().items()}
    eps = text.get("norm_kwargs", {}).get("eps", 1e-5)
    ours = TextTransformer(rounded(state, formats), heads=8, quick_gelu=bool(options), norm_eps=eps)
    with torch.no_grad():
        assert torch.equal(
            features(TextTower(ours, SimpleTokenizer()), tokens),
            model.eval().requires_grad_(False).encode_text(tokens).float(),
        )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("name", "pretrained"), [("mini-clip", None), ("mini-clip", "random"), ("ViT-S-32-alt", "random")]
)
def test_a_backbones_features_are_those_of_its_model(
    tokens: Tensor, name: str, pretrained: str | None, precision: Any
) -> None:
    backbone = load_backbone(name, pretrained, precision)
    with torch.no_grad():
        assert torch.equal(features(backbone.text, tokens), backbone.model.encode_text(tokens).float())


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_gradients_are_open_clips(make_clip: Callable[..., Any], tokens: Tensor, quick_gelu: bool) -> None:
    model = make_clip(quick_gelu=quick_gelu).requires_grad_(False)
    trained_like(model)
    tower, ends = text_tower_of(model), tokens.argmax(-1)
    embeddings = (model.token_embedding(tokens) + model.positional_embedding).requires_grad_()

    def theirs(x: Tensor) -> Tensor:
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
        return F.normalize(x[torch.arange(len(x)), ends] @ model.text_projection, dim=-1)

    found, wanted = (encode(embeddings) for encode in (lambda x: tower.encode_full(x, ends), theirs))
    assert torch.equal(found, wanted)
    slope = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    gradients = [torch.autograd.grad((out * slope).sum(), embeddings)[0] for out in (found, wanted)]
    assert gradients[0].abs().max() > 0
    assert torch.equal(*gradients)


def test_the_model_shares_the_weights_of_the_text_side() -> None:
    backbone: Backbone = load_backbone("mini-clip", None, "bf16")
    assert backbone.model.token_embedding.weight.data_ptr() == backbone.text.model.token_embedding.weight.data_ptr()


def test_weights_are_copied_as_a_model_rounds_them() -> None:
    state = {"a": torch.tensor([1.0, 2**-9 + 2**-30], dtype=torch.float64), "b": torch.ones(2)}
    found = rounded(state, {"a": "bfloat16", "b": "float32"})
    assert torch.equal(found["a"], state["a"].float().bfloat16())
    assert found["b"].data_ptr() != state["b"].data_ptr()


def test_norms_calculate_in_the_format_of_their_weights() -> None:
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    norm = LayerNorm(8)
    assert torch.equal(norm(x), F.layer_norm(x.float(), (8,)).bfloat16())


def test_building_one_draws_no_random_numbers(make_clip: Callable[..., Any]) -> None:
    model = make_clip()
    torch.manual_seed(4)
    text_tower_of(model)
    after = torch.rand(1)
    torch.manual_seed(4)
    assert torch.equal(after, torch.rand(1))


def test_a_plain_clip_has_all_of_its_keys() -> None:
    """Those of the image side aside, nothing of a state dict is left out."""
    model = CLIP(8, CLIPVisionCfg(**VISION), CLIPTextCfg(width=16, heads=2, layers=2))
    theirs = {key for key in model.state_dict() if not key.startswith("visual.")}
    assert text_tower_of(model).model.state_dict().keys() == theirs
