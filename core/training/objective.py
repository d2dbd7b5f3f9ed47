"""Logits of prompted CLIP, and the loss of DuAl-PT for R replicas at once.

Shapes: R replicas, B images, C classes, N prompts per class, P patches, K descriptions per class, D joint width. All
features are L2-normalised; `scale` is CLIP's logit scale s.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, assert_never

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dualpt.core.arrays import ClassText
from dualpt.core.config.sections import CrossEntropy
from dualpt.core.errors import UserError
from dualpt.core.training.alignment import (
    LlmAlignment,
    LocalScorer,
    contrastive_loss,
    cosine_loss,
    kl_loss,
    mean_feature,
    transport_loss,
)
from dualpt.core.training.conflict import without_conflict

MAX_SIMILARITIES = 2**25
"""Patch similarities held at once in training, at most: 128 MiB in float32, of which the forms hold several copies."""


def class_logits(images: Tensor, classes: Tensor, scale: float) -> Tensor:
    """s * <f, w_c>: images (R or 1, B, D), class features (R or 1, C, D) -> (R, B, C)."""
    logits: Tensor = scale * images @ classes.mT
    return logits


def patch_similarity(patches: Tensor, prompts: Tensor) -> Tensor:
    """Cosines of patches (R or 1, B, P, D) and prompts (R, C, N, D): (R, B, C, N, P).

    One matrix product per replica; in memory the patches come last, since every local form reduces over them first.
    """
    n_images, n_patches = patches.shape[1:3]
    n_classes, n_prompts = prompts.shape[1:3]
    similarity = prompts.flatten(1, 2) @ patches.flatten(1, 2).mT
    return similarity.view(-1, n_classes, n_prompts, n_images, n_patches).permute(0, 3, 1, 2, 4)


def local_class_scores(patches: Tensor, prompts: Tensor, scorer: LocalScorer) -> Tensor:
    """Local scores (R, B, C) of patches (R, B, P, D) and prompts (R, C, N, D), in bounded memory.

    Above `MAX_SIMILARITIES`, classes are scored a few at a time and again in the backward pass: a class's scores do
    not depend on the others, and the numbers stay.
    """

    def of_some(patches: Tensor, prompts: Tensor) -> Tensor:
        return scorer(patch_similarity(patches, prompts)).score

    per_class = patches.shape[:-1].numel() * prompts.shape[2]
    at_once = max(1, MAX_SIMILARITIES // per_class)
    if prompts.shape[1] <= at_once:
        return of_some(patches, prompts)
    again = partial(checkpoint, of_some, use_reentrant=False, preserve_rng_state=False)
    return torch.cat([again(patches, some) for some in prompts.split(at_once, dim=1)], dim=2)


class Target(NamedTuple):
    """What prompts are aligned with: each class's descriptions, or its template as its only description."""

    features: Tensor
    """(C, K, D)"""
    mask: Tensor
    """(C, K) bool: which rows exist."""


def descriptions_target(text: ClassText, key: str, device: torch.device) -> Target:
    """The descriptions of the classes of `text`.

    Raises:
        UserError: there are none, but the configuration's `key` asks for them.
    """
    if text.descriptions is None:
        raise UserError(f"{key}: the class descriptions are missing; name a bank in descriptions.bank, or set it to 0")
    features = text.descriptions.to(device, torch.float32)
    if text.description_mask is None:
        return Target(features, features.new_ones(features.shape[:2], dtype=torch.bool))
    return Target(features, text.description_mask.to(device))


def template_target(text: ClassText, device: torch.device) -> Target:
    """The template with each class's name, as that class's only description.

    Raises:
        UserError: `text` has none.
    """
    if text.template is None:
        raise UserError("alignment.llm_target: the template's features are missing")
    features = text.template[:, None].to(device, torch.float32)
    return Target(features, features.new_ones(features.shape[:2], dtype=torch.bool))


class Terms(NamedTuple):
    """The two parts of the loss of each replica."""

    labels: Tensor
    """(R,), with its weights."""
    llm: Tensor | None
    """(R,), without its weight; None where no replica has one."""


class Objective:
    """The training loss of each replica: global_weight * CE(global) + local_weight * CE(local) + llm_weight * L_llm.

    Where logits are `summed`, as in PLOT (arXiv 2210.01253), the first two terms are one, CE(global_weight * global +
    local_weight * local). A term whose weight is zero in every replica is not computed.

    Where the gradient of L_llm is `projected`, as in ProGrad (arXiv 2205.14865), L_llm isn't part of the loss: the
    gradient of the rest is followed without what conflicts with that of L_llm, and llm_weight is the share of the
    conflict that is taken out.

    Args:
        scale: CLIP's logit scale.
        global_weight: Weights of global logits (R,); None is 1 for all.
        cross_entropy: Whether cross-entropies or logits are summed.
        local_weight: Weights of the cross-entropy on local logits (R,).
        local_scorer: How patch similarities become one score per class.
        llm_weight: Weights of the alignment with descriptions (R,).
        llm: Its form.
        target: None only where every `llm_weight` is zero.
    """

    def __init__(
        self,
        *,
        scale: float,
        local_weight: Tensor,
        local_scorer: LocalScorer,
        llm_weight: Tensor,
        llm: LlmAlignment,
        target: Target | None,
        global_weight: Tensor | None = None,
        cross_entropy: CrossEntropy = "separate",
    ) -> None:
        uses_llm = bool((llm_weight > 0).any())
        if uses_llm and target is None:
            raise ValueError("llm_weight > 0 needs a target")
        self.uses_local = bool((local_weight > 0).any())
        self._global_weight = torch.ones_like(local_weight) if global_weight is None else global_weight
        self._uses_global = bool((self._global_weight > 0).any())
        self._cross_entropy = cross_entropy
        self._scale = scale
        self._local_weight = local_weight
        self._local_scorer = local_scorer
        self._llm_weight = llm_weight
        self._llm = llm
        self._target = target if uses_llm else None
        self._projects = uses_llm and llm.llm_gradient == "projected"
        self._mean_target = torch.empty(0) if target is None else mean_feature(*target)

    def __call__(self, prompts: Tensor, images: Tensor, patches: Tensor | None, labels: Tensor) -> Tensor:
        """The loss of each replica (R,); arguments are those of `terms`."""
        return self.loss(self.terms(prompts, images, patches, labels))

    def loss(self, terms: Terms) -> Tensor:
        """What is descended (R,)."""
        if terms.llm is None or self._projects:
            return terms.labels
        return terms.labels + self._llm_weight * terms.llm

    def gradient(self, terms: Terms, contexts: Tensor) -> Tensor:
        """What contexts (R, ...) that `terms` were computed from are stepped along, of their shape."""
        (gradient,) = torch.autograd.grad(self.loss(terms).sum(), contexts, retain_graph=self._projects)
        if terms.llm is None or not self._projects:
            return gradient
        (kept,) = torch.autograd.grad(terms.llm.sum(), contexts)
        return without_conflict(gradient, kept, self._llm_weight)

    def terms(self, prompts: Tensor, images: Tensor, patches: Tensor | None, labels: Tensor) -> Terms:
        """The parts of the loss; replicas share nothing, and the gradient of the sum is each replica's own.

        Args:
            prompts: (R, C, N, D)
            images: (R, B, D)
            patches: (R, B, P, D); may be None where every `local_weight` is zero.
            labels: (R, B) int64
        """
        class_features = mean_feature(prompts)
        logits = class_logits(images, class_features, self._scale)
        terms = [(self._global_weight, logits)] if self._uses_global else []
        if self.uses_local:
            if patches is None:
                raise ValueError("local_weight > 0 needs local image features")
            terms.append((self._local_weight, self._scale * local_class_scores(patches, prompts, self._local_scorer)))
        of_labels = self._label_loss(terms, labels)
        if self._target is None:
            return Terms(of_labels, None)
        return Terms(of_labels, self._llm_loss(self._target, prompts, class_features, images, logits))

    def _label_loss(self, terms: Sequence[tuple[Tensor, Tensor]], labels: Tensor) -> Tensor:
        """(R,) from the terms' weights (R,) and logits (R, B, C)."""
        match self._cross_entropy:
            case "separate":
                losses = [weight * cross_entropy(logits, labels) for weight, logits in terms]
                return torch.stack(losses).sum(0)
            case "summed":
                weighted = [weight[:, None, None] * logits for weight, logits in terms]
                return cross_entropy(torch.stack(weighted).sum(0), labels)
            case _:
                assert_never(self._cross_entropy)

    def _llm_loss(
        self, target: Target, prompts: Tensor, class_features: Tensor, images: Tensor, logits: Tensor
    ) -> Tensor:
        """(R,)"""
        match self._llm.llm_form:
            case "cosine":
                return cosine_loss(class_features, self._mean_target)
            case "contrastive":
                return contrastive_loss(class_features, self._mean_target, self._scale)
            case "kl":
                return kl_loss(logits, class_logits(images, self._mean_target[None], self._scale))
            case "ot":
                epsilon, iterations = self._llm.ot_epsilon, self._llm.ot_iterations
                return transport_loss(prompts, *target, epsilon=epsilon, iterations=iterations)
            case _:
                assert_never(self._llm.llm_form)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over images: logits (R, B, C), labels (R, B) -> (R,)."""
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return loss.view(labels.shape).mean(1)
