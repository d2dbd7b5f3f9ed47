"""The frozen text side of an open_clip model: its parts, and complete sentences.

Shapes: T tokens in a sequence, W text width, D joint width, n sentences.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.clip.feature_checks import check_directions
from dualpt.core.errors import UserError

TOKENS_PER_BATCH = 16_384
"""Tokens of frozen sentences encoded at once; bounds memory, not results."""


class Tokenizer(Protocol):
    """The part of open_clip's `SimpleTokenizer` that prompts need."""

    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]:
        """BPE ids of `text`, without start and end tokens."""
        ...


class TextTower:
    """Text encoder with frozen weights, in inference mode, in the model's own number format.

    Features come out L2-normalised, in float32 (float64 for a float64 model).

    Args:
        model: An open_clip `CLIP` or `CustomTextCLIP`; it is frozen and set to evaluation here.
        tokenizer: The model's tokenizer.

    Raises:
        UserError: the text encoder is not a plain open_clip transformer.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        text = _text_encoder(model).requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.start_token = tokenizer.sot_token_id
        self.end_token = tokenizer.eot_token_id
        self.pad_token = int(getattr(text, "pad_id", 0))
        self.logit_scale = float(cast(Tensor, model.logit_scale).detach().exp())
        """The cosine's factor in CLIP's logits, s."""

        self._embedding = cast(nn.Embedding, text.token_embedding)
        self._positions = cast(Tensor, text.positional_embedding)
        self._transformer = cast(nn.Module, text.transformer)
        self.blocks = cast(Sequence[ResidualAttentionBlock], self._transformer.resblocks)
        self._attention_mask = cast(Tensor | None, text.attn_mask)
        self._final_norm = cast(nn.Module, text.ln_final)
        self._projection = cast(nn.Linear | Tensor | None, text.text_projection)
        self._pool = str(getattr(text, "text_pool_type", None) or getattr(text, "pool_type", "argmax"))

        self.vocabulary, self.width = self._embedding.weight.shape
        self.context_length = len(self._positions)
        """Positions of the encoder; 77 in CLIP."""
        self.dtype: torch.dtype = cast(torch.dtype, self._transformer.get_cast_dtype())  # type: ignore[operator]
        """Number format of the transformer; token and positional embeddings are cast to it, as open_clip does."""

    @property
    def device(self) -> torch.device:
        return self._embedding.weight.device

    @property
    def can_share_prefixes(self) -> bool:
        """Whether a trie of prompts is exact: causal attention, features read at end tokens, ordinary blocks."""
        ordinary = all(type(block) is ResidualAttentionBlock for block in self.blocks)
        return self._attention_mask is not None and self._pool in {"argmax", "eos"} and ordinary

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings (..., W) of ids (...), without positions."""
        return F.embedding(tokens.to(self.device), self._embedding.weight).to(self.dtype)

    def position_embeddings(self, positions: Tensor) -> Tensor:
        """Positional embeddings (..., W) of positions (...)."""
        return F.embedding(positions.to(self.device), self._positions).to(self.dtype)

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
            length = len(sentences[index]) if self.can_share_prefixes else self.context_length
            if batch and (len(batch) + 1) * length > TOKENS_PER_BATCH:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _encode_batch(self, sentences: Sequence[Sequence[int]], raw: bool) -> Tensor:
        length = max(map(len, sentences)) if self.can_share_prefixes else self.context_length
        tokens = torch.full((len(sentences), length), self.pad_token)
        for row, sentence in zip(tokens, sentences, strict=True):
            row[: len(sentence)] = torch.tensor(sentence)
        ends = torch.tensor([len(sentence) - 1 for sentence in sentences], device=self.device)
        x = self.embed(tokens) + self.position_embeddings(torch.arange(length))
        return self.encode_full(x, ends, raw=raw)

    def encode_full(self, x: Tensor, ends: Tensor, *, raw: bool = False) -> Tensor:
        """Encode complete sequences the plain way: every position of every sequence, through the model's own layers.

        Args:
            x: Token plus positional embeddings (n, T, W). T may be less than the context length where the encoder is
                causal and reads its feature at EOT.
            ends: Position of each sequence's end token (n,).
            raw: As in `encode_sentences`.

        Returns:
            Features (n, D).
        """
        length = x.shape[1]
        mask = None if self._attention_mask is None else self._attention_mask[:length, :length]
        x = self._transformer(x, attn_mask=mask)
        pooled = {"first": 0, "last": length - 1}.get(self._pool)
        x = x[torch.arange(len(x), device=x.device), ends if pooled is None else pooled]
        return self._project(x) if raw else self.read_out(x)

    def read_out(self, x: Tensor) -> Tensor:
        """From the last block's output to the joint space, normalised: (..., W) -> (..., D)."""
        return F.normalize(self._project(x), dim=-1)

    def _project(self, x: Tensor) -> Tensor:
        x = self._final_norm(x)
        if isinstance(self._projection, nn.Linear):
            x = self._projection(x)
        elif self._projection is not None:
            x = x @ self._projection
        return x.to(torch.promote_types(x.dtype, torch.float32))


def _text_encoder(model: nn.Module) -> nn.Module:
    """The module that holds the text transformer: `CLIP` itself, or the `text` of `CustomTextCLIP`."""
    text = cast(nn.Module, getattr(model, "text", model))
    parts = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")
    missing = [part for part in parts if not hasattr(text, part)]
    if missing:
        raise UserError(
            f"backbone.name: its text encoder has no {', '.join(missing)}; choose a CLIP of open_clip's own"
        )
    if getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False):
        raise UserError("backbone.name: text encoders with a class embedding or padding mask (CoCa) are not supported")
    return text
