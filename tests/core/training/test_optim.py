import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualpt.core.training.optim import ReplicaSGD, SGDOptions, learning_rates


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 5e-4), (0.0, 0.0), (0.5, 0.1)])
def test_each_replica_takes_the_steps_of_torch_sgd(momentum, weight_decay):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 2, 4, generator=generator)
    gradients = torch.randn(6, *start.shape, generator=generator)
    base = [0.1, 0.01, 1.0]

    together = start.clone().requires_grad_()
    options = SGDOptions(learning_rate=base, momentum=momentum, weight_decay=weight_decay, warmup_learning_rate=0.05)
    optimiser = ReplicaSGD(together, options, epochs=6)
    solos = [row.clone().requires_grad_() for row in start]
    references = [torch.optim.SGD([p], lr=1.0, momentum=momentum, weight_decay=weight_decay) for p in solos]
    for epoch, gradient in enumerate(gradients):
        optimiser.start_epoch(epoch)
        optimiser.step(gradient)
        rates = learning_rates(base, epoch, 6, 0.05)
        for r, (solo, reference) in enumerate(zip(solos, references, strict=True)):
            solo.grad = gradient[r].clone()
            reference.param_groups[0]["lr"] = rates[r]
            reference.step()
    assert (together - torch.stack(solos)).abs().max() <= 1e-5


def test_every_replica_needs_a_learning_rate():
    options = SGDOptions(learning_rate=[0.1, 0.2], momentum=0.9, weight_decay=0.0, warmup_learning_rate=1e-5)
    with pytest.raises(ValueError, match="one value per replica"):
        ReplicaSGD(torch.zeros(3, 2), options, epochs=1)


@given(st.integers(1, 300), st.floats(1e-4, 1.0))
def test_the_schedule_is_the_formula(epochs, rate):
    assert learning_rates([rate, 2 * rate], 0, epochs, 1e-5) == [1e-5, 1e-5]
    for epoch in range(1, epochs):
        expected = rate / 2 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        assert learning_rates([rate, 2 * rate], epoch, epochs, 1e-5) == pytest.approx([expected, 2 * expected])


def test_the_schedule_is_that_of_coops_two_schedulers():
    """Dassl's ConstantWarmupScheduler around CosineAnnealingLR: the cosine starts counting after the warm-up epoch."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=0.002)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
    for epoch in range(1, 50):
        assert learning_rates([0.002], epoch, 50, 1e-5)[0] == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        cosine.step()
