import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from dualpt.core.method_catalog import CATALOGUE, load_method
from dualpt.core.methods import descent
from dualpt.core.training.progress import Progress
from tests.core.methods.clip_like import clip_like_support

R, C, D, N, VIEWS = 3, 7, 16, 28, 4
RATES = [0.1, 0.01, 1.0]
OPTIMIZERS = [
    partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4),
    partial(torch.optim.Adam, weight_decay=5e-4),
    partial(torch.optim.AdamW, eps=1e-4),
]


def features(seed: int = 0) -> tuple[Tensor, Tensor]:
    """(R, VIEWS * N, D) and labels (R, VIEWS * N)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(N).remainder(C).repeat(R, VIEWS)
    return torch.randn(R, VIEWS * N, D, generator=generator) / 4 + labels[..., None] / C, labels


def train(
    pool: Tensor,
    labels: Tensor,
    seeds: Sequence[int],
    rates: Sequence[float],
    optimizer: partial[torch.optim.Optimizer],
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (R, C, D), bias (R, C) and losses (R, 6) of a linear head."""
    weights = torch.zeros(len(pool), C, D, requires_grad=True)
    bias = torch.zeros(len(pool), C, requires_grad=True)

    def loss_of(rows: Tensor) -> Tensor:
        logits = torch.einsum("rbd,rcd->rbc", descent.take(pool, rows), weights) + bias[:, None]
        return descent.cross_entropy(logits, descent.take(labels, rows))

    batches = descent.image_batches(seeds, views=VIEWS, images=N, size=8, epochs=6, drop_last=True)
    schedule = descent.cosine_by_epoch(6, 1e-3)
    steps = descent.descend(
        [weights, bias], loss_of, batches, optimizer=optimizer, learning_rate=rates, schedule=schedule
    )
    losses = torch.stack(list(steps), dim=1)
    return weights.detach(), bias.detach(), losses


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: one.func.__name__)
@pytest.mark.parametrize("rates", [RATES, [0.1] * R], ids=["rates differ", "rates equal"])
def test_packed_replicas_learn_what_they_learn_alone(optimizer, rates):
    pool, labels = features()
    packed = train(pool, labels, [5, 6, 7], rates, optimizer)
    for r in range(R):
        alone = train(pool[r : r + 1], labels[r : r + 1], [5 + r], rates[r : r + 1], optimizer)
        for mine, theirs in zip(packed, alone, strict=True):
            torch.testing.assert_close(mine[r], theirs[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: one.func.__name__)
def test_steps_are_those_of_a_plain_loop(optimizer):
    pool, labels = features()
    weights, bias, losses = train(pool, labels, [5, 6, 7], RATES, optimizer)
    for r, rate in enumerate(RATES):
        head = torch.nn.Linear(D, C)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        steps = optimizer(head.parameters(), lr=rate)
        for epoch, batches in enumerate(
            descent.image_batches([5 + r], views=VIEWS, images=N, size=8, epochs=6, drop_last=True)
        ):
            steps.param_groups[0]["lr"] = 1e-3 if epoch == 0 else rate * (1 + math.cos(math.pi * (epoch - 1) / 6)) / 2
            seen = []
            for (rows,) in batches:
                loss = torch.nn.functional.cross_entropy(head(pool[r, rows]), labels[r, rows])
                steps.zero_grad()
                loss.backward()
                steps.step()
                seen.append(loss.item())
            assert float(losses[r, epoch]) == pytest.approx(sum(seen) / len(seen), rel=1e-5)
        torch.testing.assert_close(weights[r], head.weight.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(bias[r], head.bias.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rates", [RATES, [0.1] * R], ids=["rates differ", "rates equal"])
def test_a_replica_that_diverges_leaves_the_others_as_they_are(rates):
    pool, labels = features()
    _, _, expected = train(pool, labels, [5, 6, 7], rates, OPTIMIZERS[0])
    weights, _, losses = train(pool.index_fill(0, torch.tensor(1), torch.inf), labels, [5, 6, 7], rates, OPTIMIZERS[0])
    assert torch.equal(losses[[0, 2]], expected[[0, 2]])
    assert weights[[0, 2]].isfinite().all()
    assert descent.divergences(losses) == [None, "the loss is not finite from epoch 1 of 6", None]


def test_the_cosine_by_step_begins_at_the_base_and_ends_near_zero():
    schedule = descent.cosine_by_step(4)
    assert [schedule([2.0], 0, step)[0] for step in range(4)] == pytest.approx([2.0, 1 + 0.5**0.5, 1.0, 1 - 0.5**0.5])


@pytest.mark.parametrize(
    ("images", "drop_last", "sizes"), [(28, True, [8] * 3), (28, False, [8] * 3 + [4]), (5, True, [5])]
)
def test_an_epoch_shows_every_image_once_in_one_of_its_views(images, drop_last, sizes):
    seen = set()
    for batches in descent.image_batches([1, 2], views=3, images=images, size=8, epochs=40, drop_last=drop_last):
        rows = torch.cat(list(batches), dim=1)
        assert [batch.shape[1] for batch in batches] == sizes
        assert all(len(set(row.remainder(images).tolist())) == sum(sizes) for row in rows)
        seen |= set(rows.flatten().tolist())
    assert seen == set(range(3 * images))


def test_a_pool_is_shuffled_for_every_epoch_and_seed():
    epochs = [torch.cat(list(one), dim=1) for one in descent.pool_batches([1, 2], rows=50, size=8, batches=2, epochs=9)]
    assert all(one.shape == (2, 16) for one in epochs)
    assert all(len(set(row.tolist())) == 16 for one in epochs for row in one)
    assert len({tuple(row.tolist()) for one in epochs for row in one}) == 18


def test_a_pool_that_would_be_copied_at_every_step_is_refused():
    views = torch.arange(24.0).view(2, 4, 3)
    rows = torch.tensor([[1, 0], [0, 1]])
    with pytest.raises(RuntimeError, match="view"):
        descent.take(views[:, 2:], rows)
    assert descent.take(views[:, 2:].contiguous(), rows).equal(torch.stack([views[0, [3, 2]], views[1, [2, 3]]]))


def test_at_most_a_hundred_epochs_are_told_and_the_last_is_among_them():
    told: list[Progress] = []
    losses = (torch.tensor([float(epoch), math.nan]) for epoch in range(1, 251))
    assert descent.history(losses, 250, told.append).shape == (2, 250)
    assert [one.epoch for one in told[:2]] == [1, 4]
    assert (len(told), told[-1].epoch, told[-1].epochs, told[-1].loss[0]) == (84, 250, 250, 250.0)
    assert math.isnan(told[-1].loss[1])


TOLD = {
    "clip-adapter": (100, 100),
    "taskres": (100, 100),
    "zs-lp": (300, 100),
    "clap": (300, 100),
    "lp-plus-plus": (300, 100),
    "tip-adapter-f": (20, 20),
    "prolip": (300, 100),
    "rla": (300, 100),
    "linear-probe": (16, 16),
}
"""Epochs (of a linear probe: fits) at four shots, and how many of them are told; other methods are closed forms."""


@pytest.mark.parametrize("name", CATALOGUE)
def test_methods_that_train_tell_their_epochs(name: str) -> None:
    loaded, told = load_method(name), list[Progress]()
    support = replace(clip_like_support(), report=told.append)
    fitted = loaded.instance.fit(support, [loaded.options({})] * 3)
    epochs, times = TOLD.get(name, (0, 0))
    assert len(told) == times
    assert all(len(one.loss) == 3 for one in told)
    if told:
        assert (told[-1].epoch, told[-1].epochs) == (epochs, epochs)
        assert told[-1].unit == ("fit" if name == "linear-probe" else "epoch")
        assert [one.epoch for one in told] == sorted({one.epoch for one in told})
    if fitted.losses:
        assert told[-1].loss == tuple(losses[-1] for losses in fitted.losses)


@pytest.mark.parametrize("name", CATALOGUE)
def test_methods_give_packed_what_they_give_alone_at_odd_sizes(name: str) -> None:
    """Where no cell's part of a batch begins on a line of memory; what differs is the rounding of products."""
    loaded = load_method(name)
    own = {key: 20 for key in ("epochs", "steps") if key in loaded.option_names}
    options = [loaded.options(own)] * R
    support = clip_like_support(n_classes=5, width=51, n_images=15, views=2)
    packed = loaded.instance.fit(support, options)
    for r in range(R):
        alone = loaded.instance.fit(support.of_cell(r), options[:1])
        assert list(packed.chosen[r : r + 1]) == list(alone.chosen)
        for key, tensor in alone.classifier.tensors().items():
            exact, mine = name == "linear-probe", packed.classifier.of_cell(r).tensors()[key]
            scale = float(tensor.double().abs().max()) if tensor.numel() else 0.0
            torch.testing.assert_close(mine, tensor, rtol=0, atol=0 if exact else 1e-5 * scale)
