"""The epochs: draw batches, compute losses, step; for R replicas in the same steps.

Shapes: R replicas, n_shot images in each replica's few-shot sample, B images in a batch.
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dualpt.core.arrays import TrainImages
from dualpt.core.random_streams import random_stream
from dualpt.core.recipes import steps_per_epoch
from dualpt.core.training.checkpoint import Checkpoint, TrainState
from dualpt.core.training.optim import ReplicaSGD
from dualpt.core.training.progress import Progress, Report
from dualpt.core.training.step import GraphedStep, Step


def fit(
    step: Step,
    optimiser: ReplicaSGD,
    train_images: TrainImages,
    train_labels: Tensor,
    *,
    batches: Callable[[int], Tensor],
    epochs: int,
    report: Report | None,
    checkpoint: Checkpoint | None,
) -> TrainState:
    """Train the contexts (R, ...), the optimiser's parameter, and return the last step's.

    Continues from the checkpoint where that holds a state of the same run. Stops early only when no replica's loss is
    finite any longer.

    Args:
        step: One step on the contexts; on a GPU it is replayed as a graph.
        train_images, train_labels: Of the pool that batches point into.
        batches: An epoch's batches (steps, R, B) of rows of that pool.
        report: Called after every epoch.
    """
    device = optimiser.parameter.device
    run = _Run(optimiser)
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        run.resume(saved)
    if device.type == "cuda":
        step = GraphedStep(step)
    for epoch in range(run.epoch, epochs):
        optimiser.start_epoch(epoch)
        run.add(_epoch(step, train_images, train_labels, batches(epoch), epoch, device))
        if checkpoint is not None and checkpoint.is_due(run.epoch) and not checkpoint.save(run.state()):
            checkpoint = None  # it has warned once
        if report is not None:
            report(Progress(run.epoch, epochs, tuple(run.losses[-1].tolist())))
        if not run.losses[-1].isfinite().any():
            break
    return run.state()


class _Run:
    """What a run has come to since its first start, interruptions included."""

    def __init__(self, optimiser: ReplicaSGD) -> None:
        self._started = time.perf_counter()
        self._optimiser = optimiser
        self._seconds_before = 0.0
        self.losses = torch.empty(0, len(optimiser.parameter), dtype=torch.float64)
        """(epochs done, R), on the CPU."""

    def resume(self, saved: TrainState) -> None:
        """Continue from `saved`; the optimiser's parameter and buffer are set to it."""
        self._optimiser.parameter.data.copy_(saved.contexts)
        self._optimiser.buffer.copy_(saved.momentum)
        self.losses, self._seconds_before = saved.losses, saved.seconds

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.losses)

    def add(self, loss: Tensor) -> None:
        """Take in an epoch's mean losses (R,): its one wait for the device."""
        self.losses = torch.cat([self.losses, loss.double().cpu()[None]])

    def state(self) -> TrainState:
        seconds = self._seconds_before + time.perf_counter() - self._started
        return TrainState(self._optimiser.parameter.detach(), self._optimiser.buffer, self.losses, seconds)


def _epoch(
    step: Step,
    train_images: TrainImages,
    train_labels: Tensor,
    batches: Tensor,
    epoch: int,
    device: torch.device,
) -> Tensor:
    """One pass over `batches` (steps, R, B); returns each replica's mean loss (R,), on the device.

    Rows and labels go to the device here, once: no step waits for it.
    """
    total = torch.zeros(batches.shape[1], device=device)
    rows, labels = batches.to(device), train_labels[batches].to(device)
    for of_step in range(len(batches)):
        images, patches = train_images.batch(rows[of_step], epoch)
        total += step(images, patches, labels[of_step])
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
