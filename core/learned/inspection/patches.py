"""Where in an image each prompt of a class looks: patch similarities, and the weights that the local form gives them.

Shapes: P patches (height x width of the tower's grid), N prompts, D joint width.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dualpt.core.clip.backbone import Backbone
from dualpt.core.training.alignment import LocalScorer
from dualpt.core.training.objective import patch_similarity
from dualpt.core.training.transport import plan_entropy


@dataclass(frozen=True, eq=False)
class PatchMaps:
    """One image and the prompts of one class."""

    similarity: Tensor
    """(N, height, width): cosines."""
    weights: Tensor
    """(N, height, width): share of each patch in its prompt's score by the cell's own local form; sums to 1."""
    plan: Tensor
    """(N, height, width): the transport plan, whatever the local form; sums to 1 over all prompts."""
    plan_entropy: float
    """Relative to the uniform plan's (0..1); 1 says that transport chose nothing."""


@torch.no_grad()
def patch_maps(patches: Tensor, prompts: Tensor, scorer: LocalScorer, grid: tuple[int, int]) -> PatchMaps:
    """Maps of one image's patches (P, D) and one class's prompts (N, D).

    Args:
        grid: Height and width of the patches' grid.
    """
    similarity = patch_similarity(patches[None, None], prompts[None, None])[0, 0, 0].float()  # (N, P)
    plan = scorer.plan(similarity)
    tensors = (similarity, scorer.weights(similarity), plan)
    similarity, weights, shown = (tensor.cpu().unflatten(-1, grid) for tensor in tensors)
    return PatchMaps(similarity, weights, shown, float(plan_entropy(plan)))


def patch_grid(backbone: Backbone) -> tuple[int, int]:
    """Height and width of the grid of local features; those of ResNets are square."""
    from open_clip.transformer import VisionTransformer

    visual = backbone.model.visual
    if isinstance(visual, VisionTransformer):
        height, width = visual.grid_size
        return int(height), int(width)
    side = math.isqrt(backbone.n_positions)
    return side, side
