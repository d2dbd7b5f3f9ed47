"""Plans against POT's solvers, run to convergence."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dualpt.core.training import transport
from dualpt.core.training.transport import plan_entropy, transport_plan

EPSILONS = (1.0, 0.1, 0.05, 0.04, 0.01, 0.001)


def cosines(n_rows=4, n_columns=9, batch=(3,), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    rows = F.normalize(torch.randn(*batch, n_rows, 6, generator=generator, dtype=dtype), dim=-1)
    columns = F.normalize(torch.randn(*batch, n_columns, 6, generator=generator, dtype=dtype), dim=-1)
    return rows @ columns.mT


@pytest.mark.parametrize("epsilon", [e for e in EPSILONS if e >= 0.01])
def test_uniform_plans_equal_pot(epsilon):
    similarity = cosines()
    plans = transport_plan(similarity, epsilon=epsilon, iterations=5000)
    rows, columns = np.full(4, 1 / 4), np.full(9, 1 / 9)
    for plan, one in zip(plans, similarity, strict=True):
        expected = ot.sinkhorn(
            rows, columns, (1 - one).numpy(), epsilon, method="sinkhorn_log", numItermax=20_000, stopThr=1e-13
        )
        assert np.abs(plan.numpy() - expected).max() <= 1e-6


@pytest.mark.parametrize("epsilon", [0.5, 0.1, 0.05, 0.02])
@pytest.mark.parametrize("relaxation", [0.01, 0.1, 1.0])
def test_unbalanced_plans_equal_pot_with_one_exact_marginal(epsilon, relaxation):
    similarity = cosines()
    plans = transport_plan(similarity, epsilon=epsilon, iterations=5000, relaxation=relaxation)
    rows, columns = np.full(4, 1 / 4), np.full(9, 1 / 9)
    for plan, one in zip(plans, similarity, strict=True):
        expected = ot.unbalanced.sinkhorn_unbalanced(
            rows,
            columns,
            (1 - one).numpy(),
            epsilon,
            reg_m=(float("inf"), relaxation),
            method="sinkhorn",
            reg_type="kl",
            numItermax=20_000,
            stopThr=1e-13,
        )
        assert np.abs(plan.numpy() - expected).max() <= 1e-6


@pytest.mark.parametrize("relaxation", [None, 0.1])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_plans_are_finite_with_exact_rows_in_float32(epsilon, relaxation):
    plan = transport_plan(cosines(dtype=torch.float32), epsilon=epsilon, iterations=50, relaxation=relaxation)
    assert plan.isfinite().all()
    assert (plan >= 0).all()
    assert (plan.sum(-1) - 1 / 4).abs().max() <= 1e-5


@pytest.mark.parametrize("relaxation", [None, 0.1])
def test_opposite_vectors_at_the_smallest_safe_epsilon(relaxation):
    similarity = torch.tensor([[[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]]])
    plan = transport_plan(similarity, epsilon=transport.SAFE_EPSILON, iterations=1000, relaxation=relaxation)
    assert plan.isfinite().all()
    assert plan.sum().item() == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([0.05, 0.1, 0.7]),
    st.integers(1, 20),
    st.sampled_from([None, 0.05, 1.0]),
    st.booleans(),
    st.integers(0, 100),
)
def test_the_kernel_and_its_logarithm_take_the_same_path(epsilon, iterations, relaxation, masked, seed):
    similarity = cosines(seed=seed)
    mask = torch.arange(9) < torch.tensor([[2], [9], [5]]) if masked else None
    options = {"epsilon": epsilon, "iterations": iterations, "relaxation": relaxation, "column_mask": mask}
    plan = transport_plan(similarity, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "SAFE_EPSILON", math.inf)
        in_logarithms = transport_plan(similarity, **options)
    assert (plan - in_logarithms).abs().max() <= 1e-10


@pytest.mark.parametrize("epsilon", [0.1, 0.01])
def test_masked_columns_are_as_if_they_were_not_there(epsilon):
    similarity = cosines()
    mask = torch.arange(9) < torch.tensor([[2], [9], [5]])
    plan = transport_plan(similarity, epsilon=epsilon, iterations=30, column_mask=mask)
    for b, n in enumerate((2, 9, 5)):
        alone = transport_plan(similarity[b, :, :n], epsilon=epsilon, iterations=30)
        assert (plan[b, :, :n] - alone).abs().max() <= 1e-10
        assert (plan[b, :, n:] == 0).all()


@pytest.mark.parametrize("relaxation", [None, 0.1])
def test_with_one_row_the_first_sweep_is_the_limit(relaxation):
    similarity = cosines(n_rows=1)
    plan = transport_plan(similarity, epsilon=0.1, iterations=1, relaxation=relaxation)
    log_kernel = ((similarity - 1) / 0.1).permute(1, 2, 0)
    exponent = 1.0 if relaxation is None else 0.5
    limit = transport._scale_log_kernel(log_kernel, torch.full((1, 9, 1), 1 / 9), exponent, 200).permute(2, 0, 1)
    assert (plan - limit).abs().max() <= 1e-10
    if relaxation is None:
        assert (plan - 1 / 9).abs().max() <= 1e-10


def test_an_images_plan_does_not_depend_on_its_batch():
    similarity = cosines(batch=(4,), dtype=torch.float32)
    together = transport_plan(similarity, epsilon=0.05, iterations=20)
    alone = transport_plan(similarity[2:3], epsilon=0.05, iterations=20)
    assert (together[2] - alone[0]).abs().max() <= 1e-7


def test_relaxation_leaves_out_the_background():
    similarity = torch.tensor([[0.9, 0.8, 0.1, 0.0], [0.8, 0.9, 0.0, 0.1]])
    balanced = transport_plan(similarity, epsilon=0.05, iterations=100)
    relaxed = transport_plan(similarity, epsilon=0.05, iterations=100, relaxation=0.05)
    assert balanced[:, 2:].sum() == pytest.approx(0.5, abs=1e-3)
    assert relaxed[:, 2:].sum() < 0.01


def test_no_gradient_flows_through_a_plan():
    assert not transport_plan(cosines().requires_grad_(), epsilon=0.1, iterations=5).requires_grad


def test_entropy_is_relative_to_the_uniform_plan():
    uniform = torch.full((2, 3, 4), 1 / 12)
    assert plan_entropy(uniform) == pytest.approx(torch.ones(2).numpy())
    certain = torch.zeros(3, 4)
    certain[1, 2] = 1
    assert plan_entropy(certain).item() == 0
    assert plan_entropy(torch.ones(1, 1)).item() == 1
