"""Gradient descent on R replicas in the same steps, with the minibatches and schedules of the field's trainers.

Shapes: R replicas, V views, N images, P = V N rows of a pool (view by view), B rows of a minibatch.

A replica owns one slice of every parameter, losses are summed over replicas, and `torch.optim` works element by
element; so a replica gets the gradients and steps that it gets alone, but for the rounding of batched matrix products.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from dualpt.core.methods.interface import Support
from dualpt.core.random_streams import random_stream
from dualpt.core.training.objective import cross_entropy as cross_entropy
from dualpt.core.training.optim import learning_rates
from dualpt.core.training.progress import Progress, Report, is_reported

Batch = TypeVar("Batch")
Schedule = Callable[[Sequence[float], int, int], Sequence[float]]
"""From base learning rates (R), epoch and step of all, both counted from 0, to the step's learning rates (R)."""


def descend(
    parameters: Sequence[Tensor],
    loss_of: Callable[[Batch], Tensor],
    epochs: Iterable[Iterable[Batch]],
    *,
    optimizer: Callable[..., Optimizer],
    learning_rate: Sequence[float],
    schedule: Schedule,
) -> Iterator[Tensor]:
    """Train in place; after each epoch, yield its mean losses (R,).

    Args:
        parameters: Leaf tensors (R, ...) that require gradients.
        loss_of: Losses (R,) of a minibatch; each depends on its replica's slices alone.
        epochs: The minibatches of every epoch: rows (R, B), or whatever `loss_of` takes.
        optimizer: A `torch.optim` class, with all but its learning rate filled in by `functools.partial`.
        learning_rate: One per replica, before the schedule.
    """
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    groups = _groups(parameters, apart=len(set(learning_rate)) > 1)
    stepper, step = optimizer(groups, lr=0.0), 0
    for epoch, batches in enumerate(epochs):
        totals, n_batches = torch.zeros(len(learning_rate), device=parameters[0].device), 0
        with _denormals_flushed():
            for batch in batches:
                for group, rate in zip(stepper.param_groups, schedule(learning_rate, epoch, step), strict=False):
                    group["lr"] = rate
                for parameter in parameters:
                    _gradient(parameter).zero_()
                losses = loss_of(batch)
                losses.sum().backward()
                stepper.step()
                totals += losses.detach()
                n_batches, step = n_batches + 1, step + 1
        yield totals / n_batches


def reported(losses: Iterable[Tensor], epochs: int, report: Report | None) -> Iterator[Tensor]:
    """Yield the losses (R,) of each of `epochs` epochs, and call `report` with some of them on the way."""
    for epoch, loss in enumerate(losses, start=1):
        if report is not None and is_reported(epoch, epochs):
            report(Progress(epoch, epochs, tuple(loss.tolist())))
        yield loss


def history(losses: Iterable[Tensor], epochs: int, report: Report | None) -> Tensor:
    """Train to the end: the losses (R, epochs), reported on the way."""
    return torch.stack(list(reported(losses, epochs, report)), dim=1)


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Let numbers below 1e-38 be zero: gradients of a confident softmax are full of them, and they slow a CPU down."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _groups(parameters: Sequence[Tensor], apart: bool) -> list[dict[str, list[Tensor]]]:
    """One parameter group, or one for each replica, which shares its memory and has a learning rate of its own."""
    if not apart:
        return [{"params": list(parameters)}]
    return [{"params": [_slice(parameter, r) for parameter in parameters]} for r in range(len(parameters[0]))]


def _slice(parameter: Tensor, r: int) -> Tensor:
    """A leaf that is replica r of the parameter, with its gradient."""
    one = parameter.detach()[r]
    one.grad = _gradient(parameter)[r]
    return one


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def cosine_by_epoch(epochs: int, warmup: float) -> Schedule:
    """Dassl's, and so CoOp's and its followers': the rate `warmup` in epoch 0, then a cosine that is one epoch late."""
    return lambda base, epoch, _: learning_rates(base, epoch, epochs, warmup)


def cosine_by_step(steps: int) -> Schedule:
    """Tip-Adapter's: base / 2 * (1 + cos(pi * step / steps))."""
    return lambda base, _, step: [rate * (1 + math.cos(math.pi * step / steps)) / 2 for rate in base]


def constant(base: Sequence[float], _epoch: int, _step: int) -> Sequence[float]:
    """The base rates, whatever the step."""
    return base


def image_batches(
    seeds: Sequence[int], *, views: int, images: int, size: int, epochs: int, drop_last: bool
) -> Iterator[Sequence[Tensor]]:
    """Every image once an epoch, each in a random one of its views, in an order of its own for each seed.

    Args:
        drop_last: Leave out the images that do not fill a minibatch, as Dassl does where there are `size` or more.

    Yields:
        An epoch's minibatches: rows (R, B) of the pool.
    """
    kept = images // size * size if drop_last and images >= size else images
    streams = [random_stream(seed, "minibatches") for seed in seeds]
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(images, generator=stream) for stream in streams])
        of_view = torch.stack([torch.randint(views, (images,), generator=stream) for stream in streams])
        yield (of_view * images + orders)[:, :kept].split(size, dim=1)


def pool_batches(
    seeds: Sequence[int], *, rows: int, size: int, batches: int, epochs: int
) -> Iterator[Sequence[Tensor]]:
    """Every epoch the first `batches` minibatches of a pool of views, shuffled for each seed; rows (R, B) each."""
    streams = [random_stream(seed, "minibatches") for seed in seeds]
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(rows, generator=stream)[: batches * size] for stream in streams])
        yield orders.split(size, dim=1)


def shots_of(support: Support) -> int:
    """Images per class, rounded up: some datasets have classes with fewer images than were asked for."""
    return -(-support.labels.shape[1] // len(support.raw_text))


def take(pool: Tensor, rows: Tensor) -> Tensor:
    """Rows (R, B) of a contiguous pool (R, P, ...): (R, B, ...).

    Raises:
        RuntimeError: the pool is not contiguous, and would be copied whole at every step.
    """
    starts = torch.arange(0, pool.shape[0] * pool.shape[1], pool.shape[1])[:, None]
    picked = (starts + rows).flatten().to(pool.device)
    return pool.view(-1, *pool.shape[2:]).index_select(0, picked).view(*rows.shape, *pool.shape[2:])


def divergences(losses: Tensor) -> list[str | None]:
    """Per replica, the epoch (from 1) from which its losses (R, epochs) are not finite, in words, or None."""
    finite = losses.isfinite()
    return [
        None if row.all() else f"the loss is not finite from epoch {int(row.long().argmin()) + 1} of {len(row)}"
        for row in finite.cpu()
    ]
