"""The frozen text side of a CLIP: its parts, and complete sentences.

Shapes: T tokens in a sequence, W text width, D joint width, n sentences.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.clip.feature_checks import check_directions
from dualpt.core.clip.text_transformer import Block, TextTransformer
from dualpt.core.errors import UserError

TOKENS_PER_BATCH = 16_384
"""Tokens of frozen sentences encoded at once; bounds memory, not results."""


class Tokenizer(Protocol):
    """The part of a tokenizer that prompts need."""

    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]:
        """BPE ids of `text`, without start and end tokens."""
        ...


class TextTower:
    """Text encoder with frozen weights, in the number format of its linear maps.

    Attention is causal and features are read at end tokens, so what stands behind those has no say.
    Features come out L2-normalised, in float32 (float64 for a float64 model).

    Args:
        model: The transformer.
        tokenizer: The model's tokenizer.
    """

    pad_token = 0

    def __init__(self, model: TextTransformer, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.start_token = tokenizer.sot_token_id
        self.end_token = tokenizer.eot_token_id
        self.logit_scale = float(model.logit_scale.exp())
        """The cosine's factor in CLIP's logits, s."""
        self.blocks = cast(Sequence[Block], model.transformer.resblocks)
        self._table = cast(Tensor, model.token_embedding.weight)
        self.vocabulary, self.width = self._table.shape
        self.context_length = len(model.positional_embedding)
        """Positions of the encoder; 77 in CLIP."""
        self.dtype = self.blocks[0].mlp.c_fc.weight.dtype
        """Number format of the transformer; token and positional embeddings are cast to it, as open_clip does."""

    @property
    def device(self) -> torch.device:
        return self._table.device

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings (..., W) of ids (...), without positions."""
        return F.embedding(tokens.to(self.device), self._table).to(self.dtype)

    def position_embeddings(self, positions: Tensor) -> Tensor:
        """Positional embeddings (..., W) of positions (...)."""
        return F.embedding(positions.to(self.device), self.model.positional_embedding).to(self.dtype)

    @torch.no_grad()
    def encode_sentences(self, sentences: Sequence[Sequence[int]], *, raw: bool = False) -> Tensor:
        """Encode frozen sentences.

        Args:
            sentences: n token sequences, each from start token to end token, of any lengths.
            raw: whether features keep the lengths that the tower gives them.

        Returns:
            Features (n, D), in the order given.

        Raises:
            UserError: a sentence is longer than the encoder, or a feature is not finite or zero.
        """
        longest = max(map(len, sentences), default=0)
        if longest > self.context_length:
            raise UserError(
                f"a sentence of {longest} tokens does not fit the text encoder's {self.context_length}: shorten it"
            )
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        features = [self._encode_batch([sentences[i] for i in batch], raw) for batch in self._batches(sentences, order)]
        encoded = torch.cat(features) if features else torch.empty(0, self.width)
        check_directions(F.normalize(encoded, dim=-1) if raw else encoded, "the features of the text tower")
        return encoded[torch.tensor(order).argsort().to(encoded.device)]

    def _batches(self, sentences: Sequence[Sequence[int]], order: Sequence[int]) -> Iterator[list[int]]:
        """Split `order`, sorted by length, so that each batch stays within `TOKENS_PER_BATCH` when padded."""
        batch: list[int] = []
        for index in order:
            length = len(sentences[index])
            if batch and (len(batch) + 1) * length > TOKENS_PER_BATCH:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _encode_batch(self, sentences: Sequence[Sequence[int]], raw: bool) -> Tensor:
        length = max(map(len, sentences))
        tokens = torch.full((len(sentences), length), self.pad_token)
        for row, sentence in zip(tokens, sentences, strict=True):
            row[: len(sentence)] = torch.tensor(sentence)
        ends = torch.tensor([len(sentence) - 1 for sentence in sentences], device=self.device)
        x = self.embed(tokens) + self.position_embeddings(torch.arange(length))
        return self.encode_full(x, ends, raw=raw)

    def encode_full(self, x: Tensor, ends: Tensor, *, raw: bool = False) -> Tensor:
        """Encode complete sequences the plain way: every position of every sequence, through the model's own layers.

        Args:
            x: Token plus positional embeddings (n, T, W); T may be less than the context length.
            ends: Position of each sequence's end token (n,).
            raw: As in `encode_sentences`.

        Returns:
            Features (n, D).
        """
        length = x.shape[1]
        x = self.model.transformer(x, self.model.attn_mask[:length, :length])
        x = x[torch.arange(len(x), device=x.device), ends]
        return self._project(x) if raw else self.read_out(x)

    def read_out(self, x: Tensor) -> Tensor:
        """From the last block's output to the joint space, normalised: (..., W) -> (..., D)."""
        return F.normalize(self._project(x), dim=-1)

    def _project(self, x: Tensor) -> Tensor:
        x = self.model.ln_final(x) @ self.model.text_projection
        return x.to(torch.promote_types(x.dtype, torch.float32))
