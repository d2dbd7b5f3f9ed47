from dataclasses import replace

import numpy as np
import pytest

from dualpt.core.errors import UserError
from dualpt.core.methods.training_free.ss_text import SsText, SsTextOptions
from tests.core.methods.clip_like import R, check_packed_as_alone, clip_like_support, new_images

METHOD = SsText()
PLUS = SsTextOptions(text_weight="class-images", repel=True)


def published(f: np.ndarray, labels: np.ndarray, text: np.ndarray, scale: float, *, plus: bool) -> np.ndarray:
    """Normalised class weights (C, D), class by class."""
    n, weights = len(labels), np.empty_like(text)
    for c in range(len(text)):
        pull = max((1 / (labels == c).sum()) if plus else 1 / n, 1e-3)
        weights[c] = (1 / n) * (1 / pull) * sum(scale * row for row in f[labels == c]) + text[c]
    if plus:
        away = 2 * weights - weights.mean(0)
        weights = weights - away / np.linalg.norm(away, axis=1, keepdims=True)
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


@pytest.mark.parametrize("options", [SsTextOptions(), PLUS], ids=["SS-Text", "SS-Text+"])
def test_weights_are_the_published_formula(options: SsTextOptions) -> None:
    support, images = clip_like_support(views=1), new_images()
    skewed = replace(support, labels=support.labels.where(support.labels < 5, 0))  # classes 5, 6 lend their images
    skewed.labels[:, :2] = support.labels.new_tensor([5, 6])
    logits = METHOD.fit(skewed, [options] * R).classifier.logits(images)
    for r in range(R):
        f, text = (one.double().numpy() for one in (support.images.directions[r, 0], support.text))
        weights = published(f, skewed.labels[r].numpy(), text, 20, plus=options.repel)
        np.testing.assert_allclose(logits[r].numpy(), 20 * images.directions.double().numpy() @ weights.T, atol=1e-4)


def test_the_pull_of_the_text_has_a_least_value() -> None:
    support = clip_like_support(views=1)
    fits = [METHOD.fit(support, [SsTextOptions(least_text_weight=w)] * R).classifier for w in (1e-3, 1 / 28, 0.9)]
    first, same, other = (one.tensors()["weights"] for one in fits)
    assert (first - same).abs().max() < 1e-5
    assert (first - other).abs().max() > 0.01


def test_a_class_without_images_keeps_its_text() -> None:
    support = clip_like_support(views=1)
    classifier = METHOD.fit(
        replace(support, labels=support.labels % 6), [SsTextOptions(text_weight="class-images")] * R
    ).classifier
    np.testing.assert_allclose(classifier.tensors()["weights"][:, 6] / 20, support.text[6].expand(R, -1), atol=1e-6)


@pytest.mark.parametrize("options", [SsTextOptions(), PLUS], ids=["SS-Text", "SS-Text+"])
def test_a_cell_gets_packed_what_it_gets_alone(options: SsTextOptions) -> None:
    support = clip_like_support(views=1)
    check_packed_as_alone(METHOD, support, [options] * R)


def test_one_class_is_refused() -> None:
    support = clip_like_support(views=1)
    with pytest.raises(UserError, match="ss-text tells classes apart, and there is only one"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=support.labels * 0), [SsTextOptions()] * R)


def test_it_reads_the_plain_crop() -> None:
    assert METHOD.needs(SsTextOptions()).views == 0
