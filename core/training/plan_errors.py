"""How far transport plans are from the plan that their epsilon defines, measured on trained prompts.

The number of Sinkhorn sweeps is fixed, and the smaller epsilon is, the more of them it takes. Measuring changes no
result; an error too large to speak of the plan of that epsilon is recorded and warned of.

Shapes: R replicas, M plans, C classes, N prompts per class, P patches, K descriptions per class, D joint width.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.results import LARGE_PLAN_ERROR
from dualpt.core.training.alignment import LlmAlignment, LocalScorer
from dualpt.core.training.objective import Target, patch_similarity
from dualpt.core.training.transport import transport_plan

logger = logging.getLogger(__name__)

SMALL_ERROR = 0.001
"""What the number of sweeps in the warning reaches."""
MOST_SWEEPS = 5000
"""Tried at most, for that number and for the limit of relaxed plans."""
N_IMAGES, N_CLASSES = 4, 16
"""The first of each are looked at; a few show the order of magnitude, which is what matters."""


class _Plans(NamedTuple):
    """Plans of one kind, by the arguments of `transport_plan`."""

    similarity: Tensor
    """(M, N, P), float64 on the CPU."""
    epsilon: float
    iterations: int
    relaxation: float | None = None
    column_mask: Tensor | None = None
    """(M, P) bool; None for all columns."""

    def errors(self) -> Tensor:
        """Share of each plan's mass that lies in other columns than in the limit of many sweeps (M,), 0..1.

        Where columns are enforced, that is half the L1 marginal error by which Sinkhorn's iteration is usually stopped.
        """
        return (self._column_masses(self.iterations) - self._limit()).abs().sum(-1) / 2

    def sweeps_needed(self) -> int | None:
        """Sweeps that bring the worst plan's error below `SMALL_ERROR`, rounded up to a doubling; None for too many."""
        worst = int(self.errors().argmax())
        mask = None if self.column_mask is None else self.column_mask[worst : worst + 1]
        one = self._replace(similarity=self.similarity[worst : worst + 1], column_mask=mask)
        sweeps = self.iterations
        while one._replace(iterations=sweeps).errors().item() > SMALL_ERROR:
            sweeps *= 2
            if sweeps > MOST_SWEEPS:
                return None
        return sweeps

    def _column_masses(self, sweeps: int) -> Tensor:
        """(M, P)"""
        return transport_plan(
            self.similarity,
            epsilon=self.epsilon,
            iterations=sweeps,
            relaxation=self.relaxation,
            column_mask=self.column_mask,
        ).sum(-2)

    def _limit(self) -> Tensor:
        """Column masses (M, P), or (P,) where all plans have the same."""
        if self.relaxation is not None:
            # Each sweep brings plans nearer to the limit by this factor or more (Chizat et al., arXiv 1607.05816).
            factor = self.relaxation / (self.relaxation + self.epsilon)
            return self._column_masses(min(MOST_SWEEPS, math.ceil(math.log(1e-9) / math.log(factor))))
        if self.column_mask is None:
            n_columns = self.similarity.shape[-1]
            return self.similarity.new_full((n_columns,), 1 / n_columns)
        return self.column_mask / self.column_mask.sum(-1, keepdim=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class PlanProbe:
    """Measures the plans that a setting trains and classifies with, on a few images and classes."""

    local_scorer: LocalScorer
    local_weight: Tensor
    """(R,), zero where a replica has no use for local scores, neither in training nor at test."""
    llm: LlmAlignment
    llm_weight: Tensor
    """(R,)"""
    target: Target | None
    """What prompts are aligned with; None only where every `llm_weight` is zero."""

    def of(self, replicas: Sequence[int]) -> "PlanProbe":
        """The probe of some of the replicas."""
        rows = list(replicas)
        return replace(self, local_weight=self.local_weight[rows], llm_weight=self.llm_weight[rows])

    @torch.no_grad()
    def errors(self, prompts: Tensor, images: Sequence[ImageFeatures | None]) -> list[float | None]:
        """The largest error of each replica's plans; None where it uses none.

        Warns, once for all replicas, of an error from `LARGE_PLAN_ERROR` on.

        Args:
            prompts: Prompt features of the classes trained on (R, C, N, D).
            images: Images for each replica, of which a few are looked at; None if there are none.
        """
        found: list[tuple[float, _Plans] | None] = []
        for r, of_replica in enumerate(prompts):
            kinds = [(float(plans.errors().max()), plans) for plans in self._plans(r, of_replica, images[r])]
            found.append(max(kinds, key=lambda kind: kind[0], default=None))
        measured = [one for one in found if one is not None]
        if measured and (worst := max(measured, key=lambda one: one[0]))[0] >= LARGE_PLAN_ERROR:
            logger.warning(_warning(*worst))
        return [None if one is None else one[0] for one in found]

    def _plans(self, replica: int, prompts: Tensor, images: ImageFeatures | None) -> Iterator[_Plans]:
        """The kinds of plans that a replica uses, from its prompts (C, N, D)."""
        some = prompts[:N_CLASSES]
        if self.llm.llm_form == "ot" and self.llm_weight[replica] > 0 and self.target is not None:
            features, mask = (part[:N_CLASSES] for part in self.target)
            similarity = (some @ features.mT).double().cpu()
            yield _Plans(similarity, self.llm.ot_epsilon, self.llm.ot_iterations, column_mask=mask.cpu())
        scorer = self.local_scorer
        if scorer.transports and self.local_weight[replica] > 0 and images is not None:
            chunk = next(iter(images.chunks(N_IMAGES)))
            assert chunk.local_features is not None, "local_weight > 0 needs local image features"
            patches = chunk.local_features[:].to(prompts.device, prompts.dtype)
            similarity = patch_similarity(patches[None], some[None]).flatten(0, -3).double().cpu()
            yield _Plans(similarity, scorer.ot_epsilon, scorer.ot_iterations, scorer.relaxation)


def _warning(error: float, plans: _Plans) -> str:
    needed = plans.sweeps_needed()
    remedy = f"set it to {needed}, or" if needed is not None else f"even {MOST_SWEEPS} do not suffice;"
    return (
        f"alignment.ot_iterations: {plans.iterations} sweeps are too few for alignment.ot_epsilon {plans.epsilon:g}: "
        f"{100 * error:.1f} % of a plan's mass is in the wrong place; {remedy} raise alignment.ot_epsilon"
    )
