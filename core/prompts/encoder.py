"""Learnable prompts: where contexts and class names stand, and how contexts begin.

Shapes: R replicas, C classes, N prompts per class, L context tokens, M = R * N, W text width, D joint width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config.sections import ClassTokenPosition, InitPlace
from dualpt.core.errors import UserError
from dualpt.core.prompts.contexts_file import read_start
from dualpt.core.prompts.init_path import init_path
from dualpt.core.prompts.parts import PromptParts
from dualpt.core.random_streams import random_stream


class PromptEncoder:
    """Encodes `[SOS] context name . [EOS]` of every class, for any values of the context.

    Whatever does not depend on the contexts is computed once, here.

    Args:
        tower: The frozen text encoder.
        name_tokens: BPE ids of each class name and its full stop (C sequences).
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
        self._dtype = tower.dtype
        self._class_specific = class_specific
        (period,) = tower.tokenizer.encode(".")
        prompts = []
        for c, tokens in enumerate(name_tokens):
            first = tower.vocabulary + (c * context_length if class_specific else 0)
            context = range(first, first + context_length)
            name, stop = without_stop(tokens, period)
            prompts.append([tower.start_token, *arrange(context, name, class_token_position), *stop, tower.end_token])
        self._prompts = PromptParts(tower, prompts)

    @property
    def activation_bytes(self) -> int:
        """Memory that training needs for the text encoder's activations, in bytes per replica and prompt."""
        return self._prompts.activation_bytes

    @property
    def step_flops(self) -> int:
        """Floating-point operations of the text encoder in a training step, per replica and prompt."""
        return self._prompts.step_flops

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
        rows = contexts.reshape(replicas * n_prompts, -1, contexts.shape[-1]).to(self._dtype)
        features = self._prompts.encode(rows)
        return features.view(replicas, n_prompts, *features.shape[1:]).transpose(1, 2)


def without_stop(tokens: Sequence[int], period: int) -> tuple[Sequence[int], Sequence[int]]:
    """A name and its full stop, which is empty where the name's last token holds it; both stay together then, wherever
    the name stands, as in CoOp."""
    return (tokens[:-1], tokens[-1:]) if tokens[-1] == period else (tokens, ())


def arrange(context: Sequence[int], name: Sequence[int], position: ClassTokenPosition) -> list[int]:
    """Context and name in reading order.

    `middle` puts the first L // 2 context tokens before the name, as CoOp does.
    """
    before = {"end": len(context), "middle": len(context) // 2, "front": 0}[position]
    return [*context[:before], *name, *context[before:]]


def check_prompt_lengths(
    tower: TextTower, name_tokens: Sequence[Sequence[int]], names: Sequence[str], context_length: int
) -> None:
    """Check that every prompt fits the encoder: open_clip would cut it silently.

    Raises:
        UserError: naming the class with the longest name, and the most context tokens that fit.
    """
    longest = max(range(len(names)), key=lambda c: len(name_tokens[c]))
    length = context_length + len(name_tokens[longest]) + 2  # start token, end token
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
    init_at: InitPlace = "start",
    init_std: float = 0.02,
) -> Tensor:
    """Contexts before training, each replica from its own seed alone, or all from one file.

    Args:
        n_classes: C where contexts are class-specific, None where they are shared.
        init: Words whose embeddings begin or end the context, cut to L tokens. None: all noise.
            With words and N > 1, only the first prompt is exactly the words and the others have noise added, since
            equal prompts would receive equal gradients and stay equal. Or the path of contexts to start from
            (`contexts_file.read_start`), which leave nothing to chance.
        init_at: Words stand at the start, with noise behind them, or at the end, with zeros before them.
        init_std: Standard deviation of the noise.

    Returns:
        (R, N, L, W), or (R, C, N, L, W), float32.

    Raises:
        UserError: the file at `init` cannot be read or has contexts of another shape.
    """
    classes = () if n_classes is None else (n_classes,)
    shape = (*classes, n_prompts, context_length, tower.width)
    if (path := init_path(init)) is not None:
        return read_start(path, shape).to(tower.device).repeat(len(seeds), *[1] * len(shape))
    noise = [torch.randn(shape, generator=random_stream(seed, "contexts")) for seed in seeds]
    contexts = torch.stack(noise).to(tower.device) * init_std
    if init is not None:
        tokens = tower.tokenizer.encode(init)
        words = torch.tensor(tokens[:context_length] if init_at == "start" else tokens[-context_length:])
        first = 0 if init_at == "start" else context_length - len(words)
        contexts[..., 0, : first + len(words), :] = 0
        contexts[..., first : first + len(words), :] += tower.embed(words.long()).float()
    return contexts
