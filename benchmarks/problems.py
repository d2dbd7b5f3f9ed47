"""Training problems of any shape on random features, and the plain way to take the same step.

Shapes: R replicas, B images, C classes, N prompts per class, L context tokens, P patches, W text width, D joint width.
"""

import time
from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.clip.backbone import Backbone
from dualpt.core.config.sections import AlignmentSection, ClassTokenPosition, LocalForm
from dualpt.core.learned.scorers import llm_alignment, local_scorer
from dualpt.core.prompts.encoder import PromptEncoder, initial_contexts
from dualpt.core.training.objective import Objective
from dualpt.core.training.optim import ReplicaSGD, SGDOptions
from dualpt.core.training.step import Step, training_step

BATCH, CONTEXT_LENGTH = 32, 16


class Problem:
    """R replicas of one setting on stored features, everything on the backbone's device."""

    def __init__(
        self,
        backbone: Backbone,
        names: Sequence[Sequence[int]],
        *,
        replicas: int = 1,
        n_prompts: int = 1,
        position: ClassTokenPosition = "end",
        class_specific: bool = False,
        local_form: LocalForm | None = None,
        ot_iterations: int = 20,
    ) -> None:
        device = backbone.device
        self.tower = backbone.text
        full_stop = backbone.tokenizer.encode(".")
        self.names, self.replicas = [(*name, *full_stop) for name in names], replicas
        self.prompts = PromptEncoder(
            self.tower,
            self.names,
            context_length=CONTEXT_LENGTH,
            class_token_position=position,
            class_specific=class_specific,
        )
        self.contexts = initial_contexts(
            self.tower,
            seeds=range(replicas),
            n_prompts=n_prompts,
            context_length=CONTEXT_LENGTH,
            n_classes=len(names) if class_specific else None,
        ).requires_grad_()
        alignment = AlignmentSection(local_form=local_form or "uniform", ot_iterations=ot_iterations)
        self.objective = Objective(
            scale=self.tower.logit_scale,
            local_weight=torch.full((replicas,), 0.0 if local_form is None else 0.5, device=device),
            local_scorer=local_scorer(alignment),
            llm_weight=torch.zeros(replicas, device=device),
            llm=llm_alignment(alignment),
            target=None,
        )
        draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
        self.images = F.normalize(draw(replicas, BATCH, backbone.width), dim=-1).to(device)
        self.patches = None
        if local_form is not None:
            self.patches = F.normalize(draw(replicas, BATCH, backbone.n_positions, backbone.width), dim=-1).to(device)
        self.labels = (torch.arange(replicas * BATCH) % len(names)).view(replicas, BATCH).to(device)
        self.target = F.normalize(draw(len(names), n_prompts, backbone.width), dim=-1).to(device)

    @cached_property
    def step(self) -> Step:
        options = SGDOptions(
            learning_rate=[0.002] * self.replicas, momentum=0.9, weight_decay=5e-4, warmup_learning_rate=1e-5
        )
        optimiser = ReplicaSGD(self.contexts, options, epochs=2)
        optimiser.start_epoch(1)  # the first after the warm-up
        return training_step(self.contexts, self.prompts, self.objective, optimiser)

    def take_step(self) -> Tensor:
        """A training step: the losses (R,)."""
        return self.step(self.images, self.patches, self.labels)

    def gradient(self) -> Tensor:
        """Of the losses, to the contexts; nothing is updated."""
        losses = self.objective(self.prompts.encode(self.contexts), self.images, self.patches, self.labels)
        (gradient,) = torch.autograd.grad(losses.sum(), self.contexts)
        return gradient

    def text_gradient(self) -> Tensor:
        """A text step: features of all prompts, and the gradient to the contexts of their cosines with a target."""
        (gradient,) = torch.autograd.grad((self.prompts.encode(self.contexts) * self.target).sum(), self.contexts)
        return gradient

    def plain_text_gradient(self) -> Tensor:
        """The same for R = N = 1 and a shared context at the end, on 77 positions per class."""
        features = self._plain_features()
        (gradient,) = torch.autograd.grad((features * self.target[:, 0]).sum(), self.contexts)
        return gradient

    def plain_coop_step(self, backbone: Backbone, pixels: Tensor) -> Tensor:
        """CoOp's step: the image tower on pixels (B, 3, height, width), 77 positions per class, torch's own SGD."""
        images, _ = backbone.encode_images(pixels, None)
        logits = self.tower.logit_scale * images @ self._plain_features().T
        loss = F.cross_entropy(logits, self.labels[0])
        optimiser = torch.optim.SGD([self.contexts], lr=0.002, momentum=0.9, weight_decay=5e-4)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.detach()

    def _plain_features(self) -> Tensor:
        """CoOp's way: every prompt padded to 77 positions and encoded whole by open_clip's own layers. (C, D)."""
        tower = self.tower
        ids = torch.zeros(len(self.names), tower.context_length, dtype=torch.int64)
        ends = []
        for row, name in zip(ids, self.names, strict=True):
            prompt = [tower.start_token, *[0] * CONTEXT_LENGTH, *name, tower.end_token]
            row[: len(prompt)] = torch.tensor(prompt)
            ends.append(len(prompt) - 1)
        frozen = tower.embed(ids)
        context = self.contexts[0].to(tower.dtype).expand(len(self.names), -1, -1)
        x = torch.cat([frozen[:, :1], context, frozen[:, 1 + CONTEXT_LENGTH :]], dim=1)
        positions = tower.position_embeddings(torch.arange(tower.context_length))
        return tower.encode_full(x + positions, torch.tensor(ends, device=tower.device))


def matmul_rate(device: torch.device, dtype: torch.dtype, rows: int, width: int) -> float:
    """The device's floating-point operations a second in x (rows, width) @ w (width, 4 width), best of some."""
    x, w = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, width), (width, 4 * width)))
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        x @ w
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * rows * width * 4 * width / best
