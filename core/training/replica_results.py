"""What became of each replica of a training run: why it failed, or how its learned prompts classify.

Shapes: R replicas, C classes, N prompts per class, L context tokens, W text width, D joint width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from dualpt.core.arrays import ClassText, ImageFeatures, TestSet
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.prompts.encoder import PromptEncoder
from dualpt.core.training.alignment import LlmAlignment, LocalScorer, mean_feature
from dualpt.core.training.arguments import InferenceWeights, LossWeights, PromptOptions
from dualpt.core.training.checkpoint import TrainState
from dualpt.core.training.evaluate import Evaluation, evaluate
from dualpt.core.training.objective import Target, descriptions_target
from dualpt.core.training.plan_errors import PlanProbe

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
    plan_error: float | None = None
    """As `CellMetrics.plan_error`; None where no plan is used or training failed."""


class _Judged(NamedTuple):
    """What is measured of one replica; nothing where training failed."""

    val: Evaluation | None = None
    tests: Mapping[str, Evaluation] = MappingProxyType({})
    plan_error: float | None = None


@dataclass(frozen=True, eq=False)
class Judge:
    """Evaluates learned contexts; arguments as in `dualpt.core.training.evaluate.evaluate`."""

    encode: Callable[[Names], PromptEncoder]
    """Of the names of any classes."""
    local_scorer: LocalScorer
    scale: float
    global_weight: Tensor
    """(R,)"""
    local_weight: Tensor
    """(R,)"""
    description_weight: Tensor
    """(R,)"""
    plan_probe: PlanProbe

    @classmethod
    def of(
        cls,
        tower: TextTower,
        prompt: PromptOptions,
        *,
        loss: LossWeights,
        inference: InferenceWeights,
        local_scorer: LocalScorer,
        llm: LlmAlignment,
        target: Target | None,
    ) -> "Judge":
        """Of contexts learned with these options; `target` is what they were aligned with, if with anything."""
        per_replica = partial(torch.tensor, dtype=torch.float32, device=tower.device)
        local_weight = per_replica(inference.local_weight)
        return cls(
            partial(prompt.encoder, tower),
            local_scorer,
            tower.logit_scale,
            global_weight=per_replica(inference.global_weight),
            local_weight=local_weight,
            description_weight=per_replica(inference.description_weight),
            plan_probe=PlanProbe(
                local_scorer=local_scorer,
                local_weight=per_replica(loss.local_weight) + local_weight,
                llm=llm,
                llm_weight=per_replica(loss.llm_weight),
                target=target,
            ),
        )

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
        judged = self._only(sound)._judged(
            state.contexts[sound], text, val, None if val_samples is None else val_samples[sound], tests
        )
        by_replica = dict(zip(sound, judged, strict=True))
        return [_result(seed, r, state, failures[r], by_replica.get(r, _Judged())) for r, seed in enumerate(seeds)]

    def _only(self, replicas: list[int]) -> "Judge":
        return replace(
            self,
            global_weight=self.global_weight[replicas],
            local_weight=self.local_weight[replicas],
            description_weight=self.description_weight[replicas],
            plan_probe=self.plan_probe.of(replicas),
        )

    @torch.no_grad()
    def _judged(
        self,
        contexts: Tensor,
        text: ClassText,
        val: ImageFeatures | None,
        val_samples: Tensor | None,
        tests: Mapping[str, TestSet],
    ) -> list[_Judged]:
        """What is measured of contexts (R, ...)."""
        if not len(contexts):
            return []

        @cache  # a test set often has the classes trained on
        def prompts(names: Names) -> Tensor:
            return self.encode(names).encode(contexts)

        vals: list[Evaluation | None] = [None] * len(contexts)
        samples: list[ImageFeatures | None] = [None] * len(contexts)
        if val is not None and val_samples is not None and val_samples.numel():
            for r, rows in enumerate(val_samples):
                samples[r] = sample = val.rows(rows)
                (vals[r],) = self._only([r])._classify(sample, prompts(text.name_tokens)[r : r + 1], text)
        by_test = {
            name: self._classify(test.images, prompts(test.text.name_tokens), test.text) for name, test in tests.items()
        }
        any_test = next((test.images for test in tests.values()), None)
        errors = self.plan_probe.errors(prompts(text.name_tokens), [sample or any_test for sample in samples])
        return [
            _Judged(val, {name: rows[r] for name, rows in by_test.items()}, errors[r]) for r, val in enumerate(vals)
        ]

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
            global_weight=self.global_weight,
            local_weight=self.local_weight,
            description_weight=self.description_weight,
            mean_descriptions=mean_descriptions,
        )


def _result(
    seed: int,
    replica: int,
    state: TrainState,
    failure: str | None,
    judged: _Judged,
) -> TrainResult:
    return TrainResult(
        seed=seed,
        contexts=state.contexts[replica].cpu().clone(),
        loss_curve=state.losses[:, replica].tolist(),
        val=judged.val,
        tests=dict(judged.tests),
        seconds=state.seconds / len(state.contexts),
        failure=failure,
        plan_error=judged.plan_error,
    )


def _failure(losses: Tensor, contexts: Tensor) -> str | None:
    """Why a replica's losses (epochs,) or last contexts are unusable, or None."""
    broken = (~losses.isfinite()).nonzero().flatten()
    if len(broken):
        epoch = int(broken[0])
        return f"the loss became {losses[epoch].item()} in epoch {epoch + 1}; try a smaller optim.learning_rate"
    return None if contexts.isfinite().all() else "the last step left contexts that are not finite"
