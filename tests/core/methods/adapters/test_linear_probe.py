from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.linear_model
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods.adapters import linear_probe
from dualpt.core.methods.adapters.linear_probe import LinearProbe, LinearProbeOptions, LogisticRegression
from dualpt.core.methods.interface import Classifier, Images, Labelled, LinearClassifier, Support
from dualpt.core.methods.memory_lines import filled
from tests.core.methods.clip_like import C, D, R, V, agree, clip_like_support, new_images

METHOD = LinearProbe()


def of_sklearn(support: Support, r: int, penalty: float, **settings: Any) -> sklearn.linear_model.LogisticRegression:
    features, labels = support.images.directions[r].flatten(0, 1).double(), support.labels[r].repeat(V)
    settings = {"max_iter": 5000, **settings}
    return sklearn.linear_model.LogisticRegression(C=penalty, **settings).fit(features.numpy(), labels.numpy())


def double(support: Support) -> Support:
    """With directions, which alone this method reads, in double precision."""

    def of(images: Images) -> Images:
        return replace(images, directions=images.directions.double())

    val = support.val and Labelled(of(support.val.images), support.val.labels)
    return replace(support, images=of(support.images), val=val)


def objective_of(features: Tensor, labels: Tensor, penalties: Tensor) -> linear_probe._Objective:
    """Of features in whole lines of memory in D alone."""
    return linear_probe._Objective(filled(features, 1), labels, penalties, C)


def steepest(classifier: Classifier, features: Tensor, labels: Tensor, penalties: Tensor) -> float:
    """The largest entry of the gradient: what a fit with these C has brought down to its tolerance."""
    assert isinstance(classifier, LinearClassifier)
    assert classifier.bias is not None
    x = torch.cat([classifier.weights.mT, classifier.bias[:, None]], dim=1).flatten(1)
    _, gradient = objective_of(features, labels, penalties)(x, torch.arange(len(x)))
    return float(gradient.abs().max())


def published_search(support: Support, r: int) -> float:
    """C of one cell by the published search, with every fit at its minimum."""
    assert support.val is not None
    images, labels = support.val.images.directions[r].numpy(), support.val.labels[r].numpy()

    def right(fit: sklearn.linear_model.LogisticRegression) -> float:
        return float(np.mean(fit.predict(images) == labels))

    listed = [1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6]
    peak = listed[int(np.argmax([right(of_sklearn(support, r, one, tol=1e-7)) for one in listed]))]
    left, right_end = 1e-1 * peak, 1e1 * peak
    chosen = peak
    for _ in range(8):
        fits = of_sklearn(support, r, left, tol=1e-7), of_sklearn(support, r, right_end, tol=1e-7)
        middle = 10 ** (0.5 * (np.log10(left) + np.log10(right_end)))
        if right(fits[0]) < right(fits[1]):
            chosen, left = right_end, middle
        else:
            chosen, right_end = left, middle
    return chosen


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 1.0, 10.0, 100.0])
def test_the_minimum_is_scikit_learns(penalty: float) -> None:
    support = clip_like_support()
    features = support.images.directions.flatten(1, 2).double()
    labels = support.labels.repeat(1, V)
    fitted = LogisticRegression(features, labels, n_classes=C, tolerance=1e-10, iterations=5000).fit([penalty] * R)
    for r in range(R):
        theirs = of_sklearn(support, r, penalty, solver="newton-cholesky", tol=1e-12)
        scale, ours = abs(theirs.coef_).max(), fitted.bias[r] - fitted.bias[r].mean()
        np.testing.assert_allclose(fitted.weights[r], theirs.coef_, rtol=0, atol=1e-5 * scale)
        centred = theirs.intercept_ - theirs.intercept_.mean()
        np.testing.assert_allclose(ours, centred, rtol=0, atol=max(1e-5 * scale, 1e-7))


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 1.0])
def test_probabilities_are_scikit_learns_at_the_tolerance_of_both(penalty: float) -> None:
    support, images = clip_like_support(), new_images()
    classifier = METHOD.fit(support, [LinearProbeOptions(inverse_penalty=penalty)] * R).classifier
    probabilities = classifier.logits(images).softmax(dim=-1)
    for r in range(R):
        theirs = of_sklearn(support, r, penalty).predict_proba(images.directions.numpy())
        np.testing.assert_allclose(probabilities[r], theirs, rtol=0, atol=5e-3)


def test_many_classes_are_told_apart_though_the_first_gradient_is_small() -> None:
    """Scikit-learn stops before its first step here, and predicts one class for every image."""
    generator, classes = torch.Generator().manual_seed(0), 400
    draws = torch.randn(classes + 1, 256, generator=generator, dtype=torch.float64)
    features = F.normalize(F.normalize(draws[:1], dim=1) + 0.1 * F.normalize(draws[1:], dim=1), dim=1).repeat(3, 1)
    labels = torch.arange(classes).repeat(3)
    theirs = sklearn.linear_model.LogisticRegression(max_iter=1000).fit(features.numpy(), labels.numpy())
    assert theirs.n_iter_.tolist() == [0]
    classifier = LogisticRegression(features[None], labels[None], n_classes=classes).fit([1.0])
    assert (classifier.logits(Images(features))[0].argmax(dim=-1) == labels).all()


def test_the_gradient_agrees_with_autograd() -> None:
    support = clip_like_support()
    features, labels = support.images.directions.flatten(1, 2).double(), support.labels.repeat(1, V)
    penalties = torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64)
    objective = objective_of(features, labels, penalties)
    x = torch.randn(R, (D + 1) * C, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value, gradient = objective(x.detach(), torch.arange(R))
    weights, bias = x.view(R, D + 1, C)[:, :-1], x.view(R, D + 1, C)[:, -1]
    for r in range(R):
        loss = F.cross_entropy(features[r] @ weights[r] + bias[r], labels[r])
        loss = loss + weights[r].square().sum() / (2 * penalties[r] * features.shape[1])
        assert float(value[r]) == pytest.approx(float(loss.detach()), rel=1e-12)
        (expected,) = torch.autograd.grad(loss, x, retain_graph=True)
        torch.testing.assert_close(gradient[r], expected[r])
    some, their_gradient = objective(x.detach()[[2, 0]], torch.tensor([2, 0]))
    torch.testing.assert_close(some, value[[2, 0]])
    torch.testing.assert_close(their_gradient, gradient[[2, 0]])


@pytest.mark.parametrize("seed", [0, 5])
def test_the_search_is_the_published_one(seed: int) -> None:
    support = clip_like_support(seed=seed, n_images=14)
    assert support.val is not None
    features, labels = support.images.directions.flatten(1, 2).double(), support.labels.repeat(1, V)
    val = double(support).val
    assert val is not None
    regression = LogisticRegression(features, labels, n_classes=C, tolerance=1e-7, iterations=5000)
    found = linear_probe._search(regression, val)
    for r in range(R):
        assert 10 ** float(found.log_penalties[r]) == pytest.approx(published_search(support, r), rel=1e-6)
    assert steepest(found.classifier, features, labels, 10**found.log_penalties) <= 1e-7


def test_it_says_what_the_search_chose() -> None:
    support = double(clip_like_support())
    fitted = METHOD.fit(support, [LinearProbeOptions()] * R)
    chosen = torch.tensor([one["inverse_penalty"] for one in fitted.chosen], dtype=torch.float64)
    assert len(set(chosen.tolist())) > 1
    assert 1e-7 * (1 - 1e-9) <= chosen.min() <= chosen.max() <= 1e7 * (1 + 1e-9)
    features, labels = support.images.directions.flatten(1, 2), support.labels.repeat(1, V)
    assert steepest(fitted.classifier, features, labels, chosen) <= 1e-4


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("classes", "width", "n_images"), [(7, 16, 28), (7, 51, 28), (14, 128, 56), (5, 51, 17)])
def test_a_cell_gets_packed_what_it_gets_alone_bit_for_bit(
    classes: int, width: int, n_images: int, threads: int
) -> None:
    """A weak penalty's fit ends where rounding leads it, and the search chooses another C on what that decides."""
    torch.set_num_threads(threads)
    support = clip_like_support(n_classes=classes, width=width, n_images=n_images)
    packed = METHOD.fit(support, [LinearProbeOptions()] * R)
    for r in range(R):
        alone = METHOD.fit(support.of_cell(r), [LinearProbeOptions()])
        for name, tensor in alone.classifier.tensors().items():
            assert torch.equal(packed.classifier.of_cell(r).tensors()[name], tensor)
        assert packed.chosen[r : r + 1] == alone.chosen


def test_without_validation_images_the_penalty_must_be_set() -> None:
    assert METHOD.needs(LinearProbeOptions()).validation
    assert not METHOD.needs(LinearProbeOptions(inverse_penalty=1.0)).validation
    with pytest.raises(UserError, match=r"no validation images to choose linear-probe\.inverse_penalty on; set it"):
        METHOD.fit(clip_like_support(val=False), [LinearProbeOptions()] * R)


def test_one_class_is_refused_and_an_absent_one_is_not() -> None:
    support, options = clip_like_support(), [LinearProbeOptions(inverse_penalty=1.0)] * R
    with pytest.raises(UserError, match="linear-probe tells classes apart"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=0 * support.labels), options)
    support.labels[:] = support.labels.clamp(max=5)
    assert (METHOD.fit(support, options).classifier.logits(new_images()).argmax(dim=-1) < 6).all()


def test_a_feature_that_is_not_finite_fails_its_cell_alone() -> None:
    support, options = clip_like_support(), [LinearProbeOptions(inverse_penalty=1.0)] * R
    expected = METHOD.fit(support, options).classifier
    support.images.directions[1, 2, 3, 4] = torch.nan
    fitted = METHOD.fit(support, options)
    assert fitted.failures == [None, "a training feature is not finite", None]
    for r in (0, 2):
        agree(fitted.classifier, expected.of_cell(r), r)


def test_it_reads_one_large_crop_and_no_norms() -> None:
    needs = METHOD.needs(LinearProbeOptions())
    assert (needs.views, needs.min_crop_area, needs.norms) == (1, 0.5, False)


@pytest.mark.parametrize(("dataset", "accuracy"), [("dtd", 70.6), ("oxford_pets", 86.4), ("oxford_flowers", 97.4)])
def test_real_features(shared_data: Path, dataset: str, accuracy: float) -> None:
    """16 shots of CLIP ViT-B/16, C chosen on the published validation split; scikit-learn with the same C is near."""
    keys, values, val, val_labels, test, truth = (
        torch.load(shared_data / "clip_features" / dataset / f"{name}.pt", map_location="cpu", weights_only=True)
        for name in ("keys_16shots", "values_16shots", "val_f", "val_l", "test_f", "test_l")
    )
    features, labels = F.normalize(keys.T.float(), dim=-1), values.argmax(dim=1)
    support = Support(
        images=Images(features[None, None]),
        labels=labels[None],
        raw_text=torch.zeros(values.shape[1], features.shape[1]),
        scale=100.0,
        seeds=[0],
        val=Labelled(Images(F.normalize(val.float(), dim=-1)[None]), val_labels.long()[None]),
    )
    fitted = METHOD.fit(support, [LinearProbeOptions()])
    images = F.normalize(test.float(), dim=-1)
    mine = 100 * (fitted.classifier.logits(Images(images))[0].argmax(dim=-1) == truth).double().mean().item()
    assert mine == pytest.approx(accuracy, abs=0.3)
    theirs = sklearn.linear_model.LogisticRegression(C=fitted.chosen[0]["inverse_penalty"], max_iter=1000)
    assert mine == pytest.approx(
        100 * theirs.fit(features.numpy(), labels.numpy()).score(images.numpy(), truth.numpy()), abs=0.5
    )
