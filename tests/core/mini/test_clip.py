"""The tiny CLIP: an ordinary open_clip CLIP that takes any class name, and refuses weights that are not its own."""

import hashlib
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from open_clip.modified_resnet import ModifiedResNet
from open_clip.tokenizer import SimpleTokenizer
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dualpt.core.errors import UserError
from dualpt.core.mini.clip import (
    MINI_CLIP_IMAGE_SIZE,
    MINI_CLIP_SHA256,
    MINI_CLIP_WEIGHTS,
    TOKEN_ROWS,
    TOKEN_VALUES,
    initial_token_table,
    load_mini_clip,
)
from dualpt.core.mini.grid import ensure_mini_grid
from dualpt.core.mini.judge import judge


@pytest.fixture(scope="module")
def model() -> CLIP:
    return load_mini_clip()


def test_is_a_frozen_open_clip_model(model: CLIP) -> None:
    assert isinstance(model, CLIP)
    assert isinstance(model.visual, ModifiedResNet)
    assert not model.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in model.parameters())


def test_feature_shapes(model: CLIP) -> None:
    images = torch.randn(2, 3, MINI_CLIP_IMAGE_SIZE, MINI_CLIP_IMAGE_SIZE)
    tokens = SimpleTokenizer(context_length=77)(["a photo of a marlet.", "a bengal tiger", "Boeing 737-800"])
    assert model.encode_image(images).shape == (2, 128)
    assert model.encode_text(tokens).shape == (3, 128)
    maps = model.visual.layer4(model.visual.layer3(model.visual.layer2(model.visual.layer1(model.visual.stem(images)))))
    assert maps.shape == (2, 512, 6, 6)
    assert len(model.visual.attnpool.positional_embedding) == 6 * 6 + 1


@pytest.mark.parametrize("name", ["Égyptian Mau", "2012 BMW M3 coupé", "中文", "🛩️", "", "word " * 200])
def test_any_class_name_encodes(model: CLIP, name: str) -> None:
    tokens = SimpleTokenizer(context_length=77)([f"a photo of a {name}."])
    assert torch.isfinite(model.encode_text(tokens)).all()


def test_tokens_that_pretraining_never_met_keep_their_seeded_rows(model: CLIP) -> None:
    met = load_file(MINI_CLIP_WEIGHTS)[TOKEN_ROWS].long()
    unmet = torch.ones(len(model.token_embedding.weight), dtype=torch.bool)
    unmet[met] = False
    table = initial_token_table()
    assert torch.equal(model.token_embedding.weight[unmet], table[unmet])
    assert not torch.equal(model.token_embedding.weight[met], table[met])


def test_shipped_file_is_small_half_precision_and_tells_its_origin() -> None:
    assert MINI_CLIP_WEIGHTS.stat().st_size < 4.2e6
    stored = load_file(MINI_CLIP_WEIGHTS)
    assert {tensor.dtype for key, tensor in stored.items() if key != TOKEN_ROWS} == {torch.float16}
    with safe_open(MINI_CLIP_WEIGHTS, "pt") as file:
        assert {"seed", "stages", "versions", "progress"} <= set(file.metadata())


def test_shipped_file_is_the_one_that_was_judged() -> None:
    assert hashlib.sha256(MINI_CLIP_WEIGHTS.read_bytes()).hexdigest() == MINI_CLIP_SHA256


@pytest.mark.slow
def test_zero_shot_on_one_dataset_is_as_judged(tmp_path: Path, model: CLIP) -> None:
    judgement = judge(model, ensure_mini_grid(tmp_path, ["mini-pets"]), "mini-pets")
    assert judgement.name_global == pytest.approx(61.9, abs=1.0)
    assert judgement.description_global == pytest.approx(67.9, abs=1.0)
    assert judgement.name_local == pytest.approx(58.1, abs=1.0)


def refusal(stored: dict[str, torch.Tensor], path: Path) -> str:
    save_file(stored, path)
    with pytest.raises(UserError) as caught:
        load_mini_clip(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    shipped = load_file(MINI_CLIP_WEIGHTS)
    assert TOKEN_ROWS in refusal({"weight": torch.zeros(3)}, path)
    assert "visual.conv1.weight" in refusal({**shipped, "visual.conv1.weight": torch.zeros(3)}, path)
    assert "extra" in refusal({**shipped, "extra": torch.zeros(3)}, path)
    missing = {key: value for key, value in shipped.items() if key != "ln_final.weight"}
    assert "ln_final.weight is missing" in refusal(missing, path)
    beyond = {**shipped, TOKEN_ROWS: shipped[TOKEN_ROWS] + 49408}
    assert "vocabulary" in refusal(beyond, path)
    assert TOKEN_VALUES in refusal({**shipped, TOKEN_VALUES: shipped[TOKEN_VALUES][:-1].clone()}, path)


def test_unreadable_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a weight file")
    for path in (broken, tmp_path / "missing.safetensors"):
        with pytest.raises(UserError) as caught:
            load_mini_clip(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
