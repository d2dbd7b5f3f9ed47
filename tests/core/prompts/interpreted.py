"""Runs the kernels in Triton's interpreter on a CPU, and prints what came out as JSON. Started in a process of its own,
because Triton decides when it is first imported.

    TRITON_INTERPRET=1 DUALPT_GPU_KERNELS=triton python -m tests.core.prompts.interpreted
"""

import copy
import json
from collections.abc import Sequence
from functools import cache

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from dualpt.core.clip.text_tower import TextTower
from dualpt.core.kernels import residual_norm
from dualpt.core.kernels.residual_norm import add_and_norm
from dualpt.core.kernels.sigmoid_gelu import sigmoid_gelu
from dualpt.core.prompts import fused_transformer
from dualpt.core.prompts.fused_transformer import FusedTrieTransformer
from dualpt.core.prompts.parts import PromptParts
from dualpt.core.prompts.trie import build_trie
from dualpt.core.prompts.trie_transformer import TrieTransformer
from dualpt.core.training import transport
from dualpt.core.training.transport import transport_plan
from tests.core.text_side import text_tower_of

WIDTH, LENGTH = 32, 4
TOKENIZER = SimpleTokenizer()
NAMES = ("a cat", "a cat on a mat", "sea", "forget-me-not", "sea")


@cache
def tower_of(dtype: torch.dtype, *, quick_gelu: bool = False) -> TextTower:
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=1, width=32, head_width=16, image_size=32, patch_size=16)
    text = CLIPTextCfg(width=WIDTH, heads=2, layers=3)
    return text_tower_of(CLIP(16, vision, text, quick_gelu=quick_gelu).to(dtype).eval(), TOKENIZER)


def prompts_of(tower: TextTower, position: str, names: Sequence[str] = NAMES) -> list[list[int]]:
    context = list(range(tower.vocabulary, tower.vocabulary + LENGTH))
    before = {"end": LENGTH, "middle": LENGTH // 2, "front": 0}[position]
    return [
        [tower.start_token, *context[:before], *tower.tokenizer.encode(name), *context[before:], tower.end_token]
        for name in names
    ]


def outputs(transformer: TrieTransformer, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Features, and the gradient of their product with random numbers to the rows."""
    rows = rows.clone().requires_grad_()
    features = transformer.encode(rows)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((features * weights.to(features.dtype)).sum(), rows)
    return features.detach(), gradient


def distances(
    position: str, names: Sequence[str] = NAMES, *, longest_group: int = 12, quick_gelu: bool = False, contexts: int = 1
) -> dict[str, float | bool]:
    """Of the kernels' features and gradients, in float32, from the plain path's in float64."""
    tower = tower_of(torch.float32, quick_gelu=quick_gelu)
    exact = tower_of(torch.float64, quick_gelu=quick_gelu)
    trie = build_trie(
        prompts_of(tower, position, names), vocabulary=tower.vocabulary, width=tower.width, longest_group=longest_group
    )
    generator = torch.Generator().manual_seed(1)
    rows = 0.3 * torch.randn(contexts, LENGTH, WIDTH, generator=generator, dtype=torch.float64)
    wanted, fused = outputs(TrieTransformer(exact, trie), rows), FusedTrieTransformer(tower, trie)
    first = outputs(fused, rows.float())
    second = outputs(fused, rows.float()) if contexts > 1 else first
    return {
        "groups": len(trie.ids),
        "trunk": trie.trunk,
        "frozen": trie.frozen_ids.shape[1],
        "features": relative(first[0], wanted[0]),
        "gradient": relative(first[1], wanted[1]),
        "same bits": all(torch.equal(a, b) for a, b in zip(first, second, strict=True)),
    }


def norm_distances(width: int) -> list[float]:
    """Of the sum, the norm and the gradient of both from torch's in float64, at a width that no block fills."""
    torch.manual_seed(3)
    exact = torch.nn.LayerNorm(width).double().requires_grad_(False)
    exact.weight.copy_(torch.randn(width))
    exact.bias.copy_(torch.randn(width))
    x, added, d_total, d_normed = (torch.randn(3, 5, width, dtype=torch.float64) for _ in range(4))
    left, right = (one.clone().requires_grad_() for one in (x, added))
    wanted = (left + right, exact(left + right))
    gradient = torch.autograd.grad(wanted, (left, right), (d_total, d_normed))
    left, right = (one.float().requires_grad_() for one in (x, added))
    found = add_and_norm(left, right, copy.deepcopy(exact).float())
    back = torch.autograd.grad(found, (left, right), (d_total.float(), d_normed.float()))
    return [relative(a, b) for a, b in zip((*found, *back), (*wanted, *gradient), strict=True)]


def gelu_distances() -> list[float]:
    """Of the approximation and its slope from autograd's in float64, over more numbers than a program handles."""
    exact = torch.linspace(-9, 9, 1500, dtype=torch.float64).requires_grad_()
    wanted = exact * torch.sigmoid(1.702 * exact)
    x = exact.detach().float().requires_grad_()
    found = sigmoid_gelu(x)
    slopes = [torch.autograd.grad(y.sum(), of)[0] for y, of in ((found, x), (wanted, exact))]
    return [relative(found, wanted), relative(slopes[0], slopes[1])]


def plan_distances() -> dict[str, float]:
    """Of the kernel's plans from torch's in float64: as patches lie in memory, for one row, and for relaxed columns."""
    generator = torch.Generator().manual_seed(4)
    cosines = 2 * torch.rand(2, 3, 4, 2, 11, generator=generator, dtype=torch.float64) - 1
    found = {}
    for title, similarity, relaxation in (
        ("permuted", cosines.permute(0, 3, 1, 2, 4), None),
        ("one row", cosines[0, :, :, :1], None),
        ("relaxed", cosines[0], 0.3),
    ):
        options = {"epsilon": 0.1, "iterations": 7, "relaxation": relaxation}
        exact = transport_plan(similarity, **options)
        assert transport._on_chip(similarity.float())
        plan = transport_plan(similarity.float(), **options)
        found[title] = relative(plan, exact) if plan.shape == exact.shape else float("inf")
    return found


def chosen() -> list[str]:
    """Which transformer serves a tower, and prompts of more keys than a kernel holds."""
    tower = tower_of(torch.float32)
    found = [type(PromptParts(tower, prompts_of(tower, "end"))._parts[0]).__name__]
    fused_transformer.MOST_KEYS = 4
    return [*found, type(PromptParts(tower, prompts_of(tower, "end"))._parts[0]).__name__]


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.detach().double() - wanted.detach()).norm() / wanted.detach().norm())


def cases() -> Sequence[tuple[str, dict[str, float | bool]]]:
    return [
        ("one name", distances("end", NAMES[:1])),
        ("end", distances("end", longest_group=8, quick_gelu=True, contexts=2)),
        ("middle", distances("middle", NAMES[:3])),
        ("front", distances("front", NAMES[:3])),
    ]


if __name__ == "__main__":
    others = {"gelu": gelu_distances(), "plans": plan_distances()}
    residual_norm.ROWS = 64  # the interpreter takes its time for each program
    print(json.dumps({"cases": dict(cases()), "norm": norm_distances(24), "chosen": chosen()} | others))
