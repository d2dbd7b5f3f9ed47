"""The epochs: draw batches, compute losses, step; for R replicas in the same steps.

Shapes: R replicas, n_shot images in each replica's few-shot sample, B images in a batch.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.arrays import TrainImages
from core.checkpoint import TrainState, load_state, save_state
from core.model import Objective
from core.optim import ReplicaSGD, learning_rates
from core.prompts import PromptEncoder
from core.random_streams import random_stream
from core.recipes import steps_per_epoch
from core.step import GraphedStep, Step, training_step


@dataclass(frozen=True)
class Progress:
    """Reported after every epoch."""

    epoch: int
    """Epochs done."""
    epochs: int
    loss: tuple[float, ...]
    """Mean loss of the epoch, by replica."""


def fit(
    *,
    contexts: Tensor,
    prompts: PromptEncoder,
    objective: Objective,
    train_images: TrainImages,
    train_labels: Tensor,
    samples: Tensor,
    seeds: Sequence[int],
    learning_rate: Sequence[float],
    momentum: float,
    weight_decay: float,
    warmup_learning_rate: float,
    batch_size: int,
    epochs: int,
    report: Callable[[Progress], None] | None,
    checkpoint: Path | None,
    checkpoint_every: int,
    fingerprint: str,
) -> TrainState:
    """Train the contexts (R, ...) and return the last step's.

    Continues from `checkpoint` where that holds a state of the same `fingerprint`. Stops early only when no replica's
    loss is finite any more. The arguments are those of `core.trainer.train`.
    """
    started = time.perf_counter()
    contexts = contexts.clone().requires_grad_()
    optimiser = ReplicaSGD(contexts, momentum=momentum, weight_decay=weight_decay)
    losses, seconds_before = torch.empty(0, len(seeds), dtype=torch.float64), 0.0
    if checkpoint is not None and (saved := load_state(checkpoint, fingerprint)) is not None:
        contexts.data.copy_(saved.contexts)
        optimiser.buffer.copy_(saved.momentum)
        losses, seconds_before = saved.losses, saved.seconds

    def state() -> TrainState:
        seconds = seconds_before + time.perf_counter() - started
        return TrainState(contexts.detach(), optimiser.buffer, losses, seconds)

    step = training_step(contexts, prompts, objective, optimiser)
    if contexts.is_cuda:
        step = GraphedStep(step)
    for epoch in range(len(losses), epochs):
        rates = learning_rates(learning_rate, epoch, epochs, warmup_learning_rate)
        batches = epoch_batches(samples, seeds, epoch, batch_size)
        loss = _epoch(step, rates, train_images, train_labels, batches, epoch, contexts.device)
        losses = torch.cat([losses, loss.double().cpu()[None]])  # the epoch's one wait for the device
        if checkpoint is not None and (epoch + 1) % checkpoint_every == 0:
            save_state(checkpoint, state(), fingerprint)
        if report is not None:
            report(Progress(epoch + 1, epochs, tuple(losses[-1].tolist())))
        if not losses[-1].isfinite().any():
            break
    return state()


def _epoch(
    step: Step,
    rates: Sequence[float],
    train_images: TrainImages,
    train_labels: Tensor,
    batches: Tensor,
    epoch: int,
    device: torch.device,
) -> Tensor:
    """One pass over `batches` (steps, R, B); returns each replica's mean loss (R,), on the device.

    Rows, labels and rates go to the device here, once, so that no step waits for it.
    """
    rate = torch.tensor(rates, device=device)
    total = torch.zeros(len(rates), device=device)
    rows, labels = batches.to(device), train_labels[batches].to(device)
    for of_step in range(len(batches)):
        images, patches = train_images.batch(rows[of_step], epoch)
        total += step(images, patches, labels[of_step], rate)
    return total / len(batches)


def epoch_batches(samples: Tensor, seeds: Sequence[int], epoch: int, batch_size: int) -> Tensor:
    """The epoch's batches (steps, R, B) of rows from `samples` (R, n_shot): one permutation per (seed, epoch).

    The last partial batch is dropped, unless the sample is smaller than a batch.
    """
    n_shot = samples.shape[1]
    orders = [torch.randperm(n_shot, generator=random_stream(seed, "batches", epoch)) for seed in seeds]
    shuffled = samples.gather(1, torch.stack(orders))
    steps, size = steps_per_epoch(n_shot, batch_size), min(batch_size, n_shot)
    return shuffled[:, : steps * size].view(len(seeds), steps, size).transpose(0, 1)
