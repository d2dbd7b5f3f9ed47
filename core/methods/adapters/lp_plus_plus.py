"""LP++: a linear probe plus the class names, each with a learned weight.

    logits = V f + b + a_c (f.t_c),   loss = cross-entropy

f (D) and t_c (D) are normalised, and there is no factor s. F (N, D) are the training features.

    V (C, D)  begins at the class sums of F
    b (C)     begins as `torch.nn.Linear`'s, uniform within 1 / sqrt(D)
    a (C)     begins at 250 times the mean over classes of the class's mean f.t_c

Full-batch steps: V and b by SGD with momentum at the rate 4 N / lambda_max(FᵀF); a every tenth step by plain descent
at the rate N / (4 max_c sum_i (f_i.t_c)²). As in its authors' code, the gradient of a is never zeroed: the tenth step
descends the sum of ten gradients, the twentieth that of twenty.

Its authors keep the last of the steps that do best on as many validation images per class as there are training images;
with `steps` set, that many are taken and the last is kept. They compute in half precision, and where there are several
templates (ImageNet) they normalise each one's text feature before the mean; here the mean is normalised.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.methods import descent
from dualpt.core.methods.choosing import check_every_class, validation_images
from dualpt.core.methods.interface import Fitted, Labelled, LinearClassifier, Method, MethodOptions, Needs, Support
from dualpt.core.random_streams import random_stream
from dualpt.core.training.progress import Report

MOST_STEPS = 300
"""Steps among which one is chosen on validation images."""
STEPS_PER_BLEND = 10
"""Steps of V and b per step of a."""


class LpPlusPlusOptions(MethodOptions):
    steps: int | None = Field(None, ge=1, le=100_000)
    """Full-batch steps; None takes 300 and keeps the classifier of the step that is best on validation images."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum."""
    views: int = Field(1, ge=0, le=1000)
    """Random crops per training image, all trained on; 0 takes the plain centre crop."""
    min_crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


class LpPlusPlus(Method[LpPlusPlusOptions]):
    name = "lp-plus-plus"
    title = "LP++"
    short_title = "LP++"
    group = "adapter"
    source = "FereshteShakeri/FewShot-CLIP-Strong-Baseline@f81054f: methods/linear_probe_p2.py"
    every_class = True
    options = LpPlusPlusOptions

    def needs(self, options: LpPlusPlusOptions) -> Needs:
        return Needs(views=options.views, min_crop_area=options.min_crop_area, validation=options.steps is None)

    def fit(self, support: Support, options: Sequence[LpPlusPlusOptions]) -> Fitted:
        check_every_class(support, self.name)
        common = options[0]
        if common.steps is None:
            val = validation_images(support, [f"{self.name}.steps"], "its authors take at most 300")
            return _best_of(BlendedHead(support), MOST_STEPS, common.momentum, val, support.report)
        head = BlendedHead(support)
        losses = descent.history(head.descend(common.steps, common.momentum), common.steps, support.report)
        return Fitted(head.classifier(), losses=losses.tolist(), failures=descent.divergences(losses))


class BlendedHead:
    """V (R, C, D), b (R, C) and a (R, C) in training, on P = V N pooled views."""

    def __init__(self, support: Support) -> None:
        self._features, self._labels = support.rows, support.row_labels
        self._text = support.text
        self._similarities = self._features @ self._text.T
        """(R, P, C)"""
        one_hot = F.one_hot(self._labels, len(self._text)).to(self._features.dtype)
        sums = torch.bmm(one_hot.mT, self._features)
        of_class = (one_hot * self._similarities).sum(dim=1) / one_hot.sum(dim=1)
        self.weights = sums.requires_grad_()
        self.bias = _initial_bias(support.seeds, sums).requires_grad_()
        self.blend = (250 * of_class.mean(dim=1, keepdim=True)).repeat(1, len(self._text)).requires_grad_()

    def descend(self, steps: int, momentum: float) -> Iterator[Tensor]:
        """Yield every step's losses (R)."""
        blend_rates = self._blend_rates()
        descending = descent.descend(
            [self.weights, self.bias],
            self._losses,
            ([self._features] for _ in range(steps)),
            optimizer=partial(torch.optim.SGD, momentum=momentum),
            learning_rate=self._weight_rates().tolist(),
            schedule=descent.constant,
        )
        for step, losses in enumerate(descending, start=1):
            if step % STEPS_PER_BLEND == 0:
                assert self.blend.grad is not None  # and is never zeroed: see the module's docstring
                with torch.no_grad():
                    self.blend.sub_(blend_rates[:, None] * self.blend.grad)
            yield losses

    def classifier(self) -> LinearClassifier:
        """The current state."""
        blended = self.blend.detach()[..., None] * self._text
        return LinearClassifier(self.weights.detach() + blended, self.bias.detach().clone())

    def _losses(self, features: Tensor) -> Tensor:
        vision = torch.baddbmm(self.bias[:, None], features, self.weights.mT)
        return descent.cross_entropy(vision + self.blend[:, None] * self._similarities, self._labels)

    def _weight_rates(self) -> Tensor:
        """4 P / lambda_max(FᵀF): (R). F Fᵀ has the same largest eigenvalue, so the smaller of the two is decomposed."""
        features = self._features.double()
        n, width = features.shape[1:]
        gram = features @ features.mT if n < width else features.mT @ features
        largest: Tensor = torch.linalg.eigvalsh(gram)[:, -1]
        return 4 * n / largest

    def _blend_rates(self) -> Tensor:
        """P / (4 max_c sum_i (f_i.t_c)²): (R)."""
        return self._features.shape[1] / (4 * self._similarities.square().sum(dim=1).amax(dim=1))


def _best_of(head: BlendedHead, steps: int, momentum: float, val: Labelled, report: Report | None) -> Fitted:
    """Keep, for each replica, the last of the steps that classify most validation images correctly."""
    kept, losses = head.classifier(), []
    most, chosen = (torch.full((len(val.labels),), start, device=val.labels.device) for start in (-1, 0))
    for step, loss in enumerate(descent.reported(head.descend(steps, momentum), steps, report), start=1):
        now = head.classifier()
        logits = torch.baddbmm(now.bias[:, None], val.images.directions, now.weights.mT)
        correct = (logits.argmax(dim=-1) == val.labels).sum(dim=1)
        better = correct >= most
        kept = LinearClassifier(
            torch.where(better[:, None, None], now.weights, kept.weights),
            torch.where(better[:, None], now.bias, kept.bias),
        )
        most, chosen = torch.where(better, correct, most), torch.where(better, step, chosen)
        losses.append(loss)
    history = torch.stack(losses, dim=1)
    steps_kept = [{"steps": float(step)} for step in chosen.tolist()]
    return Fitted(kept, chosen=steps_kept, losses=history.tolist(), failures=descent.divergences(history))


def _initial_bias(seeds: Sequence[int], weights: Tensor) -> Tensor:
    """(R, C), as `torch.nn.Linear` begins."""
    n_classes, width = weights.shape[1:]
    bound = 1 / math.sqrt(width)
    streams = [random_stream(seed, "lp-plus-plus bias") for seed in seeds]
    rows = [torch.empty(n_classes).uniform_(-bound, bound, generator=stream) for stream in streams]
    return torch.stack(rows).to(weights.device)
