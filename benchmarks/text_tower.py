"""One text step (forward and backward to the contexts): packed prompts against C x 77 positions, side by side.

python -m benchmarks.text_tower [--classes 100] [--context-length 16] [--repeats 5]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor

from core.backbone import load_backbone
from core.mini.world import make_names
from core.prompts import PromptEncoder, initial_contexts
from core.text_tower import TextTower

RESULTS = Path("build/bench.json")


def plain_encoding(tower: TextTower, contexts: Tensor, names: list[tuple[int, ...]]) -> Tensor:
    """CoOp's way: every prompt padded to 77 positions and encoded whole. contexts (1, 1, L, W) -> (C, D)."""
    length = contexts.shape[2]
    period = tower.tokenizer.encode(".")
    ids = torch.zeros(len(names), tower.context_length, dtype=torch.int64)
    ends = []
    for row, name in zip(ids, names, strict=True):
        prompt = [tower.start_token, *[0] * length, *name, *period, tower.end_token]
        row[: len(prompt)] = torch.tensor(prompt)
        ends.append(len(prompt) - 1)
    frozen = tower.embed(ids)
    prompts = torch.cat([frozen[:, :1], contexts[0].expand(len(names), -1, -1), frozen[:, 1 + length :]], dim=1)
    positions = tower.position_embeddings(torch.arange(tower.context_length))
    return tower.encode_full(prompts + positions, torch.tensor(ends))


def seconds(encode: Callable[[], Tensor], contexts: Tensor, target: Tensor, repeats: int) -> tuple[list[float], Tensor]:
    """Wall times of forward and backward through the sum of cosines to a target (C, D), and the gradient."""
    times = []
    for _ in range(repeats + 1):
        contexts.grad = None
        start = time.perf_counter()
        (encode() * target).sum().backward()
        times.append(time.perf_counter() - start)
    assert contexts.grad is not None
    return times[1:], contexts.grad.clone()  # the first is the warm-up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--context-length", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    results = {}
    for backbone in ("mini-clip", "ViT-B-16"):
        results[backbone] = compare(backbone, arguments.classes, arguments.context_length, arguments.repeats)
        shown = results[backbone]
        print(
            f"{backbone}: packed {shown['packed_seconds']:.3f} s, 77 positions {shown['plain_seconds']:.3f} s, "
            f"ratio {shown['ratio']:.1f} (spread {shown['ratio_spread']:.1f}), "
            f"largest difference {shown['largest_difference']:.1e}"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"machine": platform.machine(), "threads": torch.get_num_threads(), "torch": version("torch")}
    RESULTS.write_text(json.dumps({"text_step_packed_against_77_positions": results, **machine}, indent=1))


def compare(name: str, n_classes: int, context_length: int, repeats: int) -> dict[str, float]:
    """Times, their ratio, and the largest difference of the gradients."""
    backbone = load_backbone(name, "random")
    assert isinstance(backbone.model, CLIP)
    tower = TextTower(backbone.model, backbone.tokenizer)
    names = [tuple(backbone.tokenizer.encode(word)) for word in make_names(n_classes, np.random.default_rng(0))]
    encoder = PromptEncoder(
        tower, tuple(names), context_length=context_length, class_token_position="end", class_specific=False
    )
    contexts = initial_contexts(tower, seeds=[0], n_prompts=1, context_length=context_length).requires_grad_()
    target = torch.nn.functional.normalize(torch.randn(n_classes, backbone.width), dim=-1)
    packed, packed_gradient = seconds(lambda: encoder.encode(contexts)[0, :, 0], contexts, target, repeats)
    plain, plain_gradient = seconds(
        lambda: plain_encoding(tower, contexts, names), contexts, target, max(2, repeats // 2)
    )
    ratios = [statistics.median(plain) / one for one in packed]
    return {
        "packed_seconds": statistics.median(packed),
        "plain_seconds": statistics.median(plain),
        "ratio": statistics.median(plain) / statistics.median(packed),
        "ratio_spread": max(ratios) - min(ratios),
        "largest_difference": float((packed_gradient - plain_gradient).abs().max()),
    }


if __name__ == "__main__":
    main()
