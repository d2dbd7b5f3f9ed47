"""Prompt training for R replicas at once: seeds, and settings that differ only in weights or learning rates.

Every replica equals its solo run to float tolerance: contexts, losses and steps are its own. What replicas share is the
pass through the text encoder, which is where the time goes.

Shapes: R replicas, C classes, N prompts per class, L context tokens, W text width, D joint width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import torch
from torch import Tensor

from dualpt.core.arrays import ClassText, ImageFeatures, TestSet, TrainImages
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config.sections import ClassTokenPosition, CrossEntropy, InitPlace, LlmTarget
from dualpt.core.errors import UserError
from dualpt.core.prompts.encoder import PromptEncoder, initial_contexts, without_stop
from dualpt.core.recipes import LETTERS_NUMERICS, NUMERICS_VERSION
from dualpt.core.training.alignment import LlmAlignment, LocalScorer
from dualpt.core.training.checkpoint import Checkpoint, fingerprint_of
from dualpt.core.training.fit import epoch_batches, fit
from dualpt.core.training.objective import Objective, Target, descriptions_target, template_target
from dualpt.core.training.optim import ReplicaSGD, SGDOptions
from dualpt.core.training.plan_errors import PlanProbe
from dualpt.core.training.progress import Report
from dualpt.core.training.replica_results import Judge, TrainResult
from dualpt.core.training.step import training_step

NOT_OF_THE_STEPS = frozenset(
    {
        "tower",
        "train_images",
        "val",
        "val_samples",
        "tests",
        "inference_global_weight",
        "inference_local_weight",
        "inference_description_weight",
        "report",
        "checkpoint",
        "checkpoint_every",
    }
)
"""Arguments of `train` that a checkpoint does not depend on, or (the frozen features) that its path stands for."""

ADDED_LATER: dict[str, object] = {"global_weight": 1.0, "cross_entropy": "separate", "init_at": "start"}
"""Arguments that came after the first checkpoints were written, and what every replica then trained with."""


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
    inference_local_weight: Sequence[float],
    inference_description_weight: Sequence[float],
    context_length: int,
    n_prompts: int,
    class_token_position: ClassTokenPosition,
    class_specific: bool,
    init: str | None,
    init_std: float,
    llm: LlmAlignment,
    local_scorer: LocalScorer,
    sgd: SGDOptions,
    batch_size: int,
    epochs: int,
    global_weight: Sequence[float] | None = None,
    inference_global_weight: Sequence[float] | None = None,
    cross_entropy: CrossEntropy = "separate",
    init_at: InitPlace = "start",
    report: Report | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 10,
) -> list[TrainResult]:
    """Train the prompts of R replicas, and evaluate them.

    Everything runs on the tower's device. Arguments not listed are the configuration's keys of the same name, with
    `batch_size` and `epochs` resolved.

    Args:
        text: The classes to train on.
        train_images: Features of training batches.
        train_labels: Labels of the pool that `samples` points into (n,), int64.
        samples: Each replica's few-shot sample, rows of that pool (R, n_shot), int64.
        val: A pool of images of the same classes.
        val_samples: Each replica's rows of `val` (R, m), int64.
        tests: Test sets by name.
        seeds, llm_weight, local_weight, inference_*: One value per replica.
        llm: How prompts are aligned with descriptions.
        local_scorer: How patch similarities become one score per class.
        global_weight, inference_global_weight: One value per replica; None is 1 for all.
        sgd: Learning rates, one per replica, and the rest of the optimiser.
        report: Called after every epoch.
        checkpoint: File from which a killed run with the same arguments continues; rewritten every
            `checkpoint_every` epochs, and left for the caller to remove.

    Returns:
        One result per replica, in order. A replica whose loss stops being finite is marked as failed; the others go on.

    Raises:
        UserError: the setting does not fit the data: a prompt too long, more top patches than an image has, a target
            of the alignment that is missing, class-specific contexts for classes not trained on.
    """
    global_weight, inference_global_weight = (
        [1.0] * len(seeds) if weight is None else weight for weight in (global_weight, inference_global_weight)
    )
    arguments = {name: value for name, value in locals().items() if name not in NOT_OF_THE_STEPS}
    (period,) = tower.tokenizer.encode(".")
    arguments["text"], numerics = _as_numbered(text, period)
    run = _fingerprint(arguments, numerics)
    _check(seeds, samples, llm_weight, local_weight, inference_local_weight, inference_description_weight)
    _check(seeds, samples, global_weight, inference_global_weight)
    _check_classes(class_specific, text, tests)
    per_replica = partial(torch.tensor, dtype=torch.float32, device=tower.device)

    encode = partial(
        PromptEncoder,
        tower,
        context_length=context_length,
        class_token_position=class_token_position,
        class_specific=class_specific,
    )
    contexts = initial_contexts(
        tower,
        seeds=seeds,
        n_prompts=n_prompts,
        context_length=context_length,
        n_classes=len(text) if class_specific else None,
        init=init,
        init_at=init_at,
        init_std=init_std,
    ).requires_grad_()
    prompts = encode(text.name_tokens)
    target = alignment_target(text, llm.llm_target, tower.device) if any(llm_weight) else None
    objective = Objective(
        scale=tower.logit_scale,
        global_weight=per_replica(global_weight),
        cross_entropy=cross_entropy,
        local_weight=per_replica(local_weight),
        local_scorer=local_scorer,
        llm_weight=per_replica(llm_weight),
        llm=llm,
        target=target,
    )
    optimiser = ReplicaSGD(contexts, sgd, epochs)
    state = fit(
        training_step(contexts, prompts, objective, optimiser),
        optimiser,
        train_images,
        train_labels,
        batches=partial(epoch_batches, samples, seeds, batch_size=batch_size),
        epochs=epochs,
        report=report,
        checkpoint=None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every, run),
    )
    judge = Judge(
        encode,
        local_scorer,
        tower.logit_scale,
        global_weight=per_replica(inference_global_weight),
        local_weight=per_replica(inference_local_weight),
        description_weight=per_replica(inference_description_weight),
        plan_probe=PlanProbe(
            local_scorer=local_scorer,
            local_weight=per_replica(local_weight) + per_replica(inference_local_weight),
            llm=llm,
            llm_weight=per_replica(llm_weight),
            target=target,
        ),
    )
    return judge.results(state, seeds, text, val, val_samples, tests)


def _fingerprint(arguments: dict[str, Any], numerics: int) -> str:
    """What a checkpoint belongs to: the arguments, with the knobs of `llm`, `local_scorer` and `sgd` by their names.

    A knob that has a default came after the first checkpoints were written: it counts where it is set to something
    else, and those checkpoints stay valid.
    """
    named: dict[str, object] = {"numerics": numerics}
    for name, value in arguments.items():
        if isinstance(value, LlmAlignment | LocalScorer | SGDOptions):
            knobs = {field.name: (getattr(value, field.name), field.default) for field in fields(value)}
            named |= {key: knob for key, (knob, default) in knobs.items() if default is MISSING or knob != default}
        elif name not in ADDED_LATER or any(one != ADDED_LATER[name] for one in _each(value)):
            named[name] = value
    return fingerprint_of(named)


def _as_numbered(text: ClassText, period: int) -> tuple[ClassText, int]:
    """Classes as the version in which their numbers last moved held them, and that version.

    Names were without their full stops before one could be part of a name's last token.
    """
    parts = [without_stop(tokens, period) for tokens in text.name_tokens]
    if not all(stop for _, stop in parts):
        return text, NUMERICS_VERSION
    return replace(text, name_tokens=tuple(tuple(name) for name, _ in parts)), LETTERS_NUMERICS


def _each(value: object) -> Sequence[object]:
    """A value per replica, or the one value of all."""
    return value if isinstance(value, list | tuple) else [value]


def alignment_target(text: ClassText, llm_target: LlmTarget, device: torch.device) -> Target:
    """What prompts are aligned with in training."""
    match llm_target:
        case "template" | "kgcoop-template" | "prograd-template":
            return template_target(text, device)
        case "descriptions":
            return descriptions_target(text, "alignment.llm_weight", device)
        case _:
            assert_never(llm_target)


def _check(seeds: Sequence[int], samples: Tensor, *weights: Sequence[float]) -> None:
    if any(len(values) != len(seeds) for values in (samples, *weights)):
        raise ValueError("seeds, samples and weights need one value per replica each")


def _check_classes(class_specific: bool, text: ClassText, tests: Mapping[str, TestSet]) -> None:
    for name, test in tests.items():
        if class_specific and test.text.name_tokens != text.name_tokens:
            raise UserError(
                f"prompt.class_specific: contexts of the classes trained on do not serve test set '{name}', "
                "which has other classes; set it to false"
            )
