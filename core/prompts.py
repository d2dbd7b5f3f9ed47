"""Learnable prompts: where contexts and class names stand, and how contexts begin.

Shapes: R replicas, C classes, N prompts per class, L context tokens, M = R * N, W text width, D joint width, G packed
sequences of T tokens.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from core.errors import UserError
from core.packing import Packing, pack
from core.random_streams import random_stream
from core.text_tower import TextTower

ClassTokenPosition = Literal["end", "middle", "front"]


class PromptEncoder:
    """Encodes `[SOS] context name . [EOS]` of every class, for any values of the context.

    All that does not depend on the contexts is computed here, once: token and positional embeddings, where context
    rows go, and the attention mask.

    Args:
        tower: The frozen text encoder.
        name_tokens: BPE ids of each class name (C sequences).
        context_length: Context tokens per prompt, L.
        class_token_position: The name after the context, in its middle (after the first L // 2 tokens), or before it.
        class_specific: One context per class instead of one shared by all classes.

    Raises:
        UserError: the longest prompt does not fit the encoder.
    """

    def __init__(
        self,
        tower: TextTower,
        name_tokens: Sequence[Sequence[int]],
        *,
        context_length: int,
        class_token_position: ClassTokenPosition = "end",
        class_specific: bool = False,
    ) -> None:
        check_prompt_lengths(tower, name_tokens, [f"class {c}" for c in range(len(name_tokens))], context_length)
        self._tower = tower
        self._class_specific = class_specific
        (period,) = tower.tokenizer.encode(".")
        prompts = []
        for c, name in enumerate(name_tokens):
            first = tower.vocabulary + (c * context_length if class_specific else 0)
            context = range(first, first + context_length)
            body = arrange(context, name, class_token_position)
            prompts.append([tower.start_token, *body, period, tower.end_token])

        packing = (
            pack(prompts) if tower.can_pack else _one_sequence_each(prompts, tower.context_length, tower.pad_token)
        )
        ids = packing.ids.to(tower.device).flatten()
        self._shape = packing.ids.shape
        self._slots = (ids >= tower.vocabulary).nonzero().flatten()
        """(S,): places in the flattened (G * T) that hold a context row,"""
        self._rows = ids[self._slots] - tower.vocabulary
        """(S,): and which row of the contexts each holds."""
        tokens = tower.embed(ids.where(ids < tower.vocabulary, 0)).index_fill(0, self._slots, 0.0)
        self._constant = tokens + tower.position_embeddings(packing.positions.flatten())
        """(G * T, W): the sum of all that is not learnable."""
        self._ends = packing.ends.to(tower.device)
        self._classes = packing.classes.to(tower.device)
        mask = torch.zeros(packing.attends.shape, dtype=tower.dtype)
        self._mask = mask.masked_fill(~packing.attends, -torch.inf).to(tower.device)

    def encode(self, contexts: Tensor) -> Tensor:
        """Normalised features of every prompt; differentiable.

        Args:
            contexts: (R, N, L, W), or (R, C, N, L, W) where contexts are class-specific.

        Returns:
            (R, C, N, D), in float32 or the contexts' wider format.
        """
        replicas, n_prompts = contexts.shape[0], contexts.shape[-3]
        if self._class_specific:
            contexts = contexts.transpose(1, 2)
        rows = contexts.reshape(replicas * n_prompts, -1, contexts.shape[-1]).to(self._tower.dtype)
        x = self._constant.expand(len(rows), -1, -1).index_add(1, self._slots, rows.index_select(1, self._rows))
        if self._tower.can_pack:
            features = self._tower.encode_packed(x.view(len(rows), *self._shape, -1), self._mask, self._ends)
            features = features.flatten(1, 2).index_select(1, self._classes)
        else:
            ends = self._ends.expand(len(rows), -1, -1).flatten()
            features = self._tower.encode_full(x.view(-1, self._shape[1], self._tower.width), ends)
        return features.view(replicas, n_prompts, len(self._classes), -1).transpose(1, 2)


def arrange(context: Sequence[int], name: Sequence[int], position: ClassTokenPosition) -> list[int]:
    """Context and name in reading order.

    `middle` puts the first L // 2 context tokens before the name, as CoOp does.
    """
    before = {"end": len(context), "middle": len(context) // 2, "front": 0}[position]
    return [*context[:before], *name, *context[before:]]


def _one_sequence_each(prompts: Sequence[Sequence[int]], length: int, pad_token: int) -> Packing:
    """The layout of an encoder that cannot share prefixes: every class padded to the whole context length."""
    ids = torch.full((len(prompts), length), pad_token)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    return Packing(
        ids=ids,
        positions=torch.arange(length).expand(len(prompts), -1),
        attends=torch.empty(0, dtype=torch.bool),  # the encoder uses its own mask
        ends=torch.tensor([[len(prompt) - 1] for prompt in prompts]),
        classes=torch.arange(len(prompts)),
    )


def check_prompt_lengths(
    tower: TextTower, name_tokens: Sequence[Sequence[int]], names: Sequence[str], context_length: int
) -> None:
    """Check that every prompt fits the encoder: open_clip would cut it silently.

    Raises:
        UserError: naming the class with the longest name, and the most context tokens that fit.
    """
    longest = max(range(len(names)), key=lambda c: len(name_tokens[c]))
    length = context_length + len(name_tokens[longest]) + 3  # start token, period, end token
    excess = length - tower.context_length
    if excess > 0:
        raise UserError(
            f"prompt.context_length: {context_length} context tokens and the class name '{names[longest]}' make a "
            f"prompt of {length} tokens, the text encoder takes {tower.context_length}; choose "
            f"{context_length - excess} or fewer"
        )


def initial_contexts(
    tower: TextTower,
    *,
    seeds: Sequence[int],
    n_prompts: int,
    context_length: int,
    n_classes: int | None = None,
    init: str | None = None,
    init_std: float = 0.02,
) -> Tensor:
    """Contexts before training, each replica from its own seed alone.

    Args:
        n_classes: C where contexts are class-specific, None where they are shared.
        init: Words whose embeddings begin the context, cut to L tokens; further tokens are noise. None: all noise.
            With words and N > 1, only the first prompt is exactly the words and the others have noise added, since
            equal prompts would receive equal gradients and stay equal.
        init_std: Standard deviation of the noise.

    Returns:
        (R, N, L, W), or (R, C, N, L, W), float32.
    """
    classes = () if n_classes is None else (n_classes,)
    shape = (*classes, n_prompts, context_length, tower.width)
    noise = [torch.randn(shape, generator=random_stream(seed, "contexts")) for seed in seeds]
    contexts = torch.stack(noise).to(tower.device) * init_std
    if init is not None:
        words = torch.tensor(tower.tokenizer.encode(init)[:context_length], dtype=torch.int64)
        contexts[..., 0, : len(words), :] = 0
        contexts[..., : len(words), :] += tower.embed(words).float()
    return contexts
