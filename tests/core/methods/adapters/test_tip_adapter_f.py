from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods.adapters.tip_adapter_f import TipAdapterF, TipAdapterFOptions
from dualpt.core.methods.descent import image_batches
from dualpt.core.methods.training_free.tip_adapter import cached_logits
from tests.core.methods.clip_like import (
    C,
    D,
    N,
    R,
    V,
    agree,
    check_packed_as_alone,
    clip_like_support,
    new_images,
)

METHOD = TipAdapterF()
SMALL = {"key_views": 2, "batch_size": 8, "epochs": 3, "learning_rate": 1e-2}
OPTIONS = TipAdapterFOptions.model_validate(SMALL | {"alpha": 2.0, "beta": 5.5})


def published(
    keys: Tensor, values: Tensor, text: Tensor, batches: list[list[tuple[Tensor, Tensor]]]
) -> tuple[Tensor, list[float]]:
    """Trained keys and the mean loss of every epoch, for one cell."""
    adapter = nn.Linear(D, N, bias=False)
    adapter.weight = nn.Parameter(keys.clone())
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2, eps=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3 * len(batches[0]))
    means = []
    for epoch in batches:
        losses = []
        for images, target in epoch:
            affinity = adapter(images)
            cache_logits = ((-1) * (1.0 - 1.0 * affinity)).exp() @ values
            loss = F.cross_entropy(20.0 * images @ text.T + cache_logits * 1.17, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
    return adapter.weight.detach(), means


def test_steps_are_those_of_the_published_loop() -> None:
    support, images = clip_like_support(), new_images()
    fitted = METHOD.fit(support, [OPTIONS] * R)
    logits = fitted.classifier.logits(images)
    for r in range(R):
        keys = F.normalize(support.images.raw[r, :2].mean(0), dim=-1)
        values = F.one_hot(support.labels[r], C).float()
        pool, labels = support.images.directions[r, 2:].flatten(0, 1), support.labels[r].repeat(2)
        drawn = image_batches([support.seeds[r]], views=2, images=N, size=8, epochs=3, drop_last=False)
        batches = [[(pool[rows[0]], labels[rows[0]]) for rows in epoch] for epoch in drawn]
        assert [len(images) for images, _ in batches[0]] == [8, 8, 8, 4]
        trained, losses = published(keys, values, support.text, batches)
        assert (trained - keys).abs().max() > 0.03
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
        affinity = images.directions @ trained.T
        expected = 20.0 * images.directions @ support.text.T + 2.0 * (-(5.5 - 5.5 * affinity)).exp() @ values
        torch.testing.assert_close(logits[r], expected, rtol=1e-4, atol=1e-3)


def test_gradients_are_those_of_finite_differences() -> None:
    draw = torch.Generator().manual_seed(0)
    images, keys, text = (
        torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((2, 3, 5), (2, 4, 5), (3, 5))
    )
    values = F.one_hot(torch.tensor([[0, 1, 2, 0], [1, 1, 2, 0]])).double()
    weights = torch.tensor([1.2, 3.0], dtype=torch.float64)[:, None, None]

    def logits(keys: Tensor) -> Tensor:
        return cached_logits(images, keys, values, text, weights, weights / 2)

    assert torch.autograd.gradcheck(logits, keys.requires_grad_())


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support()
    options = TipAdapterFOptions.model_validate(SMALL)
    check_packed_as_alone(METHOD, support, [options] * R)


def test_cells_of_a_pack_may_differ_in_how_they_train() -> None:
    support = clip_like_support()
    changes = ({"learning_rate": 1e-4}, {"train_alpha": 5.0}, {"train_beta": 3.0})
    options = [OPTIONS.model_copy(update=change) for change in changes]
    packed = METHOD.fit(support, options).classifier
    for r in range(R):
        agree(packed, METHOD.fit(support.of_cell(r), [options[r]]).classifier, r)
    assert {name for change in changes for name in change} == METHOD.packable


@pytest.mark.parametrize("key_views", [V, 2 * V])
def test_without_further_crops_those_of_the_keys_are_trained_on(key_views: int) -> None:
    fitted = METHOD.fit(clip_like_support(), [OPTIONS.model_copy(update={"key_views": key_views})] * R)
    assert all(losses[-1] < losses[0] for losses in fitted.losses)


def test_what_is_missing_is_named() -> None:
    support = clip_like_support(val=False)
    options = TipAdapterFOptions.model_validate(SMALL)
    with pytest.raises(UserError, match=r"choose tip-adapter-f\.alpha and tip-adapter-f\.beta on; set them"):
        METHOD.fit(support, [options] * R)
    with pytest.raises(UserError, match="tip-adapter-f needs an image of every class; number 6"):
        METHOD.fit(replace(support, labels=support.labels % 6), [OPTIONS] * R)


def test_keys_take_ten_crops_and_training_twenty_more() -> None:
    options = TipAdapterFOptions()
    needs = METHOD.needs(options)
    assert (needs.views, needs.min_crop_area, needs.validation, needs.norms) == (30, 0.5, True, True)
    assert needs.views - options.key_views == options.epochs
    assert METHOD.needs(TipAdapterFOptions(min_crop_area=0.08)).min_crop_area == 0.08
