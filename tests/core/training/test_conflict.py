"""ProGrad's projection, and its steps against those of the published code."""

import pytest
import torch
from torch.nn import functional as F

from dualpt.core.learned.scorers import llm_alignment, local_scorer
from dualpt.core.presets import method_setting
from dualpt.core.prompts.encoder import PromptEncoder
from dualpt.core.training.conflict import without_conflict
from dualpt.core.training.objective import Objective, Target
from dualpt.core.training.optim import ReplicaSGD, SGDOptions

SCALE, STEPS, BATCH, LENGTH = 30.0, 5, 5, 4
RATES, LAMBDAS = (2**-4, 2**-6, 2**-3), (1.0, 0.8, 0.3)
MOMENTUM, DECAY = 0.9, 5e-4


def unit(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


class Published:
    """One replica as BeierZhu/Prompt-align@27ddd3b trains it.

    `ProGradLoss` and `forward_backward` are in ProGrad.public/trainers/prograd.py, `prograd_backward_and_update` in
    Dassl.ProGrad.pytorch/dassl/engine/trainer.py; the temperature is the 1.0 of every configuration.
    """

    def __init__(self, start, encode, teacher, rate, lambda_):
        self.ctx = torch.nn.Parameter(start.clone())
        self.optim = torch.optim.SGD([self.ctx], lr=rate, momentum=MOMENTUM, weight_decay=DECAY)
        self.encode, self.teacher, self.lambda_ = encode, teacher, lambda_
        self.conflicts = []

    def step(self, images, labels):
        output = SCALE * images @ self.encode(self.ctx)[:, 0].t()
        xe_loss = F.cross_entropy(output, labels)
        tea_prob = F.softmax(SCALE * images @ self.teacher.t(), dim=-1)
        kl_loss = (-tea_prob * F.log_softmax(output, -1)).sum(1).mean()

        self.optim.zero_grad()
        kl_loss.backward(retain_graph=True)
        b_grad = self.ctx.grad.clone()
        self.optim.zero_grad()
        xe_loss.backward()
        b_grad_norm = b_grad / torch.linalg.norm(b_grad)
        a_grad = self.ctx.grad.clone()
        a_grad_norm = a_grad / torch.linalg.norm(a_grad)
        conflicts = torch.dot(a_grad_norm.flatten(), b_grad_norm.flatten()) < 0
        if conflicts:
            component = torch.dot(a_grad.flatten(), b_grad_norm.flatten())
            self.ctx.grad = a_grad - self.lambda_ * component * b_grad_norm
        self.optim.step()
        self.conflicts.append(bool(conflicts))
        return xe_loss.item()


def test_prograd_steps_as_published(double_clip, double_tower, reference_prompts, name_tokens):
    """Three replicas in one step, each with its own lambda and rate, against three loops on plain prompts."""
    name_tokens = name_tokens[:4]
    classes = len(name_tokens)
    teacher = unit(classes, 32, seed=1)
    start = 0.1 * torch.randn(3, 1, LENGTH, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    contexts = start.clone().requires_grad_()
    alignment = method_setting("prograd").alignment
    every = torch.ones(3, dtype=torch.float64)
    objective = Objective(
        scale=SCALE,
        local_weight=alignment.local_weight * every,
        local_scorer=local_scorer(alignment),
        llm_weight=torch.tensor(LAMBDAS, dtype=torch.float64),
        llm=llm_alignment(alignment),
        target=Target(teacher[:, None], torch.ones(classes, 1, dtype=torch.bool)),
    )
    options = SGDOptions(learning_rate=RATES, momentum=MOMENTUM, weight_decay=DECAY, warmup_learning_rate=1.0)
    optimiser = ReplicaSGD(contexts, options, epochs=1)
    optimiser.start_epoch(1)
    prompts = PromptEncoder(double_tower, name_tokens, context_length=LENGTH)

    def encode(context):
        return reference_prompts(double_clip, context, name_tokens, "end")

    loops = [
        Published(one, encode, teacher, rate, lambda_) for one, rate, lambda_ in zip(start, RATES, LAMBDAS, strict=True)
    ]
    for number in range(STEPS):
        images = unit(3, BATCH, 32, seed=10 + number)
        labels = torch.randint(classes, (3, BATCH), generator=torch.Generator().manual_seed(20 + number))
        terms = objective.terms(prompts.encode(contexts), images, None, labels)
        optimiser.step(objective.gradient(terms, contexts))
        expected = [loop.step(images[r], labels[r]) for r, loop in enumerate(loops)]
        assert objective.loss(terms).tolist() == pytest.approx(expected, abs=1e-9)
        for r, loop in enumerate(loops):
            assert (contexts[r] - loop.ctx).abs().max() < 1e-9
    assert {seen for loop in loops for seen in loop.conflicts} == {False, True}


def test_what_remains_is_orthogonal_to_what_is_kept():
    followed = torch.tensor([[[-3.0, 4.0]], [[-3.0, 4.0]], [[3.0, 4.0]]])
    kept = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]], [[2.0, 0.0]]])
    left = without_conflict(followed, kept, torch.tensor([1.0, 0.5, 1.0]))
    assert left.tolist() == [[[0.0, 4.0]], [[-1.5, 4.0]], [[3.0, 4.0]]]


def test_nothing_conflicts_with_a_gradient_of_zero():
    """The published code compares a NaN there, which is never below 0."""
    followed = torch.tensor([[1.0, -2.0]])
    assert torch.equal(without_conflict(followed, torch.zeros(1, 2), torch.ones(1)), followed)


def test_a_replica_that_diverged_leaves_the_others_alone():
    followed, kept = torch.tensor([[torch.nan, 1.0], [-1.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    left = without_conflict(followed, kept, torch.ones(2))
    assert left[0].isnan().any()
    assert left[1].tolist() == [0.0, 1.0]
