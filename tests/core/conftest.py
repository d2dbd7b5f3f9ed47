"""Fixtures of the core: a private cache, a tiny dataset on disk, a tiny CLIP with random weights, and a plain reference
for its prompts: all 77 positions, open_clip's own layers."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.clip.text_tower import TextTower
from tests.core.text_side import text_tower_of

WIDTH, JOINT_WIDTH = 64, 32

NAMES = ("golden retriever", "cat", "Boeing 737-800", "black and white striped cloth", "sea", "forget-me-not")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder in place of the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DUALPT_CACHE", str(folder))
    return folder


@pytest.fixture
def tiny_textures(tmp_path: Path) -> Path:
    """A data root with DescribableTextures of three classes: 6 train, 2 val and 4 test images each, 24 x 20 pixels."""
    root = tmp_path / "data"
    images = root / "dtd" / "images"
    generator = np.random.default_rng(0)
    split: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(("banded", "polka_dotted", "woven")):
        (images / name).mkdir(parents=True)
        for index, part in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 4):
            pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / name / f"{name}_{index:04d}.png")
            split[part].append([f"{name}/{name}_{index:04d}.png", label, name])
    (root / "dtd" / "split_zhou_DescribableTextures.json").write_text(json.dumps(split))
    return root


@pytest.fixture(scope="session")
def tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()


@pytest.fixture(scope="session")
def name_tokens(tokenizer: SimpleTokenizer) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tokenizer.encode(f"{name}.")) for name in NAMES)


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., nn.Module]:
    """Builds a seeded tiny CLIP from text options."""

    def make(*, quick_gelu: bool = False, **text: Any) -> nn.Module:
        torch.manual_seed(0)
        return CLIP(
            JOINT_WIDTH,
            CLIPVisionCfg(layers=1, width=32, head_width=16, image_size=32, patch_size=16),
            CLIPTextCfg(**{"width": WIDTH, "heads": 2, "layers": 3, **text}),
            quick_gelu=quick_gelu,
        ).eval()

    return make


@pytest.fixture(scope="session")
def clip(make_clip: Callable[..., nn.Module]) -> nn.Module:
    return make_clip()


@pytest.fixture(scope="session")
def tower(clip: nn.Module, tokenizer: SimpleTokenizer) -> TextTower:
    return text_tower_of(clip, tokenizer)


@pytest.fixture(scope="session")
def double_clip(clip: nn.Module) -> nn.Module:
    """The same weights in double precision, in which two exact algorithms must agree to many digits."""
    return copy.deepcopy(clip).double()


@pytest.fixture(scope="session")
def double_tower(double_clip: nn.Module, tokenizer: SimpleTokenizer) -> TextTower:
    return text_tower_of(double_clip, tokenizer)


@pytest.fixture(scope="session")
def reference_prompts(tokenizer: SimpleTokenizer) -> Callable[..., Tensor]:
    """Features (C, N, D) of one replica's prompts, class by class, on all 77 positions."""

    def encode(model: nn.Module, contexts: Tensor, names: Sequence[Sequence[int]], position: str) -> Tensor:
        shared = contexts if contexts.ndim == 4 else contexts.expand(len(names), *contexts.shape)
        rows = [
            [_encode_one(model, tokenizer, c, name, position) for c in of_class]
            for of_class, name in zip(shared, names, strict=True)
        ]
        return torch.stack([torch.stack(row) for row in rows])

    return encode


def _encode_one(
    model: nn.Module, tokenizer: SimpleTokenizer, context: Tensor, name: Sequence[int], position: str
) -> Tensor:
    """One prompt (D,) from its context (L, W)."""
    text: Any = model
    start, end = [tokenizer.sot_token_id], [tokenizer.eot_token_id]
    n_stop = int(name[-1] == tokenizer.encode(".")[0])
    embed = text.token_embedding
    before = {"end": len(context), "middle": len(context) // 2, "front": 0}[position]
    pieces = [
        embed(torch.tensor(start)),
        context[:before],
        embed(torch.tensor(list(name[: len(name) - n_stop]))),
        context[before:],
        embed(torch.tensor([*name[len(name) - n_stop :], *end])),
    ]
    prompt = torch.cat(pieces)
    padding = embed(torch.zeros(77 - len(prompt), dtype=torch.int64))
    x = torch.cat([prompt, padding]) + text.positional_embedding
    x = text.ln_final(text.transformer(x[None], attn_mask=text.attn_mask))[0]
    return F.normalize(x[len(prompt) - 1] @ text.text_projection, dim=-1)
