"""Steps on a GPU: they never wait for it, and a CUDA graph gives the numbers of single operations."""

import pytest
import torch
from torch.nn import functional as F

from dualpt.core.arrays import ImageFeatures
from dualpt.core.features.train_images import CachedTrainImages
from dualpt.core.prompts.encoder import PromptEncoder, initial_contexts
from dualpt.core.training.fit import _epoch
from dualpt.core.training.objective import Objective, Target
from dualpt.core.training.optim import ReplicaSGD, SGDOptions
from dualpt.core.training.step import EAGER_STEPS, GraphedStep, training_step
from tests.core.text_side import text_tower_of
from tests.core.training.scorers import llm_alignment, local_scorer

JOINT_WIDTH, PATCHES, N_IMAGES, BATCH = 32, 6, 24, 8

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: steps on a GPU cannot be run here")


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


class Problem:
    """Two replicas on random features, all on one device."""

    def __init__(self, make_clip, tokenizer, name_tokens, device, llm_gradient="added"):
        tower = text_tower_of(make_clip().to(device), tokenizer)
        self.labels = torch.arange(N_IMAGES) % len(name_tokens)
        views = [
            ImageFeatures(
                unit(N_IMAGES, JOINT_WIDTH, seed=v), unit(N_IMAGES, PATCHES, JOINT_WIDTH, seed=9 + v), self.labels
            )
            for v in range(2)
        ]
        self.images = CachedTrainImages(views, [str(i) for i in range(N_IMAGES)], device)
        self.prompts = PromptEncoder(tower, name_tokens, context_length=4)
        self.contexts = initial_contexts(tower, seeds=[1, 2], n_prompts=2, context_length=4).requires_grad_()
        descriptions = unit(len(name_tokens), 3, JOINT_WIDTH, seed=5).to(device)
        self.objective = Objective(
            scale=100.0,
            local_weight=torch.tensor([1.0, 0.5], device=device),
            local_scorer=local_scorer("ot", ot_iterations=5),
            llm_weight=torch.tensor([1.0, 4.0], device=device),
            llm=llm_alignment(llm_gradient=llm_gradient),
            target=Target(descriptions, torch.ones(descriptions.shape[:2], dtype=torch.bool, device=device)),
        )
        self.batches = torch.arange(6 * 2 * BATCH).view(6, 2, BATCH) % N_IMAGES
        self.step = self.new_step()

    def new_step(self):
        options = SGDOptions(learning_rate=[0.05, 0.02], momentum=0.9, weight_decay=5e-4, warmup_learning_rate=0.05)
        self.optimiser = ReplicaSGD(self.contexts, options, epochs=4)
        return training_step(self.contexts, self.prompts, self.objective, self.optimiser)

    def epoch(self, step, number=0):
        self.optimiser.start_epoch(number)
        return _epoch(step, self.images, self.labels, self.batches, number, self.contexts.device)


@pytest.mark.parametrize("llm_gradient", ["added", "projected"])
def test_a_step_returns_the_loss_before_its_update(make_clip, tokenizer, name_tokens, llm_gradient):
    problem = Problem(make_clip, tokenizer, name_tokens, torch.device("cpu"), llm_gradient)
    before = problem.contexts.detach().clone()
    first = problem.epoch(problem.step)
    assert (problem.contexts.detach() - before).abs().amax((1, 2, 3)).min() > 1e-4
    with torch.no_grad():
        problem.contexts.copy_(before)
    assert torch.equal(problem.epoch(problem.new_step()), first)


@on_gpu
def test_steps_never_wait_for_the_device(make_clip, tokenizer, name_tokens):
    problem = Problem(make_clip, tokenizer, name_tokens, torch.device("cuda"))
    problem.epoch(problem.step)  # libraries may wait when they are first used
    images, labels, rows = problem.images, problem.labels[problem.batches].cuda(), problem.batches.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for of_step in range(len(rows)):
            problem.step(*images.batch(rows[of_step], 1), labels[of_step])
    finally:
        torch.cuda.set_sync_debug_mode("default")


@on_gpu
@pytest.mark.parametrize("llm_gradient", ["added", "projected"])
def test_a_graph_gives_the_numbers_of_single_operations(make_clip, tokenizer, name_tokens, llm_gradient):
    device = torch.device("cuda")
    eager, graphed = (Problem(make_clip, tokenizer, name_tokens, device, llm_gradient) for _ in range(2))
    step = GraphedStep(graphed.step)
    assert len(graphed.batches) > EAGER_STEPS
    for number in range(3):
        assert torch.allclose(eager.epoch(eager.step, number), graphed.epoch(step, number), atol=1e-5)
    assert step.captured
    assert torch.allclose(eager.contexts, graphed.contexts, atol=1e-5)


@on_gpu
def test_half_precision_towers_keep_contexts_and_losses_in_float32(make_clip, tokenizer, name_tokens):
    def half(**options):
        return make_clip(**options).bfloat16()

    problem = Problem(half, tokenizer, name_tokens, torch.device("cuda"))
    assert problem.epoch(problem.step).dtype == torch.float32
    assert problem.contexts.dtype == torch.float32
