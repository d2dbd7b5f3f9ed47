"""The two alignments, as pure functions on normalised features; each form names its source.

Local alignment turns the similarities of a class's prompts with an image's patches into one score. Alignment with
descriptions is a loss between prompts and a target: the class's descriptions, or its template as one description.

Shapes: R replicas, B images, C classes, N prompts per class, P patches, K descriptions per class, D joint width.
"""

from dataclasses import dataclass
from typing import NamedTuple, assert_never

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.config.sections import LlmForm, LlmGradient, LlmTarget, LocalForm, Marginals
from dualpt.core.errors import UserError
from dualpt.core.training.transport import transport_plan


class LocalScores(NamedTuple):
    score: Tensor
    """(...), each prompt's weighted mean of similarities, averaged over prompts."""
    weights: Tensor
    """(..., N, P), as in `LocalScorer.weights`."""


@dataclass(frozen=True, kw_only=True)
class LocalScorer:
    """A local form with its knobs: one score per image and class from the similarities of prompts and patches.

    Fields are the configuration's keys under `alignment`. A knob added later has a default, which makes it count in a
    checkpoint's fingerprint only where it is set.
    """

    local_form: LocalForm
    topk: int
    attention_beta: float
    ot_epsilon: float
    ot_iterations: int
    ot_marginals: Marginals
    ot_relaxation: float
    topk_step: int = 4

    def __call__(self, similarity: Tensor) -> LocalScores:
        """Score similarities (..., N, P)."""
        weights = self.weights(similarity)
        return LocalScores((weights * similarity).sum(-1).mean(-1), weights)

    def weights(self, similarity: Tensor) -> Tensor:
        """The weight of each patch in its prompt's score, from similarities (..., N, P); each prompt's sum to 1.

        Only those of `attention` carry gradient: it is a smooth maximum, and `attention_beta` says how smooth.
        `multiscale` is GalLoP's pooling (arXiv 2407.01400), in which prompt n averages its `topk + n * topk_step` most
        similar patches, from n = 0; with one number for all prompts it is `topk`. `ot` is PLOT's transport plan
        (arXiv 2210.01253).

        Raises:
            UserError: as `check_patches`.
        """
        n_prompts, n_patches = similarity.shape[-2:]
        match self.local_form:
            case "uniform":
                return torch.full_like(similarity, 1 / n_patches)
            case "topk":
                self.check_patches(n_prompts, n_patches)
                best = similarity.detach().topk(self.topk, dim=-1, sorted=False).indices
                return torch.zeros_like(similarity).scatter_(-1, best, 1 / self.topk)
            case "multiscale":
                self.check_patches(n_prompts, n_patches)
                best = similarity.detach().topk(self.most_patches(n_prompts), dim=-1).indices
                rank, prompt = (torch.arange(n, device=best.device) for n in (best.shape[-1], n_prompts))
                n_best = (self.topk + self.topk_step * prompt)[:, None]
                shares = (rank < n_best).to(similarity.dtype) / n_best
                return torch.zeros_like(similarity).scatter_(-1, best, shares.expand(best.shape))
            case "attention":
                return (self.attention_beta * similarity).softmax(-1)
            case "ot":
                return self.plan(similarity) * n_prompts
            case _:
                assert_never(self.local_form)

    def plan(self, similarity: Tensor) -> Tensor:
        """The transport plan (..., N, P) of total mass 1, whatever the form; it carries no gradient."""
        return transport_plan(
            similarity, epsilon=self.ot_epsilon, iterations=self.ot_iterations, relaxation=self.relaxation
        )

    @property
    def relaxation(self) -> float | None:
        """Of the columns of a plan; None enforces their marginal."""
        return self.ot_relaxation if self.ot_marginals == "unbalanced" else None

    @property
    def transports(self) -> bool:
        """Whether the weights are those of a transport plan, divided by its rows' mass 1 / N."""
        return self.local_form == "ot"

    def check_patches(self, n_prompts: int, n_patches: int, source: str = "an image") -> None:
        """Check that images have as many patches as the prompts average.

        Args:
            source: What has `n_patches`, for the message.

        Raises:
            UserError: they have fewer.
        """
        if (wanted := self.most_patches(n_prompts)) > n_patches:
            raise UserError(
                f"alignment.topk: {wanted} patches asked for, {source} has {n_patches}; use {n_patches} or fewer"
            )

    def most_patches(self, n_prompts: int) -> int:
        """The most patches that one of N prompts picks; 0 for forms that weigh all patches."""
        match self.local_form:
            case "topk":
                return self.topk
            case "multiscale":
                return self.topk + self.topk_step * (n_prompts - 1)
            case "attention" | "uniform" | "ot":
                return 0
            case _:
                assert_never(self.local_form)


@dataclass(frozen=True, kw_only=True)
class LlmAlignment:
    """The form of the alignment with descriptions, with its knobs; fields are the configuration's keys, and those
    with a default came later, as `LocalScorer`'s."""

    llm_form: LlmForm
    llm_target: LlmTarget
    ot_epsilon: float
    ot_iterations: int
    llm_gradient: LlmGradient = "added"


def mean_feature(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Normalised mean over the second last dimension: (..., K, D) -> (..., D); `mask` (..., K) says which count.

    Masked rows must be zero, as in `ClassText.descriptions`; the length of the mean does not matter, so no division.
    """
    return F.normalize(features.sum(-2) if mask is None else (features * mask[..., None]).sum(-2), dim=-1)


def cosine_loss(prompts: Tensor, target: Tensor) -> Tensor:
    """1 - mean over classes of cos(mean prompt, mean description): KgCoOp's shape (arXiv 2303.13283).

    Args:
        prompts: Normalised mean prompt features (R, C, D).
        target: Normalised mean descriptions (C, D).

    Returns:
        (R,)
    """
    return 1 - (prompts * target).sum(-1).mean(-1)


def contrastive_loss(prompts: Tensor, target: Tensor, scale: float) -> Tensor:
    """InfoNCE over classes, prompt to description and description to prompt, averaged: LASP's shape (arXiv 2210.01115).

    The temperature is CLIP's own: logits are `scale` times cosines, as for images.

    Args:
        prompts: Normalised mean prompt features (R, C, D).
        target: Normalised mean descriptions (C, D).

    Returns:
        (R,)
    """
    logits = scale * prompts @ target.mT
    own = logits.diagonal(dim1=-2, dim2=-1)
    both = logits.logsumexp(-1) + logits.logsumexp(-2)
    return (both / 2 - own).mean(-1)


def transport_loss(prompts: Tensor, target: Tensor, mask: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Mean over classes of the transport cost between a class's prompts and its descriptions, 1 - sum(plan * S).

    Args:
        prompts: (R, C, N, D)
        target: Descriptions (C, K, D).
        mask: Which descriptions exist (C, K), bool; each class spreads its mass over its own.

    Returns:
        (R,)
    """
    similarity = prompts @ target.mT
    plan = transport_plan(similarity, epsilon=epsilon, iterations=iterations, column_mask=mask)
    return 1 - (plan * similarity).sum((-2, -1)).mean(-1)


def kl_loss(logits: Tensor, target_logits: Tensor) -> Tensor:
    """KL(description distribution || prompt distribution), mean over images: PromptSRC's and TAP's shape.

    Args:
        logits: Of the prompts (R, B, C).
        target_logits: Of the mean descriptions on the same images (R, B, C); constants.

    Returns:
        (R,)
    """
    target = target_logits.log_softmax(-1)
    return (target.exp() * (target - logits.log_softmax(-1))).sum(-1).mean(-1)
