"""The two alignments, as pure functions on normalised features; METHOD and its sources name the forms.

Local alignment turns the similarities of a class's prompts with an image's patches into one score. Alignment with
descriptions is a loss between prompts and a target: the class's descriptions, or its template as one description.

Shapes: R replicas, B images, C classes, N prompts per class, P patches, K descriptions per class, D joint width.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.training.transport import transport_plan

LocalForm = Literal["ot", "topk", "attention", "uniform"]
Marginals = Literal["uniform", "unbalanced"]


class LocalScores(NamedTuple):
    score: Tensor
    """(...), a weighted mean of the similarities."""
    plan: Tensor | None
    """(..., N, P), the transport plan of form `ot`."""


LocalScorer = Callable[[Tensor], LocalScores]
"""`local_scores` with its form and parameters fixed."""


def local_scores(
    similarity: Tensor,
    *,
    form: LocalForm,
    topk: int = 4,
    attention_beta: float = 10.0,
    ot_epsilon: float = 0.1,
    ot_iterations: int = 50,
    ot_marginals: Marginals = "uniform",
    ot_relaxation: float = 0.1,
) -> LocalScores:
    """One score per image and class from the similarities (..., N, P) of prompts and patches."""
    plan = None
    match form:
        case "topk":
            score = topk_score(similarity, topk)
        case "attention":
            score = attention_score(similarity, attention_beta)
        case "uniform":
            score = similarity.mean((-2, -1))
        case "ot":
            relaxation = ot_relaxation if ot_marginals == "unbalanced" else None
            plan = transport_plan(similarity, epsilon=ot_epsilon, iterations=ot_iterations, relaxation=relaxation)
            score = (plan * similarity).sum((-2, -1))
    return LocalScores(score, plan)


def topk_score(similarity: Tensor, k: int) -> Tensor:
    """Mean of each prompt's k largest patch similarities, then over prompts: (..., N, P) -> (...); GalLoP's pooling.

    Raises:
        UserError: an image has fewer than k patches.
    """
    patches = similarity.shape[-1]
    if k > patches:
        raise UserError(f"alignment.topk: {k} patches asked for, an image has {patches}; use {patches} or fewer")
    return similarity.topk(k, dim=-1, sorted=False).values.mean((-2, -1))


def attention_score(similarity: Tensor, beta: float) -> Tensor:
    """Patches weighted by softmax(beta * similarity), then the mean over prompts: (..., N, P) -> (...).

    The weights carry gradient: this is a smooth maximum, and `beta` says how smooth.
    """
    weights = (beta * similarity).softmax(-1)
    return (weights * similarity).sum(-1).mean(-1)


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
