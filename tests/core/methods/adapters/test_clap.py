import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods import descent
from dualpt.core.methods.adapters.clap import Clap, ClapOptions, zero_shot_confidence
from dualpt.core.methods.adapters.zs_lp import ZsLp, ZsLpOptions
from tests.core.methods.clip_like import C, N, R, V, agree, clip_like_support, new_images

METHOD = Clap()
OPTIONS = ClapOptions(epochs=12, batch_size=8)


def published_multipliers(features: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """(C), from zero-shot logits of raw features (V * N, D)."""
    logits = 20.0 * F.normalize(features, dim=-1) @ F.normalize(text, dim=-1).t()
    one_hot = F.one_hot(labels).float()
    return torch.diag(torch.softmax(logits, -1).t() @ one_hot) / one_hot.sum(0)


def published(features: Tensor, labels: Tensor, text: Tensor, seed: int) -> tuple[Tensor, list[float]]:
    """Prototypes (C, D) and losses by epoch of one cell."""
    multipliers, prototypes = published_multipliers(features, labels, text), nn.Parameter(text.clone())
    optimizer = torch.optim.SGD([prototypes], lr=0.1, momentum=0.9)
    losses = []
    for epoch, batches in enumerate(descent.pool_batches([seed], rows=V * N, size=8, batches=N // 8, epochs=12)):
        rate = 1e-5 if epoch == 0 else 0.1 * (1 + math.cos(math.pi * (epoch - 1) / 12)) / 2
        optimizer.param_groups[0]["lr"] = rate
        seen = []
        for (rows,) in batches:
            images = features[rows] / features[rows].norm(dim=-1, keepdim=True)
            classes = prototypes / prototypes.norm(dim=-1, keepdim=True)
            constraint = torch.mean(multipliers * (prototypes - text).pow(2).sum(-1))
            loss = F.cross_entropy(20.0 * images @ classes.t(), labels[rows]) + constraint
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
    for r in range(R):
        features, labels = support.images.raw[r].flatten(0, 1), support.labels[r].repeat(V)
        prototypes, losses = published(features, labels, support.raw_text, support.seeds[r])
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-5, atol=1e-6)
        expected = 20.0 * images.directions @ F.normalize(prototypes, dim=-1).T
        torch.testing.assert_close(logits[r], expected, rtol=0, atol=1e-4)
        assert (prototypes - support.raw_text).abs().max() > 0.01


def test_multipliers_are_the_mean_probability_of_the_true_class_over_views() -> None:
    support = clip_like_support()
    confidence = zero_shot_confidence(support)
    assert confidence.shape == (R, C)
    for r in range(R):
        features, labels = support.images.raw[r].flatten(0, 1), support.labels[r].repeat(V)
        expected = published_multipliers(features, labels, support.raw_text)
        torch.testing.assert_close(confidence[r], expected, rtol=1e-5, atol=1e-6)
    assert confidence.std() > 0.05


def test_without_its_penalty_it_is_zs_lp() -> None:
    support, images = clip_like_support(), new_images()
    free = METHOD.fit(support, [ClapOptions(epochs=5, penalty_weight=0.0)] * R).classifier.logits(images)
    torch.testing.assert_close(free, ZsLp().fit(support, [ZsLpOptions(epochs=5)] * R).classifier.logits(images))


def test_a_cell_gets_packed_what_it_gets_alone_whatever_the_weights_of_the_others() -> None:
    support = clip_like_support()
    options = [OPTIONS.model_copy(update={"penalty_weight": weight}) for weight in (0.0, 1.0, 30.0)]
    packed = METHOD.fit(support, options)
    for r in range(R):
        agree(packed.classifier, METHOD.fit(support.of_cell(r), [options[r]]).classifier, r)
    distances = (packed.classifier.logits(new_images()) - 20 * new_images().directions @ support.text.T).norm(
        dim=(1, 2)
    )
    assert distances[2] < distances[1]
    assert distances[2] < distances[0]


def test_a_class_without_images_is_refused() -> None:
    support = clip_like_support()
    support.labels[1][support.labels[1] == 3] = 4
    with pytest.raises(UserError, match="clap needs an image of every class; number 3 of seed 1 has none"):
        METHOD.fit(support, [OPTIONS] * R)


def test_one_class_is_refused() -> None:
    support = clip_like_support()
    with pytest.raises(UserError, match="clap tells classes apart"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=0 * support.labels), [OPTIONS] * R)


def test_it_reads_twenty_crops_of_any_size_and_no_norms() -> None:
    needs = METHOD.needs(ClapOptions())
    assert (needs.views, needs.min_crop_area, needs.norms, needs.validation) == (20, 0.08, False, False)
