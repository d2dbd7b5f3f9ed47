"""Scores and losses against their formulas, written out with loops."""

import dataclasses
import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import dualpt.core.training.objective
from dualpt.core.config.sections import AlignmentSection, LlmForm, LocalForm
from dualpt.core.errors import UserError
from dualpt.core.training.alignment import (
    LocalScorer,
    contrastive_loss,
    cosine_loss,
    kl_loss,
    mean_feature,
    transport_loss,
)
from dualpt.core.training.objective import Objective, Target, class_logits, local_class_scores, patch_similarity
from dualpt.core.training.transport import transport_plan
from tests.core.training.scorers import llm_alignment, local_scorer

R, B, C, N, P, K, D = 2, 3, 4, 2, 5, 3, 8
SCALE = 20.0
KNOBS = {"topk": 2, "topk_step": 3, "attention_beta": 7.0}


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


PROMPTS = unit(R, C, N, D, seed=1)
PATCHES = unit(R, B, P, D, seed=2)
IMAGES = unit(R, B, D, seed=3)
LABELS = torch.tensor([[0, 3, 1], [2, 2, 0]])
MASK = torch.tensor([[True, True, True], [True, False, False], [True, True, False], [True, True, True]])
DESCRIPTIONS = unit(C, K, D, seed=4) * MASK[..., None]


def normalised(vector):
    return vector / np.linalg.norm(vector)


def mean_prompt(r, c):
    return normalised(PROMPTS[r, c].numpy().mean(0))


def mean_description(c):
    return normalised(DESCRIPTIONS[c].numpy()[MASK[c].numpy()].mean(0))


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum())


def cross_entropy(logits, labels):
    return -np.mean([log_softmax(row)[label] for row, label in zip(logits, labels, strict=True)])


def similarity(r, b, c):
    """(P, N): patches by prompts."""
    return PATCHES[r, b].numpy() @ PROMPTS[r, c].numpy().T


def top(values, k):
    return np.sort(values)[-k:].mean()


def attend(values, beta):
    weights = np.exp(beta * values)
    return (weights / weights.sum() * values).sum()


FORMULAS = {
    "topk": lambda s: np.mean([top(s[:, n], 2) for n in range(N)]),
    "multiscale": lambda s: np.mean([top(s[:, n], 2 + 3 * n) for n in range(N)]),
    "attention": lambda s: np.mean([attend(s[:, n], 7.0) for n in range(N)]),
    "uniform": lambda s: s.mean(),
    "ot": lambda s: (transport_plan(torch.from_numpy(s.T), epsilon=0.1, iterations=20).numpy().T * s).sum(),
}


def test_every_local_form_has_its_formula_here():
    assert set(FORMULAS) == set(get_args(LocalForm))


@pytest.mark.parametrize("form", FORMULAS)
def test_local_scores(form):
    scores = local_scorer(form, **KNOBS)(patch_similarity(PATCHES, PROMPTS)).score
    for r in range(R):
        for b in range(B):
            for c in range(C):
                assert scores[r, b, c].item() == pytest.approx(FORMULAS[form](similarity(r, b, c)), abs=1e-10)


@pytest.mark.parametrize("form", FORMULAS)
def test_a_prompts_weights_sum_to_one(form):
    weights = local_scorer(form, **KNOBS).weights(patch_similarity(PATCHES, PROMPTS))
    assert weights.shape == (R, B, C, N, P)
    assert (weights >= 0).all()
    assert (weights.sum(-1) - 1).abs().max() <= 1e-12


def test_a_form_that_is_not_written_down_is_an_error():
    stray = dataclasses.replace(local_scorer("ot"), local_form="max")
    with pytest.raises(AssertionError, match="max"):
        stray(patch_similarity(PATCHES, PROMPTS))


@pytest.mark.parametrize("form", FORMULAS)
def test_classes_scored_a_few_at_a_time_give_the_same_numbers(form, monkeypatch):
    prompts = PROMPTS.clone().requires_grad_()

    def scores_and_gradient(limit):
        monkeypatch.setattr(dualpt.core.training.objective, "MAX_SIMILARITIES", limit)
        scores = local_class_scores(PATCHES, prompts, local_scorer(form, **KNOBS))
        weights = torch.arange(scores.numel(), dtype=scores.dtype).view(scores.shape)
        return scores, torch.autograd.grad((weights * scores).sum(), prompts)[0]

    for limit in (1, 3 * R * B * N * P):
        for chunked, whole in zip(scores_and_gradient(limit), scores_and_gradient(10**9), strict=True):
            assert (chunked - whole).abs().max() <= 1e-12


def test_unbalanced_scores_differ_from_balanced_ones():
    grid = patch_similarity(PATCHES, PROMPTS)
    balanced = local_scorer("ot", ot_marginals="uniform")(grid).score
    relaxed = local_scorer("ot", ot_marginals="unbalanced", ot_relaxation=0.05)(grid).score
    assert (relaxed > balanced + 1e-3).all()


def test_transport_gradient_is_the_plan():
    grid = patch_similarity(PATCHES, PROMPTS).detach().requires_grad_()
    scorer = local_scorer("ot")
    (gradient,) = torch.autograd.grad(scorer(grid).score.sum(), grid)
    assert torch.equal(gradient, scorer.plan(grid))


def test_more_top_patches_than_patches_is_one_clear_error():
    with pytest.raises(UserError, match=r"alignment\.topk: 6 patches asked for, an image has 5"):
        local_scorer("topk", topk=6)(patch_similarity(PATCHES, PROMPTS))


def test_the_scales_of_a_form_are_gallops():
    """Four prompts on ViT-B/16's patches: 5, 10, 15 and 20 of them (MarcLafon/gallop, scripts/run_dtd.sh)."""
    weights = local_scorer("multiscale", topk=5, topk_step=5).weights(unit(4, 196, seed=3))
    assert (weights > 0).sum(-1).tolist() == [5, 10, 15, 20]
    with pytest.raises(UserError, match=r"alignment\.topk: 11 patches asked for, an image has 5"):
        local_scorer("multiscale", topk=2, topk_step=9)(patch_similarity(PATCHES, PROMPTS))


def test_defaults_of_the_scorer_are_the_configurations():
    """Which leaves checkpoints valid that were written before a knob came."""
    own = {field.name: field.default for field in dataclasses.fields(LocalScorer)}
    for name, default in own.items():
        assert default in (dataclasses.MISSING, AlignmentSection.model_fields[name].default)


def test_shared_images_broadcast_over_replicas():
    shared = patch_similarity(PATCHES[:1], PROMPTS)
    assert shared.shape == (R, B, C, N, P)
    assert torch.allclose(shared[1], patch_similarity(PATCHES[:1], PROMPTS[1:])[0])
    assert class_logits(IMAGES[:1], mean_feature(PROMPTS), SCALE).shape == (R, B, C)


def cosine_formula(r):
    return 1 - np.mean([mean_prompt(r, c) @ mean_description(c) for c in range(C)])


def transport_formula(r):
    costs = []
    for c in range(C):
        s = PROMPTS[r, c] @ DESCRIPTIONS[c, MASK[c]].T
        costs.append(1 - (transport_plan(s, epsilon=0.2, iterations=30) * s).sum().item())
    return np.mean(costs)


def contrastive_formula(r):
    logits = np.array([[SCALE * mean_prompt(r, i) @ mean_description(j) for j in range(C)] for i in range(C)])
    return (cross_entropy(logits, range(C)) + cross_entropy(logits.T, range(C))) / 2


def kl_formula(r):
    total = 0.0
    for b in range(B):
        image = IMAGES[r, b].numpy()
        log_p = log_softmax(np.array([SCALE * image @ mean_prompt(r, c) for c in range(C)]))
        log_q = log_softmax(np.array([SCALE * image @ mean_description(c) for c in range(C)]))
        total += (np.exp(log_q) * (log_q - log_p)).sum()
    return total / B


LLM_FORMULAS = {
    "cosine": cosine_formula,
    "ot": transport_formula,
    "contrastive": contrastive_formula,
    "kl": kl_formula,
}


def llm_losses():
    prompts, target = mean_feature(PROMPTS), mean_feature(DESCRIPTIONS, MASK)
    return {
        "cosine": cosine_loss(prompts, target),
        "ot": transport_loss(PROMPTS, DESCRIPTIONS, MASK, epsilon=0.2, iterations=30),
        "contrastive": contrastive_loss(prompts, target, SCALE),
        "kl": kl_loss(class_logits(IMAGES, prompts, SCALE), class_logits(IMAGES, target[None], SCALE)),
    }


def test_every_llm_form_has_its_formula_here():
    assert set(LLM_FORMULAS) == set(get_args(LlmForm))


@pytest.mark.parametrize("form", LLM_FORMULAS)
def test_llm_losses(form):
    assert llm_losses()[form].tolist() == pytest.approx([LLM_FORMULAS[form](r) for r in range(R)], abs=1e-10)


def objective(llm_weight, local_weight, llm_form="cosine", target=True, local_form="topk"):
    return Objective(
        scale=SCALE,
        local_weight=torch.tensor(local_weight, dtype=torch.float64),
        local_scorer=local_scorer(local_form, topk=2),
        llm_weight=torch.tensor(llm_weight, dtype=torch.float64),
        llm=llm_alignment(llm_form, ot_epsilon=0.2, ot_iterations=30),
        target=Target(DESCRIPTIONS, MASK) if target else None,
    )


@pytest.mark.parametrize("form", LLM_FORMULAS)
def test_the_total_is_the_weighted_sum_of_its_terms(form):
    llm_weight, local_weight = (0.7, 2.0), (0.3, 0.0)
    loss = objective(llm_weight, local_weight, form)(PROMPTS, IMAGES, PATCHES, LABELS)
    for r in range(R):
        global_logits = [[SCALE * IMAGES[r, b].numpy() @ mean_prompt(r, c) for c in range(C)] for b in range(B)]
        local_logits = [[SCALE * FORMULAS["topk"](similarity(r, b, c)) for c in range(C)] for b in range(B)]
        expected = (
            cross_entropy(np.array(global_logits), LABELS[r])
            + local_weight[r] * cross_entropy(np.array(local_logits), LABELS[r])
            + llm_weight[r] * LLM_FORMULAS[form](r)
        )
        assert loss[r].item() == pytest.approx(expected, abs=1e-10)


def test_a_weight_of_zero_beside_others_is_as_alone():
    both = objective((0.0, 2.0), (1.0, 0.0))(PROMPTS, IMAGES, PATCHES, LABELS)
    for r, weights in enumerate([((0.0,), (1.0,)), ((2.0,), (0.0,))]):
        alone = objective(*weights)(PROMPTS[r : r + 1], IMAGES[r : r + 1], PATCHES[r : r + 1], LABELS[r : r + 1])
        assert both[r].item() == pytest.approx(alone.item(), abs=1e-12)


def test_terms_of_weight_zero_need_no_inputs():
    loss = objective((0.0, 0.0), (0.0, 0.0), target=False)(PROMPTS, IMAGES, None, LABELS)
    assert loss.isfinite().all()
    with pytest.raises(ValueError, match="local"):
        objective((0.0, 0.0), (0.0, 1.0))(PROMPTS, IMAGES, None, LABELS)
    with pytest.raises(ValueError, match="target"):
        objective((0.0, 1.0), (0.0, 0.0), target=False)


def test_a_perfect_match_costs_nothing():
    prompts = unit(1, C, D)
    target = prompts[0]
    assert cosine_loss(prompts, target).item() == pytest.approx(0, abs=1e-12)
    one_each = torch.ones(C, 1, dtype=torch.bool)
    assert transport_loss(prompts[:, :, None], target[:, None], one_each, epsilon=0.1, iterations=9).item() == (
        pytest.approx(0, abs=1e-12)
    )
    logits = class_logits(IMAGES[:1], prompts, SCALE)
    assert kl_loss(logits, logits).item() == pytest.approx(0, abs=1e-12)
    assert 0 < contrastive_loss(prompts, target, SCALE).item() < math.log(C)
