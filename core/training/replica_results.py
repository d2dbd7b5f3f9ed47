"""What became of each replica of a training run: why it failed, or how its learned prompts classify.

Shapes: R replicas, C classes, N prompts per class, L context tokens, W text width, D joint width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from dualpt.core.arrays import ClassText, ImageFeatures, TestSet
from dualpt.core.prompts.encoder import PromptEncoder
from dualpt.core.training.alignment import LocalScorer, mean_feature
from dualpt.core.training.checkpoint import TrainState
from dualpt.core.training.evaluate import Evaluation, evaluate
from dualpt.core.training.objective import descriptions_target

Names = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class TrainResult:
    """What became of one replica."""

    seed: int
    contexts: Tensor
    """Learned contexts (N, L, W) or (C, N, L, W), float32 on the CPU."""
    loss_curve: list[float]
    """Mean loss of each epoch."""
    val: Evaluation | None
    """On the validation sample; None where there is none or training failed."""
    tests: dict[str, Evaluation]
    """By name of the test set; empty where training failed."""
    seconds: float
    """Wall time of the training divided by the replicas in it."""
    failure: str | None
    """Why training failed, or None."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Evaluates learned contexts; arguments as in `dualpt.core.training.evaluate.evaluate`."""

    encode: Callable[[Names], PromptEncoder]
    """Of the names of any classes."""
    local_scorer: LocalScorer
    scale: float
    local_weight: Tensor
    """(R,)"""
    description_weight: Tensor
    """(R,)"""

    def results(
        self,
        state: TrainState,
        seeds: Sequence[int],
        text: ClassText,
        val: ImageFeatures | None,
        val_samples: Tensor | None,
        tests: Mapping[str, TestSet],
    ) -> list[TrainResult]:
        """One result per replica, in order; those that failed are not evaluated. Arguments as in `trainer.train`.

        Raises:
            UserError: a test set's prompt is too long, or descriptions that a weight asks for are missing.
        """
        failures = [_failure(losses, contexts) for losses, contexts in zip(state.losses.T, state.contexts, strict=True)]
        sound = [r for r, failure in enumerate(failures) if failure is None]
        evaluations = self._only(sound)._evaluations(
            state.contexts[sound], text, val, None if val_samples is None else val_samples[sound], tests
        )
        by_replica = dict(zip(sound, evaluations, strict=True))
        return [_result(seed, r, state, failures[r], *by_replica.get(r, (None, {}))) for r, seed in enumerate(seeds)]

    def _only(self, replicas: slice | list[int]) -> "Judge":
        return replace(
            self, local_weight=self.local_weight[replicas], description_weight=self.description_weight[replicas]
        )

    @torch.no_grad()
    def _evaluations(
        self,
        contexts: Tensor,
        text: ClassText,
        val: ImageFeatures | None,
        val_samples: Tensor | None,
        tests: Mapping[str, TestSet],
    ) -> list[tuple[Evaluation | None, dict[str, Evaluation]]]:
        """Validation and test evaluations of contexts (R, ...)."""
        if not len(contexts):
            return []

        @cache  # a test set often has the classes trained on
        def prompts(names: Names) -> Tensor:
            return self.encode(names).encode(contexts)

        vals: list[Evaluation | None] = [None] * len(contexts)
        if val is not None and val_samples is not None and val_samples.numel():
            for r, rows in enumerate(val_samples):
                one = slice(r, r + 1)
                (vals[r],) = self._only(one)._classify(val.rows(rows), prompts(text.name_tokens)[one], text)
        by_test = {
            name: self._classify(test.images, prompts(test.text.name_tokens), test.text) for name, test in tests.items()
        }
        return [(val, {name: rows[r] for name, rows in by_test.items()}) for r, val in enumerate(vals)]

    def _classify(self, images: ImageFeatures, prompts: Tensor, text: ClassText) -> list[Evaluation]:
        """Evaluations of prompt features (R, C, N, D) of the classes of `text`."""
        mean_descriptions = None
        if self.description_weight.any():
            target = descriptions_target(text, "inference.description_weight", prompts.device)
            mean_descriptions = mean_feature(*target)
        return evaluate(
            images,
            prompts,
            scale=self.scale,
            local_scorer=self.local_scorer,
            local_weight=self.local_weight,
            description_weight=self.description_weight,
            mean_descriptions=mean_descriptions,
        )


def _result(
    seed: int,
    replica: int,
    state: TrainState,
    failure: str | None,
    val: Evaluation | None,
    tests: dict[str, Evaluation],
) -> TrainResult:
    return TrainResult(
        seed=seed,
        contexts=state.contexts[replica].cpu().clone(),
        loss_curve=state.losses[:, replica].tolist(),
        val=val,
        tests=tests,
        seconds=state.seconds / len(state.contexts),
        failure=failure,
    )


def _failure(losses: Tensor, contexts: Tensor) -> str | None:
    """Why a replica's losses (epochs,) or last contexts are unusable, or None."""
    broken = (~losses.isfinite()).nonzero().flatten()
    if len(broken):
        epoch = int(broken[0])
        return f"the loss became {losses[epoch].item()} in epoch {epoch + 1}; try a smaller optim.learning_rate"
    return None if contexts.isfinite().all() else "the last step left contexts that are not finite"
