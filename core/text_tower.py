"""The frozen text side of an open_clip model: sentences, and prompts packed behind their shared prefix.

Shapes: M contexts encoded together (replicas x prompts), G packed sequences, T tokens in a sequence, C classes,
E classes in a sequence, W text width, H heads, D joint width, n sentences.

Causal attention has two consequences, both exact: nothing after the end token (EOT) reaches the feature, and a prefix
common to all classes has the same keys and values in all of them. `encode_packed` uses both: it sees many classes as
one sequence, `prefix | name of class 0 . EOT | name of class 1 . EOT | ...`, in which positions restart and a mask
lets each class attend to the prefix and to itself (see `core.packing`).
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import UserError

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
        self._blocks = cast(Sequence[ResidualAttentionBlock], self._transformer.resblocks)
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
    def can_pack(self) -> bool:
        """Whether `encode_packed` applies: causal attention, feature read at EOT, ordinary blocks."""
        ordinary = all(type(block) is ResidualAttentionBlock for block in self._blocks)
        return self._attention_mask is not None and self._pool in {"argmax", "eos"} and ordinary

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings (..., W) of ids (...), without positions."""
        return F.embedding(tokens.to(self.device), self._embedding.weight).to(self.dtype)

    def position_embeddings(self, positions: Tensor) -> Tensor:
        """Positional embeddings (..., W) of positions (...)."""
        return F.embedding(positions.to(self.device), self._positions).to(self.dtype)

    @torch.no_grad()
    def encode_sentences(self, sentences: Sequence[Sequence[int]]) -> Tensor:
        """Encode frozen sentences.

        Args:
            sentences: n token sequences, each from start token to end token, of any lengths.

        Returns:
            Features (n, D), in the order given.

        Raises:
            UserError: a sentence is longer than the encoder.
        """
        longest = max(map(len, sentences), default=0)
        if longest > self.context_length:
            raise UserError(
                f"a sentence of {longest} tokens does not fit the text encoder's {self.context_length}: shorten it"
            )
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        features = [self._encode_batch([sentences[i] for i in batch]) for batch in self._batches(sentences, order)]
        encoded = torch.cat(features) if features else torch.empty(0, self.width)
        return encoded[torch.tensor(order).argsort().to(encoded.device)]

    def _batches(self, sentences: Sequence[Sequence[int]], order: Sequence[int]) -> Iterator[list[int]]:
        """Split `order`, sorted by length, so that each batch stays within `TOKENS_PER_BATCH` when padded."""
        batch: list[int] = []
        for index in order:
            length = len(sentences[index]) if self.can_pack else self.context_length
            if batch and (len(batch) + 1) * length > TOKENS_PER_BATCH:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _encode_batch(self, sentences: Sequence[Sequence[int]]) -> Tensor:
        length = max(map(len, sentences)) if self.can_pack else self.context_length
        tokens = torch.full((len(sentences), length), self.pad_token)
        for row, sentence in zip(tokens, sentences, strict=True):
            row[: len(sentence)] = torch.tensor(sentence)
        ends = torch.tensor([len(sentence) - 1 for sentence in sentences], device=self.device)
        return self.encode_full(self.embed(tokens) + self.position_embeddings(torch.arange(length)), ends)

    def encode_full(self, x: Tensor, ends: Tensor) -> Tensor:
        """Encode whole sequences the plain way: every position of every sequence, through the model's own layers.

        Args:
            x: Token plus positional embeddings (n, T, W). T may be less than the context length where the encoder is
                causal and reads its feature at EOT.
            ends: Position of each sequence's end token (n,).

        Returns:
            Features (n, D).
        """
        length = x.shape[1]
        mask = None if self._attention_mask is None else self._attention_mask[:length, :length]
        x = self._final_norm(self._transformer(x, attn_mask=mask))
        pooled = {"first": 0, "last": length - 1}.get(self._pool)
        return self._project(x[torch.arange(len(x), device=x.device), ends if pooled is None else pooled])

    def encode_packed(self, x: Tensor, mask: Tensor, ends: Tensor) -> Tensor:
        """Encode packed sequences; differentiable in `x`. Requires `can_pack`.

        Args:
            x: Token plus positional embeddings (M, G, T, W).
            mask: What each token attends to (G, T, T), additive: 0 or -inf, in the tower's number format.
            ends: Positions in T of the end tokens whose features are wanted (G, E).

        Returns:
            Features (M, G, E, D).
        """
        n_contexts, n_sequences, length, width = x.shape
        rows = n_contexts * n_sequences
        end_mask = mask.gather(1, ends[..., None].expand(-1, -1, length))
        mask = mask.expand(n_contexts, -1, -1, -1).reshape(rows, 1, length, length)
        end_mask = end_mask.expand(n_contexts, -1, -1, -1).reshape(rows, 1, -1, length)

        x = x.reshape(rows, length, width)
        for block in self._blocks[:-1]:
            x = _block(block, x, mask)
        flat_ends = (ends + length * torch.arange(n_sequences, device=ends.device)[:, None]).flatten()
        x_end = x.view(n_contexts, n_sequences * length, width).index_select(1, flat_ends)
        x_end = _last_block(self._blocks[-1], x, x_end.view(rows, -1, width), end_mask)
        return self._project(self._final_norm(x_end)).view(n_contexts, n_sequences, ends.shape[1], -1)

    def _project(self, x: Tensor) -> Tensor:
        """Into the joint space, normalised: (..., W) -> (..., D)."""
        if isinstance(self._projection, nn.Linear):
            x = self._projection(x)
        elif self._projection is not None:
            x = x @ self._projection
        return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


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


def _heads(x: Tensor, heads: int) -> Tensor:
    """Split the width into heads: (n, T, W) -> (n, H, T, W / H)."""
    n, length, width = x.shape
    return x.view(n, length, heads, width // heads).transpose(1, 2)


def _block(block: ResidualAttentionBlock, x: Tensor, mask: Tensor) -> Tensor:
    """One residual attention block, (n, T, W) -> (n, T, W).

    Written out rather than called: with small models a step is bound by the number of operations, and
    `nn.MultiheadAttention` adds many of its own.
    """
    attention = block.attn
    qkv = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = (_heads(part, attention.num_heads) for part in qkv.chunk(3, dim=-1))
    return _residual(block, x, F.scaled_dot_product_attention(query, key, value, attn_mask=mask))


def _last_block(block: ResidualAttentionBlock, x: Tensor, x_end: Tensor, end_mask: Tensor) -> Tensor:
    """The last block, only for the tokens whose features are read: (n, T, W), (n, E, W) -> (n, E, W)."""
    attention, width = block.attn, x.shape[-1]
    weight, bias = cast(Tensor, attention.in_proj_weight), cast(Tensor, attention.in_proj_bias)
    query = _heads(F.linear(block.ln_1(x_end), weight[:width], bias[:width]), attention.num_heads)
    key_value = F.linear(block.ln_1(x), weight[width:], bias[width:])
    key, value = (_heads(part, attention.num_heads) for part in key_value.chunk(2, dim=-1))
    return _residual(block, x_end, F.scaled_dot_product_attention(query, key, value, attn_mask=end_mask))


def _residual(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """Add the attention's heads (n, H, T, W / H) and then the MLP to `x` (n, T, W)."""
    x = x + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    hidden = block.mlp.c_fc(block.ln_2(x))
    hidden = _quick_gelu_(hidden) if isinstance(block.mlp.gelu, QuickGELU) else block.mlp.gelu(hidden)
    return cast(Tensor, x + block.ls_2(block.mlp.c_proj(hidden)))


def _quick_gelu_(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), overwriting `x`: one tensor kept for the backward pass where open_clip's keeps three."""
    return F.silu(x.mul_(1.702)).div_(1.702)
