"""What a training run is asked for: its data, the shape of its prompts, and what each replica weighs.

Shapes: R replicas, C classes, N prompts per class, L context tokens, W text width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from dualpt.core.arrays import ClassText, ImageFeatures, TestSet, TrainImages
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config.sections import ClassTokenPosition, CrossEntropy, InitPlace
from dualpt.core.prompts.encoder import PromptEncoder, initial_contexts


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingData:
    """What R replicas train on, are validated on and are tested on."""

    text: ClassText
    """The classes to train on."""
    images: TrainImages
    """Features of training batches."""
    labels: Tensor
    """Of the pool that `samples` points into (n,), int64."""
    samples: Tensor
    """Each replica's few-shot sample, rows of that pool (R, n_shot), int64."""
    val: ImageFeatures | None = None
    """A pool of images of the same classes."""
    val_samples: Tensor | None = None
    """Each replica's rows of `val` (R, m), int64."""
    tests: Mapping[str, TestSet]
    """By name."""


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """The shape of prompts and where their contexts start; fields are the configuration's keys under `prompt`."""

    context_length: int
    n_prompts: int
    class_token_position: ClassTokenPosition
    class_specific: bool
    init: str | None
    init_at: InitPlace = "start"
    init_std: float

    def encoder(self, tower: TextTower, name_tokens: Sequence[Sequence[int]]) -> PromptEncoder:
        """Of prompts with these names (C sequences, as `ClassText.name_tokens`).

        Raises:
            UserError: as `PromptEncoder`.
        """
        return PromptEncoder(
            tower,
            name_tokens,
            context_length=self.context_length,
            class_token_position=self.class_token_position,
            class_specific=self.class_specific,
        )

    def initial_contexts(self, tower: TextTower, seeds: Sequence[int], n_classes: int) -> Tensor:
        """(R, N, L, W), or (R, C, N, L, W) where class-specific, float32.

        Raises:
            UserError: as `dualpt.core.prompts.encoder.initial_contexts`.
        """
        return initial_contexts(
            tower,
            seeds=seeds,
            n_prompts=self.n_prompts,
            context_length=self.context_length,
            n_classes=n_classes if self.class_specific else None,
            init=self.init,
            init_at=self.init_at,
            init_std=self.init_std,
        )


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """What terms of the loss weigh, one value per replica; fields are the configuration's keys under `alignment`."""

    llm_weight: Sequence[float]
    local_weight: Sequence[float]
    global_weight: Sequence[float]
    cross_entropy: CrossEntropy = "separate"
    """How the cross-entropies on global and local logits become one, in all replicas."""


@dataclass(frozen=True, kw_only=True)
class InferenceWeights:
    """What logits weigh at test, one value per replica; fields are the configuration's keys under `inference`."""

    local_weight: Sequence[float]
    global_weight: Sequence[float]
    description_weight: Sequence[float]
