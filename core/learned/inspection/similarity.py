"""How close a class's prompts are to its descriptions, and to those of other classes.

Shapes: C classes, N prompts per class, K descriptions per class, D joint width. Features are L2-normalised.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dualpt.core.descriptions.bank import Sentences
from dualpt.core.training.alignment import mean_feature


@dataclass(frozen=True, eq=False)
class DescriptionSimilarity:
    """Cosines of prompts and descriptions."""

    by_class: Tensor
    """(C, C): mean prompt of the row's class with the mean description of the column's."""
    closest: tuple[tuple[str, ...], ...]
    """For each class and prompt, the sentence of its own class that the prompt is closest to (C x N)."""
    by_prompt: Tensor
    """(C, N): mean cosine of each prompt with its own class's descriptions."""

    @property
    def own(self) -> Tensor:
        """(C,)"""
        return self.by_class.diagonal()

    @property
    def rank(self) -> Tensor:
        """(C,) int64, from 1: place of the own description among all classes' descriptions."""
        return (self.by_class > self.own[:, None]).sum(1) + 1

    @property
    def rival(self) -> Tensor:
        """(C,) int64: label of the closest other class's description."""
        others = self.by_class.masked_fill(torch.eye(len(self.by_class), dtype=torch.bool), -torch.inf)
        return others.argmax(1)


@torch.no_grad()
def description_similarity(
    prompts: Tensor, descriptions: Tensor, mask: Tensor, sentences: Sentences
) -> DescriptionSimilarity:
    """Compare prompts (C, N, D) with descriptions (C, K, D), of which `mask` (C, K) exist.

    Args:
        sentences: The descriptions' texts.
    """
    prompts, descriptions, mask = prompts.cpu().float(), descriptions.cpu().float(), mask.cpu()
    by_class = mean_feature(prompts) @ mean_feature(descriptions, mask).T
    cosines = (prompts @ descriptions.mT).masked_fill(~mask[:, None], -torch.inf)  # (C, N, K)
    closest = cosines.argmax(-1).tolist()
    by_prompt = cosines.masked_fill(~mask[:, None], 0).sum(-1) / mask.sum(-1, keepdim=True)
    texts = tuple(tuple(sentences[c][k] for k in row) for c, row in enumerate(closest))
    return DescriptionSimilarity(by_class, texts, by_prompt)
