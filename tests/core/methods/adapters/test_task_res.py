import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods import descent
from dualpt.core.methods.adapters.task_res import TaskRes, TaskResOptions
from tests.core.methods.clip_like import C, N, R, V, check_packed_as_alone, clip_like_support, new_images

METHOD = TaskRes()
OPTIONS = TaskResOptions(epochs=12, batch_size=8, learning_rate=0.05)


def published(
    features: Tensor, labels: Tensor, text: Tensor, seed: int, *, scale: float = 0.5
) -> tuple[Tensor, list[float]]:
    """Text features (C, D) with their residual and losses by epoch of one cell, from raw features (V * N, D)."""
    residual = nn.Parameter(torch.zeros_like(text))
    optimizer = torch.optim.Adam([residual], lr=0.05, weight_decay=5e-4, betas=(0.9, 0.999))
    losses = []
    epochs = descent.image_batches([seed], views=V, images=N, size=8, epochs=12, drop_last=True)
    for epoch, batches in enumerate(epochs):
        rate = 1e-5 if epoch == 0 else 0.05 * (1 + math.cos(math.pi * (epoch - 1) / 12)) / 2
        optimizer.param_groups[0]["lr"] = rate
        seen = []
        for (rows,) in batches:
            classes = text + scale * residual
            images = features[rows] / features[rows].norm(dim=-1, keepdim=True)
            classes = classes / classes.norm(dim=-1, keepdim=True)
            loss = F.cross_entropy(20.0 * images @ classes.t(), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        losses.append(sum(seen) / len(seen))
    return (text + scale * residual).detach(), losses


def test_steps_are_those_of_the_published_loop() -> None:
    support, images = clip_like_support(), new_images()
    scales = [0.5, 1.0, 0.1]
    fitted = METHOD.fit(support, [OPTIONS.model_copy(update={"residual_scale": scale}) for scale in scales])
    logits = fitted.classifier.logits(images)
    for r, scale in enumerate(scales):
        features, labels = support.images.raw[r].flatten(0, 1), support.labels[r].repeat(V)
        classes, losses = published(features, labels, support.raw_text, support.seeds[r], scale=scale)
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
        expected = 20.0 * images.directions @ F.normalize(classes, dim=-1).T
        torch.testing.assert_close(logits[r], expected, rtol=0, atol=1e-3)
        assert (classes - support.raw_text).abs().max() > 0.01


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support()
    check_packed_as_alone(METHOD, support, [OPTIONS] * R)


@pytest.mark.parametrize(("n_images", "epochs"), [(7, 100), (28, 100), (29, 200), (56, 200)])
def test_epochs_are_its_authors_by_shots(n_images: int, epochs: int) -> None:
    fitted = METHOD.fit(clip_like_support(cells=1, n_images=n_images), [TaskResOptions()])
    assert n_images / C in (1, 4, 29 / 7, 8)
    assert len(fitted.losses[0]) == epochs


def test_one_class_is_refused() -> None:
    support = clip_like_support()
    with pytest.raises(UserError, match="taskres tells classes apart"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=0 * support.labels), [OPTIONS] * R)


def test_it_reads_crops_of_any_size_and_no_norms() -> None:
    needs = METHOD.needs(TaskResOptions())
    assert (needs.views, needs.min_crop_area, needs.norms, needs.validation) == (20, 0.08, False, False)
    plain = METHOD.fit(clip_like_support(views=1), [TaskResOptions(views=0, epochs=2)] * R)
    assert plain.classifier.logits(new_images()).shape == (R, 40, C)
