"""Measured errors against POT's converged plans, in float64."""

import logging

import numpy as np
import ot
import pytest
import torch
from torch.nn import functional as F

from dualpt.core.arrays import ImageFeatures
from dualpt.core.results import LARGE_PLAN_ERROR
from dualpt.core.training.objective import Target
from dualpt.core.training.plan_errors import SMALL_ERROR, PlanProbe
from dualpt.core.training.transport import transport_plan
from tests.core.training.scorers import llm_alignment, local_scorer

C, N, K, P, D = 3, 4, 9, 7, 6


def unit(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


PROMPTS, DESCRIPTIONS = unit(C, N, D, seed=1), unit(C, K, D, seed=2)
IMAGES = ImageFeatures(unit(5, D, seed=3), unit(5, P, D, seed=4), torch.zeros(5, dtype=torch.int64))
ALL = torch.ones(C, K, dtype=torch.bool)


def probe(llm_weight=1.0, local_weight=0.0, form="ot", mask=ALL, **knobs):
    return PlanProbe(
        local_scorer=local_scorer(form, **knobs),
        local_weight=torch.tensor([local_weight]),
        llm=llm_alignment(form if form == "ot" else "cosine", **knobs),
        llm_weight=torch.tensor([llm_weight]),
        target=Target(DESCRIPTIONS, mask),
    )


def converged(similarity, epsilon, relaxation=None):
    """POT's plan (N, columns) of one similarity matrix."""
    rows, columns = (np.full(n, 1 / n) for n in similarity.shape)
    cost, options = (1 - similarity).numpy(), {"numItermax": 100_000, "stopThr": 1e-13}
    if relaxation is None:
        return ot.sinkhorn(rows, columns, cost, epsilon, method="sinkhorn_log", **options)
    relaxed = {"reg_m": (float("inf"), relaxation), "reg_type": "kl", "method": "sinkhorn"}
    return ot.unbalanced.sinkhorn_unbalanced(rows, columns, cost, epsilon, **relaxed, **options)


def misplaced(plan, limit):
    return np.abs(plan.numpy().sum(0) - limit.sum(0)).sum() / 2


@pytest.mark.parametrize("epsilon", [0.3, 0.1, 0.05, 0.02])
def test_the_error_of_description_plans_is_the_mass_that_pot_puts_elsewhere(epsilon):
    (error,) = probe(ot_epsilon=epsilon).errors(PROMPTS[None], [None])
    similarities = PROMPTS @ DESCRIPTIONS.mT
    plans = transport_plan(similarities, epsilon=epsilon, iterations=20)
    limits = [converged(one, epsilon) for one in similarities]
    expected = [misplaced(plan, limit) for plan, limit in zip(plans, limits, strict=True)]
    assert error == pytest.approx(max(expected), abs=1e-7)


@pytest.mark.parametrize("relaxation", [0.05, 0.1, 1.0])
def test_the_error_of_relaxed_patch_plans_is_the_mass_that_pot_puts_elsewhere(relaxation):
    knobs = {"ot_epsilon": 0.05, "ot_iterations": 3, "ot_marginals": "unbalanced", "ot_relaxation": relaxation}
    (error,) = probe(llm_weight=0.0, local_weight=1.0, **knobs).errors(PROMPTS[None], [IMAGES])
    expected = []
    for image in IMAGES.local_features[:4]:
        for similarity in PROMPTS @ image.mT:
            plan = transport_plan(similarity, epsilon=0.05, iterations=3, relaxation=relaxation)
            expected.append(misplaced(plan, converged(similarity, 0.05, relaxation)))
    assert error == pytest.approx(max(expected), abs=1e-6)


def test_descriptions_that_a_class_lacks_count_as_no_column():
    mask = torch.arange(K) < torch.tensor([[2], [9], [5]])
    (error,) = probe(mask=mask, ot_epsilon=0.05).errors(PROMPTS[None], [None])
    expected = []
    for prompts, described, n in zip(PROMPTS, DESCRIPTIONS, (2, 9, 5), strict=True):
        similarity = prompts @ described[:n].mT
        plan = transport_plan(similarity, epsilon=0.05, iterations=20)
        expected.append(misplaced(plan, converged(similarity, 0.05)))
    assert error == pytest.approx(max(expected), abs=1e-7)


def test_too_few_sweeps_are_warned_of_with_a_number_that_suffices(caplog):
    with caplog.at_level(logging.WARNING):
        (error,) = probe(ot_epsilon=0.05).errors(PROMPTS[None], [None])
    (line,) = caplog.messages
    assert error > LARGE_PLAN_ERROR
    assert f"20 sweeps are too few for alignment.ot_epsilon 0.05: {100 * error:.1f} %" in line
    needed = int(line.split("set it to ")[1].split(",")[0])
    assert probe(ot_epsilon=0.05, ot_iterations=needed).errors(PROMPTS[None], [None])[0] <= SMALL_ERROR
    assert probe(ot_epsilon=0.05, ot_iterations=needed // 2).errors(PROMPTS[None], [None])[0] > SMALL_ERROR


def test_where_no_number_of_sweeps_suffices_the_warning_says_so(monkeypatch, caplog):
    monkeypatch.setattr("dualpt.core.training.plan_errors.MOST_SWEEPS", 100)
    with caplog.at_level(logging.WARNING):
        probe(ot_epsilon=0.001).errors(PROMPTS[None], [None])
    assert "even 100 do not suffice; raise alignment.ot_epsilon" in caplog.text


@pytest.mark.parametrize("images", [[None], [IMAGES]])
def test_converged_plans_have_no_error_and_are_not_warned_of(images, caplog):
    with caplog.at_level(logging.WARNING):
        (error,) = probe(local_weight=1.0, ot_epsilon=1.0).errors(PROMPTS[None], images)
    assert error == pytest.approx(0, abs=1e-7)
    assert not caplog.messages


def test_one_prompt_needs_one_sweep():
    (error,) = probe(ot_epsilon=0.001, ot_iterations=1).errors(PROMPTS[None, :, :1], [None])
    assert error == pytest.approx(0, abs=1e-7)


def test_replicas_without_plans_have_no_error():
    assert probe(form="topk", topk=2, local_weight=1.0).errors(PROMPTS[None], [IMAGES]) == [None]
    assert probe(llm_weight=0.0).errors(PROMPTS[None], [IMAGES]) == [None]


def test_a_replicas_error_is_its_own():
    both = PlanProbe(
        local_scorer=local_scorer("ot"),
        local_weight=torch.zeros(2),
        llm=llm_alignment("ot", ot_epsilon=0.05),
        llm_weight=torch.tensor([0.0, 1.0]),
        target=Target(DESCRIPTIONS, ALL),
    )
    alone = both.of([1]).errors(PROMPTS[None], [None])
    assert both.errors(torch.stack([unit(C, N, D, seed=9), PROMPTS]), [None, None]) == [None, *alone]
