"""One training step of R replicas: encode the prompts, losses, gradients, update; on a GPU replayed as a CUDA graph.

Shapes: R replicas, B images in a batch, P patches, D joint width.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from dualpt.core.prompts.encoder import PromptEncoder
from dualpt.core.training.objective import Objective
from dualpt.core.training.optim import ReplicaSGD

logger = logging.getLogger(__name__)

Step: TypeAlias = Callable[[Tensor, Tensor | None, Tensor], Tensor]
"""Takes images (R, B, D), patches (R, B, P, D) or None, and labels (R, B); updates the contexts and returns the losses
(R,) from before the update. All tensors are on one device, and nothing waits for it."""

Inputs: TypeAlias = tuple[Tensor, Tensor | None, Tensor]
"""Those of a `Step`."""

EAGER_STEPS = 3
"""Steps run one operation at a time before the graph is captured, in which libraries allocate what a graph may not."""


def training_step(contexts: Tensor, prompts: PromptEncoder, objective: Objective, optimiser: ReplicaSGD) -> Step:
    """The step on contexts (R, ...), which `optimiser` updates in place."""

    def step(images: Tensor, patches: Tensor | None, labels: Tensor) -> Tensor:
        local = None if patches is None or not objective.uses_local else patches.float()
        terms = objective.terms(prompts.encode(contexts), images.float(), local, labels)
        optimiser.step(objective.gradient(terms, contexts))
        return objective.loss(terms).detach()

    return step


class GraphedStep:
    """A step whose kernels are recorded once and then launched together, with the same numbers.

    With few classes a step is hundreds of kernels of microseconds each, and a GPU would wait for Python. The first
    `EAGER_STEPS` calls run as they are; where the device refuses the capture, all do, and a warning says so.

    Args:
        step: What to record; called with tensors of the same shapes every time, on one CUDA device.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._calls = 0
        self._graph: _Graph | None = None
        self._refused = False

    @property
    def captured(self) -> bool:
        return self._graph is not None

    def __call__(self, images: Tensor, patches: Tensor | None, labels: Tensor) -> Tensor:
        self._calls += 1
        inputs = (images, patches, labels)
        if self._refused or self._calls <= EAGER_STEPS:
            return self._eager(inputs)
        if self._graph is None:
            self._graph = self._capture(inputs)
        return self._eager(inputs) if self._graph is None else self._graph.replay(inputs)

    def _eager(self, inputs: Inputs) -> Tensor:
        """On a side stream, as a capture's warm-up must be."""
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            losses = self._step(*inputs)
        current.wait_stream(aside)
        return losses

    def _capture(self, inputs: Inputs) -> "_Graph | None":
        """The recorded step; None where the device refuses, which is remembered."""
        torch.cuda.empty_cache()  # what the eager steps used would stay reserved beside the graph's own memory
        images, patches, labels = inputs
        own = images.clone(), None if patches is None else patches.clone(), labels.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                losses = self._step(*own)
        except RuntimeError as error:
            self._refused = True
            logger.warning("training runs without a CUDA graph, more slowly where classes are few: %s", error)
            return None
        return _Graph(graph, own, losses)


@dataclass(frozen=True, eq=False)
class _Graph:
    """A recorded step, with the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Inputs
    losses: Tensor
    """(R,)"""

    def replay(self, inputs: Inputs) -> Tensor:
        """The losses (R,) of the step on these inputs, of the shapes that were recorded."""
        for place, value in zip(self.inputs, inputs, strict=True):
            if place is not None and value is not None:
                place.copy_(value)
        self.graph.replay()
        return self.losses.clone()
