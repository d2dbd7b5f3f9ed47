"""The vocabulary words nearest to learned context vectors, as CoOp reads them (arXiv 2109.01134, Table 4).

Learned vectors need not be near any word at all, so distances come with a yardstick: how far words are from each
other.

Shapes: N prompts, L context tokens, V words, W text width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dualpt.core.clip.backbone import Backbone
from dualpt.core.clip.weights import MINI_CLIP
from dualpt.core.mini.clip import initial_token_table

WORD_END = "</w>"
SAMPLED_WORDS = 512
"""Words whose own nearest neighbours make the yardstick."""


@dataclass(frozen=True)
class Neighbour:
    word: str
    distance: float
    """Euclidean, in the space of token embeddings."""


@dataclass(frozen=True)
class NearestWords:
    contexts: tuple[tuple[tuple[Neighbour, ...], ...], ...]
    """For each prompt and each of its L tokens, the nearest words, nearest first."""
    words: int
    """V, the words that were compared with."""
    between_words: float
    """Median distance of a word to the nearest other word: how near 'near' is."""


def nearest_words(backbone: Backbone, contexts: Tensor, count: int) -> NearestWords:
    """Compare contexts (N, L, W) with every whole word of the tokenizer's vocabulary.

    Of the tiny CLIP's vocabulary only words that its pretraining met are compared: the others are noise.
    """
    table = backbone.text.model.token_embedding.weight.float().cpu()
    ids = _whole_words(backbone, table)
    words = table[ids]
    names = [_text(backbone, token) for token in ids.tolist()]
    distances = torch.cdist(contexts.detach().float().cpu(), words)  # (N, L, V)
    nearest = distances.topk(min(count, len(names)), largest=False)
    found = tuple(
        tuple(
            tuple(Neighbour(names[word], distance) for word, distance in zip(*token, strict=True))
            for token in zip(prompt_words, prompt_distances, strict=True)
        )
        for prompt_words, prompt_distances in zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True)
    )
    return NearestWords(found, len(names), _between_words(words))


def _whole_words(backbone: Backbone, table: Tensor) -> Tensor:
    """Ids of the tokens that are words of letters, which a reader can read."""
    decoder: dict[int, str] = backbone.tokenizer.decoder  # type: ignore[attr-defined]
    ids = torch.tensor(
        [i for i, token in decoder.items() if token.endswith(WORD_END) and token.removesuffix(WORD_END).isalpha()]
    )
    if backbone.name == MINI_CLIP:
        ids = ids[(table[ids] != initial_token_table()[ids]).any(1)]
    return ids


def _text(backbone: Backbone, token: int) -> str:
    return str(backbone.tokenizer.decode([token])).strip()  # type: ignore[attr-defined]


def _between_words(words: Tensor) -> float:
    """Median over evenly spaced words of the distance to the nearest other word."""
    picked = torch.arange(0, len(words), max(1, len(words) // SAMPLED_WORDS))
    distances = torch.cdist(words[picked], words)
    distances[torch.arange(len(picked)), picked] = torch.inf
    return float(distances.min(1).values.median())
