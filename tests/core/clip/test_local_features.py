"""Local features against the mathematics written out; global ones against open_clip itself.

Shapes: B images, P positions, W tower width, D joint width.
"""

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from dualpt.core.clip.local_features import (
    has_local_features,
    hidden_features,
    image_features,
    n_positions,
    projection,
)

TEXT = CLIPTextCfg(context_length=16, vocab_size=60, width=16, heads=2, layers=1)
TOWERS = {
    "vit": CLIPVisionCfg(layers=3, width=32, head_width=8, patch_size=8, image_size=24),
    "vit, layer scale": CLIPVisionCfg(layers=2, width=32, head_width=8, patch_size=8, image_size=24, ls_init_value=0.3),
    "vit, pooled by mean": CLIPVisionCfg(
        layers=2, width=32, head_width=8, patch_size=8, image_size=24, pool_type="avg", final_ln_after_pool=True
    ),
    "resnet": CLIPVisionCfg(layers=(1, 1, 1, 1), width=4, head_width=8, image_size=96),
}


def tiny_clip(tower: str, quick_gelu: bool = False) -> CLIP:
    """A CLIP whose every parameter is random: open_clip starts biases and some norms at zero."""
    torch.manual_seed(3)
    model = CLIP(embed_dim=12, vision_cfg=TOWERS[tower], text_cfg=TEXT, quick_gelu=quick_gelu)
    for parameter in model.parameters():
        if parameter.ndim < 2:
            nn.init.normal_(parameter, std=0.5)
    return model.double().eval().requires_grad_(False)


def pictures(model: CLIP, count: int = 3) -> Tensor:
    size = model.visual.image_size
    return torch.randn(count, 3, *((size, size) if isinstance(size, int) else size), dtype=torch.float64)


@pytest.fixture(params=TOWERS)
def model(request: pytest.FixtureRequest) -> CLIP:
    return tiny_clip(request.param)


@pytest.mark.parametrize("local", [None, "value", "tokens"])
def test_global_features_are_open_clips(model: CLIP, local) -> None:
    images = pictures(model)
    pooled, positions = image_features(model.visual, images, local)
    assert torch.equal(pooled, model.encode_image(images))
    if local is None:
        assert positions is None
    else:
        assert positions.shape == (3, n_positions(model.visual), 12)


def test_no_hook_stays_behind(model: CLIP) -> None:
    image_features(model.visual, pictures(model), "value")
    assert all(not module._forward_hooks for module in model.modules())


def block_input(model: CLIP, images: Tensor) -> Tensor:
    """What enters the last block of a ViT: (B, 1 + P, W)."""
    visual = model.visual
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
    x = visual.ln_pre(x)
    for block in visual.transformer.resblocks[:-1]:
        x = block(x)
    return x


@pytest.mark.parametrize("tower", ["vit", "vit, layer scale", "vit, pooled by mean"])
@pytest.mark.parametrize("quick_gelu", [False, True])
def test_vit_value_path_written_out(tower: str, quick_gelu: bool) -> None:
    model = tiny_clip(tower, quick_gelu)
    images = pictures(model)
    _, positions = image_features(model.visual, images, "value")
    visual, block = model.visual, model.visual.transformer.resblocks[-1]
    width = visual.proj.shape[0]
    value_weight, value_bias = block.attn.in_proj_weight[2 * width :], block.attn.in_proj_bias[2 * width :]
    x = block_input(model, images)
    for image in range(len(images)):
        for patch in range(n_positions(visual)):
            token = x[image, 1 + patch]
            value = value_weight @ block.ln_1(token) + value_bias
            token = token + block.ls_1(block.attn.out_proj.weight @ value + block.attn.out_proj.bias)
            token = token + block.ls_2(block.mlp(block.ln_2(token)))
            expected = visual.ln_post(token) @ visual.proj
            assert torch.allclose(positions[image, patch], expected, atol=1e-12)


def test_vit_tokens_are_the_last_blocks_own() -> None:
    model = tiny_clip("vit")
    images = pictures(model)
    _, positions = image_features(model.visual, images, "tokens")
    model.visual.output_tokens = True  # open_clip returns them before the projection
    _, tokens = model.visual(images)
    assert torch.allclose(positions, tokens @ model.visual.proj, atol=1e-12)


def pool_tokens(model: CLIP, images: Tensor) -> Tensor:
    """What a ResNet's attention pool attends over: (B, 1 + P, W)."""
    visual = model.visual
    x = visual.stem(images)
    for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = stage(x)
    cells = x.flatten(2).transpose(1, 2)
    return torch.cat([cells.mean(1, keepdim=True), cells], dim=1) + visual.attnpool.positional_embedding


def test_resnet_value_path_written_out() -> None:
    model = tiny_clip("resnet")
    images = pictures(model)
    _, positions = image_features(model.visual, images, "value")
    pool = model.visual.attnpool
    tokens = pool_tokens(model, images)
    for image in range(len(images)):
        for cell in range(n_positions(model.visual)):
            value = pool.v_proj.weight @ tokens[image, 1 + cell] + pool.v_proj.bias
            expected = pool.c_proj.weight @ value + pool.c_proj.bias
            assert torch.allclose(positions[image, cell], expected, atol=1e-12)


def attend(pool: nn.Module, tokens: Tensor, query: int) -> Tensor:
    """One query of the attention pool over (1 + P, W), head by head."""
    width = tokens.shape[1] // pool.num_heads
    heads = []
    for head in range(pool.num_heads):
        part = slice(head * width, (head + 1) * width)
        scores = pool.k_proj(tokens)[:, part] @ pool.q_proj(tokens[query])[part] / width**0.5
        heads.append(scores.softmax(0) @ pool.v_proj(tokens)[:, part])
    return pool.c_proj(torch.cat(heads))


def test_resnet_tokens_take_every_position_as_query() -> None:
    model = tiny_clip("resnet")
    images = pictures(model)
    pooled, positions = image_features(model.visual, images, "tokens")
    tokens = pool_tokens(model, images)
    for image in range(len(images)):
        assert torch.allclose(pooled[image], attend(model.visual.attnpool, tokens[image], 0), atol=1e-12)
        for cell in range(n_positions(model.visual)):
            expected = attend(model.visual.attnpool, tokens[image], 1 + cell)
            assert torch.allclose(positions[image, cell], expected, atol=1e-12)


def test_value_and_tokens_differ(model: CLIP) -> None:
    images = pictures(model)
    _, value = image_features(model.visual, images, "value")
    _, tokens = image_features(model.visual, images, "tokens")
    assert not torch.allclose(value, tokens, atol=1e-3)


def test_other_towers_are_not_accepted() -> None:
    assert all(has_local_features(tiny_clip(tower).visual) for tower in TOWERS)
    pooler = CLIPVisionCfg(layers=1, width=32, head_width=8, patch_size=8, image_size=24, attentional_pool=True)
    qk_norm = CLIPVisionCfg(layers=1, width=32, head_width=8, patch_size=8, image_size=24, qk_norm=True)
    for config in (pooler, qk_norm):
        assert not has_local_features(CLIP(embed_dim=16, vision_cfg=config, text_cfg=TEXT).visual)
    assert not has_local_features(nn.Linear(2, 2))


def test_hidden_features_are_projected_to_the_global_ones(model: CLIP) -> None:
    visual, images = model.visual, pictures(model)
    plain, last = visual(images), projection(visual)
    assert last is not None
    assert torch.allclose(hidden_features(visual, images) @ last, plain)
    assert torch.equal(visual(images), plain)  # the tower is as it was
