"""Prompt training for R replicas at once: seeds, and settings that differ only in weights or learning rates.

Every replica equals its solo run to float tolerance: contexts, losses and steps are its own. What replicas share is the
pass through the text encoder, which is where the time goes.

Shapes: R replicas, C classes, N prompts per class, L context tokens, W text width, D joint width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from core.alignment import LocalForm, LocalScorer, Marginals, local_scores, mean_feature
from core.arrays import ClassText, ImageFeatures, TestSet, TrainImages
from core.checkpoint import TrainState, fingerprint_of
from core.errors import UserError
from core.evaluate import Evaluation, evaluate
from core.fit import Progress, fit
from core.model import LlmForm, Objective, Target
from core.prompts import ClassTokenPosition, PromptEncoder, initial_contexts
from core.recipes import NUMERICS_VERSION
from core.text_tower import TextTower

LlmTarget = Literal["descriptions", "template"]
Names = tuple[tuple[int, ...], ...]

NOT_OF_THE_STEPS = frozenset(
    {
        "tower",
        "train_images",
        "val",
        "val_samples",
        "tests",
        "inference_local_weight",
        "inference_description_weight",
        "report",
        "checkpoint",
        "checkpoint_every",
    }
)
"""Arguments of `train` that a checkpoint does not depend on, or (the frozen features) that its path stands for."""


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
    plan_entropy: float | None
    """Mean relative entropy of the local transport plans on all test images (0..1); None where there are no plans."""
    seconds: float
    """Wall time of the training divided by the replicas in it."""
    failure: str | None
    """Why training failed, or None."""


def train(
    *,
    tower: TextTower,
    text: ClassText,
    train_images: TrainImages,
    train_labels: Tensor,
    samples: Tensor,
    val: ImageFeatures | None = None,
    val_samples: Tensor | None = None,
    tests: Mapping[str, TestSet],
    seeds: Sequence[int],
    llm_weight: Sequence[float],
    local_weight: Sequence[float],
    learning_rate: Sequence[float],
    inference_local_weight: Sequence[float],
    inference_description_weight: Sequence[float],
    context_length: int,
    n_prompts: int,
    class_token_position: ClassTokenPosition,
    class_specific: bool,
    init: str | None,
    init_std: float,
    llm_form: LlmForm,
    llm_target: LlmTarget,
    local_form: LocalForm,
    topk: int,
    attention_beta: float,
    ot_epsilon: float,
    ot_iterations: int,
    ot_marginals: Marginals,
    ot_relaxation: float,
    momentum: float,
    weight_decay: float,
    warmup_learning_rate: float,
    batch_size: int,
    epochs: int,
    report: Callable[[Progress], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 10,
) -> list[TrainResult]:
    """Train the prompts of R replicas, and evaluate them.

    Everything runs on the tower's device. Arguments not listed are the configuration's keys of the same name, with
    `learning_rate`, `batch_size` and `epochs` resolved.

    Args:
        text: The classes to train on.
        train_images: Features of training batches.
        train_labels: Labels of the pool that `samples` points into (n,), int64.
        samples: Each replica's few-shot sample, rows of that pool (R, n_shot), int64.
        val: A pool of images of the same classes.
        val_samples: Each replica's rows of `val` (R, m), int64.
        tests: Test sets by name.
        seeds, llm_weight, local_weight, learning_rate, inference_*: One value per replica.
        report: Called after every epoch.
        checkpoint: File from which a killed run with the same arguments continues; rewritten every
            `checkpoint_every` epochs, and left for the caller to remove.

    Returns:
        One result per replica, in order. A replica whose loss stops being finite is marked as failed; the others go on.

    Raises:
        UserError: the setting does not fit the data: a prompt too long, more top patches than an image has, a target
            of the alignment that is missing, class-specific contexts for classes not trained on.
    """
    arguments = {name: value for name, value in locals().items() if name not in NOT_OF_THE_STEPS}
    _check(
        seeds,
        samples,
        llm_weight,
        local_weight,
        learning_rate,
        inference_local_weight,
        inference_description_weight,
    )
    _check_classes(class_specific, text, tests)
    per_replica = partial(torch.tensor, dtype=torch.float32, device=tower.device)

    encode = partial(
        PromptEncoder,
        tower,
        context_length=context_length,
        class_token_position=class_token_position,
        class_specific=class_specific,
    )
    local_score = partial(
        local_scores,
        form=local_form,
        topk=topk,
        attention_beta=attention_beta,
        ot_epsilon=ot_epsilon,
        ot_iterations=ot_iterations,
        ot_marginals=ot_marginals,
        ot_relaxation=ot_relaxation,
    )
    state = fit(
        contexts=initial_contexts(
            tower,
            seeds=seeds,
            n_prompts=n_prompts,
            context_length=context_length,
            n_classes=len(text) if class_specific else None,
            init=init,
            init_std=init_std,
        ),
        prompts=encode(text.name_tokens),
        objective=Objective(
            scale=tower.logit_scale,
            local_weight=per_replica(local_weight),
            local_score=local_score,
            llm_weight=per_replica(llm_weight),
            llm_form=llm_form,
            target=_target(text, llm_target, tower.device) if any(llm_weight) else None,
            ot_epsilon=ot_epsilon,
            ot_iterations=ot_iterations,
        ),
        train_images=train_images,
        train_labels=train_labels,
        samples=samples,
        seeds=seeds,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        warmup_learning_rate=warmup_learning_rate,
        batch_size=batch_size,
        epochs=epochs,
        report=report,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        fingerprint=fingerprint_of(arguments | {"numerics": NUMERICS_VERSION}),
    )
    failures = [_failure(losses, contexts) for losses, contexts in zip(state.losses.T, state.contexts, strict=True)]
    sound = [r for r, failure in enumerate(failures) if failure is None]
    evaluations = _evaluate(
        contexts=state.contexts[sound],
        encode=encode,
        text=text,
        val=val,
        val_samples=None if val_samples is None else val_samples[sound],
        tests=tests,
        scale=tower.logit_scale,
        local_score=local_score,
        local_weight=per_replica(inference_local_weight)[sound],
        description_weight=per_replica(inference_description_weight)[sound],
    )
    by_replica = dict(zip(sound, evaluations, strict=True))
    return [_result(seed, r, state, failures[r], *by_replica.get(r, (None, {}))) for r, seed in enumerate(seeds)]


@torch.no_grad()
def _evaluate(
    *,
    contexts: Tensor,
    encode: Callable[[Names], PromptEncoder],
    text: ClassText,
    val: ImageFeatures | None,
    val_samples: Tensor | None,
    tests: Mapping[str, TestSet],
    scale: float,
    local_score: LocalScorer,
    local_weight: Tensor,
    description_weight: Tensor,
) -> list[tuple[Evaluation | None, dict[str, Evaluation]]]:
    """Each replica's validation and test evaluations; weights and `val_samples` are those of the replicas given."""
    if not len(contexts):
        return []
    features: dict[Names, Tensor] = {}  # by class names: a test set often has the classes trained on

    def classify(images: ImageFeatures, text: ClassText, replicas: slice) -> list[Evaluation]:
        if text.name_tokens not in features:
            features[text.name_tokens] = encode(text.name_tokens).encode(contexts)
        mean_descriptions = None
        if description_weight[replicas].any():
            mean_descriptions = mean_feature(*_descriptions(text, "inference.description_weight", contexts.device))
        return evaluate(
            images,
            features[text.name_tokens][replicas],
            scale=scale,
            local_score=local_score,
            local_weight=local_weight[replicas],
            description_weight=description_weight[replicas],
            mean_descriptions=mean_descriptions,
        )

    vals: list[Evaluation | None] = [None] * len(contexts)
    if val is not None and val_samples is not None and val_samples.numel():
        for r, rows in enumerate(val_samples):
            (vals[r],) = classify(val.rows(rows), text, slice(r, r + 1))
    by_test = {name: classify(test.images, test.text, slice(None)) for name, test in tests.items()}
    return [(val, {name: rows[r] for name, rows in by_test.items()}) for r, val in enumerate(vals)]


def _result(
    seed: int,
    replica: int,
    state: TrainState,
    failure: str | None,
    val: Evaluation | None,
    tests: dict[str, Evaluation],
) -> TrainResult:
    planned = [(test.plan_entropy, test.count) for test in tests.values() if test.plan_entropy is not None]
    n_planned = sum(n for _, n in planned)
    return TrainResult(
        seed=seed,
        contexts=state.contexts[replica].cpu().clone(),
        loss_curve=state.losses[:, replica].tolist(),
        val=val,
        tests=tests,
        plan_entropy=sum(entropy * n for entropy, n in planned) / n_planned if n_planned else None,
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


def _target(text: ClassText, llm_target: LlmTarget, device: torch.device) -> Target:
    """What prompts are aligned with in training."""
    if llm_target == "descriptions":
        return _descriptions(text, "alignment.llm_weight", device)
    if text.template is None:
        raise UserError("alignment.llm_target: the template's features are missing")
    features = text.template[:, None].to(device, torch.float32)
    return Target(features, features.new_ones(features.shape[:2], dtype=torch.bool))


def _descriptions(text: ClassText, key: str, device: torch.device) -> Target:
    if text.descriptions is None:
        raise UserError(f"{key}: the class descriptions are missing; name a bank in descriptions.bank, or set it to 0")
    features = text.descriptions.to(device, torch.float32)
    if text.description_mask is None:
        return Target(features, features.new_ones(features.shape[:2], dtype=torch.bool))
    return Target(features, text.description_mask.to(device))


def _check(seeds: Sequence[int], samples: Tensor, *weights: Sequence[float]) -> None:
    if any(len(values) != len(seeds) for values in (samples, *weights)):
        raise ValueError("seeds, samples, weights and learning rates need one value per replica each")


def _check_classes(class_specific: bool, text: ClassText, tests: Mapping[str, TestSet]) -> None:
    for name, test in tests.items():
        if class_specific and test.text.name_tokens != text.name_tokens:
            raise UserError(
                f"prompt.class_specific: contexts of the classes trained on do not serve test set '{name}', "
                "which has other classes; set it to false"
            )
