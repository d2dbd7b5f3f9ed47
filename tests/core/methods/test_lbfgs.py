import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from dualpt.core.methods.lbfgs import Objective, minimise

P, N_UNKNOWNS = 5, 12


def quadratics(seed: int = 0) -> tuple[Objective, Tensor]:
    """P badly scaled quadratics, and where they are least."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(P, N_UNKNOWNS, N_UNKNOWNS, generator=generator, dtype=torch.float64)
    matrices = root @ root.mT + torch.diag(torch.logspace(-2, 2, N_UNKNOWNS, dtype=torch.float64))
    least = torch.randn(P, N_UNKNOWNS, generator=generator, dtype=torch.float64)

    def objective(x: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        gradient = (matrices[problems] * (x - least[problems])[:, None]).sum(dim=2)
        return ((x - least[problems]) * gradient).sum(dim=1) / 2, gradient

    return objective, least


def rosenbrock(x: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.detach().requires_grad_()
    value = (100 * (leaf[:, 1:] - leaf[:, :-1] ** 2) ** 2 + (1 - leaf[:, :-1]) ** 2).sum(dim=1)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def test_quadratics_of_many_scales_reach_their_minimum() -> None:
    objective, least = quadratics()
    found = minimise(objective, torch.zeros(P, N_UNKNOWNS, dtype=torch.float64), tolerance=1e-9, iterations=500)
    torch.testing.assert_close(found, least, rtol=0, atol=1e-7)


def test_the_valley_of_rosenbrock_is_followed_as_far_as_scipy_follows_it() -> None:
    start = torch.tensor([[-1.2, 1.0, 0.5], [2.0, -1.0, 0.0]], dtype=torch.float64)
    evaluations = []

    def counted(x: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        evaluations.append(len(problems))
        return rosenbrock(x, problems)

    found = minimise(counted, start, tolerance=1e-8, iterations=500)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-6)

    def of_numpy(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = rosenbrock(torch.from_numpy(x)[None], torch.tensor([0]))
        return float(value), gradient[0].numpy()

    theirs = [minimize(of_numpy, row.numpy(), jac=True, method="L-BFGS-B", options={"gtol": 1e-8}) for row in start]
    assert sum(evaluations) <= 2 * sum(one.nfev for one in theirs)


@pytest.mark.parametrize("n_unknowns", [3, 1806])
def test_a_problem_takes_the_steps_that_it_takes_alone(n_unknowns: int) -> None:
    start = torch.randn(P, n_unknowns, generator=torch.Generator().manual_seed(0))
    together = minimise(rosenbrock, start, tolerance=1e-3, iterations=60)
    alone = [minimise(rosenbrock, row[None], tolerance=1e-3, iterations=60)[0] for row in start]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("iterations", [1, 3])
def test_no_more_iterations_than_asked(iterations: int) -> None:
    objective, _ = quadratics()
    start = torch.zeros(P, N_UNKNOWNS, dtype=torch.float64)
    few = minimise(objective, start, tolerance=1e-9, iterations=iterations)
    more = minimise(objective, start, tolerance=1e-9, iterations=iterations + 1)
    values = [objective(x, torch.arange(P))[0] for x in (start, few, more)]
    assert (values[0] > values[1]).all()
    assert (values[1] > values[2]).all()


def test_a_problem_that_is_solved_stays_where_it_is() -> None:
    start = torch.tensor([[1.0, 1.0, 1.0], [-1.2, 1.0, 0.5]], dtype=torch.float64)
    found = minimise(rosenbrock, start, tolerance=1e-6, iterations=500)
    assert torch.equal(found[0], start[0])
    torch.testing.assert_close(found[1], torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-4)


def test_a_value_that_is_not_finite_ends_the_search_there_and_leaves_the_others() -> None:
    objective, least = quadratics()

    def broken(x: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = objective(x, problems)
        return value.where(problems != 2, torch.nan), gradient.where(problems[:, None] != 2, torch.nan)

    start = torch.zeros(P, N_UNKNOWNS, dtype=torch.float64)
    found = minimise(broken, start, tolerance=1e-9, iterations=500)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(found[others], least[others], rtol=0, atol=1e-7)
