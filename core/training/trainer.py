"""Prompt training for R replicas at once: seeds, and settings that differ only in weights or learning rates.

Every replica equals its solo run to float tolerance: contexts, losses and steps are its own. What replicas share is the
pass through the text encoder, which is where the time goes.

Shapes: R replicas, C classes, N prompts per class, L context tokens, W text width, D joint width.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

import torch

from dualpt.core.arrays import ClassText
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config.sections import LlmTarget
from dualpt.core.errors import UserError
from dualpt.core.training.alignment import LlmAlignment, LocalScorer
from dualpt.core.training.arguments import InferenceWeights, LossWeights, PromptOptions, TrainingData
from dualpt.core.training.checkpoint import Checkpoint, run_fingerprint
from dualpt.core.training.fit import epoch_batches, fit
from dualpt.core.training.objective import Objective, Target, descriptions_target, template_target
from dualpt.core.training.optim import ReplicaSGD, SGDOptions
from dualpt.core.training.progress import Report
from dualpt.core.training.replica_results import Judge, TrainResult
from dualpt.core.training.step import training_step


def train(
    tower: TextTower,
    data: TrainingData,
    *,
    seeds: Sequence[int],
    prompt: PromptOptions,
    loss: LossWeights,
    llm: LlmAlignment,
    local_scorer: LocalScorer,
    inference: InferenceWeights,
    sgd: SGDOptions,
    batch_size: int,
    epochs: int,
    report: Report | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 10,
) -> list[TrainResult]:
    """Train the prompts of R replicas, and evaluate them. Everything runs on the tower's device.

    Args:
        seeds: One per replica.
        llm: How prompts are aligned with descriptions.
        local_scorer: How patch similarities become one score per class.
        sgd: Learning rates, one per replica, and the rest of the optimiser.
        batch_size: Images per step and replica.
        report: Called after every epoch.
        checkpoint: File from which a killed run with the same arguments continues; rewritten every
            `checkpoint_every` epochs, and left for the caller to remove.

    Returns:
        One result per replica, in order. A replica whose loss stops being finite is marked as failed; the others go on.

    Raises:
        UserError: the setting does not fit the data: a prompt too long, more top patches than an image has, a target
            of the alignment that is missing, class-specific contexts for classes not trained on.
    """
    _check_replicas(seeds, data, loss, inference)
    _check_classes(prompt, data)
    (period,) = tower.tokenizer.encode(".")
    options = (prompt, loss, llm, local_scorer, sgd)
    run = run_fingerprint(data, options, period, seeds=seeds, batch_size=batch_size, epochs=epochs)
    per_replica = partial(torch.tensor, dtype=torch.float32, device=tower.device)
    contexts = prompt.initial_contexts(tower, seeds, len(data.text)).requires_grad_()
    prompts = prompt.encoder(tower, data.text.name_tokens)
    target = alignment_target(data.text, llm.llm_target, tower.device) if any(loss.llm_weight) else None
    objective = Objective(
        scale=tower.logit_scale,
        global_weight=per_replica(loss.global_weight),
        cross_entropy=loss.cross_entropy,
        local_weight=per_replica(loss.local_weight),
        local_scorer=local_scorer,
        llm_weight=per_replica(loss.llm_weight),
        llm=llm,
        target=target,
    )
    optimiser = ReplicaSGD(contexts, sgd, epochs)
    state = fit(
        training_step(contexts, prompts, objective, optimiser),
        optimiser,
        data.images,
        data.labels,
        batches=partial(epoch_batches, data.samples, seeds, batch_size=batch_size),
        epochs=epochs,
        report=report,
        checkpoint=None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every, run),
    )
    judge = Judge.of(tower, prompt, loss=loss, inference=inference, local_scorer=local_scorer, llm=llm, target=target)
    return judge.results(state, seeds, data.text, data.val, data.val_samples, data.tests)


def alignment_target(text: ClassText, llm_target: LlmTarget, device: torch.device) -> Target:
    """What prompts are aligned with in training."""
    match llm_target:
        case "template" | "kgcoop-template" | "prograd-template":
            return template_target(text, device)
        case "descriptions":
            return descriptions_target(text, "alignment.llm_weight", device)
        case _:
            assert_never(llm_target)


def _check_replicas(seeds: Sequence[int], data: TrainingData, loss: LossWeights, inference: InferenceWeights) -> None:
    weights = (
        *(loss.llm_weight, loss.local_weight, loss.global_weight),
        *(inference.local_weight, inference.global_weight, inference.description_weight),
    )
    if any(len(values) != len(seeds) for values in (data.samples, *weights)):
        raise ValueError("seeds, samples and weights need one value per replica each")


def _check_classes(prompt: PromptOptions, data: TrainingData) -> None:
    for name, test in data.tests.items():
        if prompt.class_specific and test.text.name_tokens != data.text.name_tokens:
            raise UserError(
                f"prompt.class_specific: contexts of the classes trained on do not serve test set '{name}', "
                "which has other classes; set it to false"
            )
