import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods import descent
from dualpt.core.methods.adapters.zs_lp import ZsLp, ZsLpOptions
from tests.core.methods.clip_like import C, D, N, R, V, check_packed_as_alone, clip_like_support, new_images

METHOD = ZsLp()
OPTIONS = ZsLpOptions(epochs=12, batch_size=8)


def published(
    features: Tensor, labels: Tensor, text: Tensor, seed: int, *, learning_rate: float = 0.1
) -> tuple[Tensor, list[float]]:
    """Prototypes (C, D) and losses by epoch of one cell, from raw features (V * N, D) and their labels."""
    prototypes = nn.Parameter(text.clone())
    optimizer = torch.optim.SGD([prototypes], lr=learning_rate, momentum=0.9, weight_decay=0.0)
    epochs = descent.pool_batches([seed], rows=V * N, size=8, batches=N // 8, epochs=12)
    losses = []
    for epoch, batches in enumerate(epochs):
        rate = 1e-5 if epoch == 0 else learning_rate * (1 + math.cos(math.pi * (epoch - 1) / 12)) / 2
        optimizer.param_groups[0]["lr"] = rate
        seen = []
        for (rows,) in batches:
            images = features[rows] / features[rows].norm(dim=-1, keepdim=True)
            classes = prototypes / prototypes.norm(dim=-1, keepdim=True)
            loss = F.cross_entropy(20.0 * images @ classes.t(), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        losses.append(sum(seen) / len(seen))
    return prototypes.detach(), losses


def test_steps_are_those_of_the_published_loop() -> None:
    support, images = clip_like_support(), new_images()
    fitted = METHOD.fit(support, [OPTIONS] * R)
    logits = fitted.classifier.logits(images)
    assert logits.shape == (R, 40, C)
    for r in range(R):
        features, labels = support.images.raw[r].flatten(0, 1), support.labels[r].repeat(V)
        prototypes, losses = published(features, labels, support.raw_text, support.seeds[r])
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-5, atol=1e-6)
        expected = 20.0 * images.directions @ F.normalize(prototypes, dim=-1).T
        torch.testing.assert_close(logits[r], expected, rtol=0, atol=1e-4)
        assert (prototypes - support.raw_text).abs().max() > 0.01


def test_cells_of_a_pack_may_differ_in_their_learning_rates() -> None:
    support, images = clip_like_support(), new_images()
    rates = [0.1, 0.01, 1.0]
    options = [OPTIONS.model_copy(update={"learning_rate": rate}) for rate in rates]
    logits = METHOD.fit(support, options).classifier.logits(images)
    for r, rate in enumerate(rates):
        features, labels = support.images.raw[r].flatten(0, 1), support.labels[r].repeat(V)
        prototypes, _ = published(features, labels, support.raw_text, support.seeds[r], learning_rate=rate)
        expected = 20.0 * images.directions @ F.normalize(prototypes, dim=-1).T
        torch.testing.assert_close(logits[r], expected, rtol=0, atol=1e-4)


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support()
    check_packed_as_alone(METHOD, support, [OPTIONS] * R)


def test_the_length_of_text_features_sets_how_far_a_step_turns_them() -> None:
    support, images = clip_like_support(), new_images()
    once = METHOD.fit(support, [OPTIONS] * R).classifier.logits(images)
    longer = METHOD.fit(replace(support, raw_text=10 * support.raw_text), [OPTIONS] * R).classifier.logits(images)
    assert (once - longer).abs().max() > 0.1


def test_few_images_make_one_minibatch_of_the_pool() -> None:
    support = clip_like_support(cells=1, n_images=7)
    small, large = (METHOD.fit(support, [ZsLpOptions(epochs=3, batch_size=size)]).losses[0] for size in (28, 256))
    assert small == pytest.approx(large, rel=1e-5)


def test_a_loss_that_is_not_finite_fails_its_cell_alone() -> None:
    support = clip_like_support()
    support.images.directions[1] = torch.nan
    fitted = METHOD.fit(support, [OPTIONS] * R)
    assert fitted.failures == [None, "the loss is not finite from epoch 1 of 12", None]
    assert fitted.classifier.of_cell(2).logits(new_images()).isfinite().all()


def test_one_class_is_refused() -> None:
    support = clip_like_support()
    with pytest.raises(UserError, match="zs-lp tells classes apart"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=0 * support.labels), [OPTIONS] * R)


def test_other_classes_are_refused() -> None:
    classifier = METHOD.fit(clip_like_support(), [OPTIONS] * R).classifier
    with pytest.raises(NotImplementedError, match="zs-lp serves only the classes"):
        METHOD.for_classes(classifier, torch.ones(3, D), 20.0)


def test_it_reads_twenty_crops_of_any_size_and_no_norms() -> None:
    needs = METHOD.needs(ZsLpOptions())
    assert (needs.views, needs.min_crop_area, needs.norms, needs.validation) == (20, 0.08, False, False)
