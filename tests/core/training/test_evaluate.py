import math

import pytest
import torch
from torch.nn import functional as F

import dualpt.core.training.evaluate
from dualpt.core.arrays import ImageFeatures
from dualpt.core.training.alignment import mean_feature
from dualpt.core.training.evaluate import Scores, evaluate, joined, measure, score, zero_shot
from dualpt.core.training.objective import patch_similarity
from dualpt.core.training.transport import plan_entropy
from tests.core.training.scorers import local_scorer

R, C, N, P, D, n = 3, 4, 2, 5, 8, 23
SCALE = 20.0


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


PROMPTS = unit(R, C, N, D, seed=1)
DESCRIPTIONS = unit(C, D, seed=4)
IMAGES = ImageFeatures(
    unit(n, D, seed=2), unit(n, P, D, seed=3), torch.randint(C, (n,), generator=torch.Generator().manual_seed(5))
)


SCORER = local_scorer("ot")


def run(images=IMAGES, local=(1.0, 0.0, 0.5), described=(0.0, 2.0, 1.0), local_scorer=SCORER, of_image=None):
    return evaluate(
        images,
        PROMPTS[: len(local)],
        scale=SCALE,
        global_weight=torch.tensor(of_image or [1.0] * len(local)),
        local_weight=torch.tensor(local),
        local_scorer=local_scorer,
        description_weight=torch.tensor(described),
        mean_descriptions=DESCRIPTIONS if any(described) else None,
    )


def expected_logits(r, local, described, of_image=1.0):
    classes = mean_feature(PROMPTS[r])
    logits = of_image * SCALE * IMAGES.global_features @ classes.T
    logits = logits + described * SCALE * IMAGES.global_features @ DESCRIPTIONS.T
    return logits + local * SCALE * SCORER(patch_similarity(IMAGES.local_features[None], PROMPTS[r : r + 1])).score[0]


def test_logits_are_the_weighted_sum_of_global_local_and_descriptions():
    for r, (evaluation, local, described) in enumerate(zip(run(), (1.0, 0.0, 0.5), (0.0, 2.0, 1.0), strict=True)):
        expected = expected_logits(r, local, described).argmax(-1)
        assert torch.equal(evaluation.predictions, expected)
        assert evaluation.accuracy == pytest.approx(100 * (expected == IMAGES.labels).float().mean().item())
        assert evaluation.count == n
        loss = F.cross_entropy(expected_logits(r, local, described), IMAGES.labels).item()
        assert evaluation.negative_log_likelihood == pytest.approx(loss, rel=1e-5)


def test_chunks_do_not_change_the_result(monkeypatch):
    whole = run()
    monkeypatch.setattr(dualpt.core.training.evaluate, "MAX_SIMILARITIES", 3 * R * C * N * P)
    for a, b in zip(whole, run(), strict=True):
        assert torch.equal(a.predictions, b.predictions)
        assert a.plan_entropy == pytest.approx(b.plan_entropy)
        assert a.negative_log_likelihood == pytest.approx(b.negative_log_likelihood)
        assert a.expected_calibration_error == pytest.approx(b.expected_calibration_error)


def test_plan_entropy_is_the_mean_over_images_and_classes_where_plans_are_used():
    entropies = [evaluation.plan_entropy for evaluation in run()]
    plan = SCORER.plan(patch_similarity(IMAGES.local_features[None], PROMPTS[2:]))
    assert entropies[1] is None
    assert entropies[2] == pytest.approx(plan_entropy(plan).mean().item(), abs=1e-5)
    topk = run(local_scorer=local_scorer("topk", topk=2))
    assert all(evaluation.plan_entropy is None for evaluation in topk)


def test_without_global_weight_logits_are_the_other_terms():
    weights = (0.0, 0.0, 0.3)
    for r, (evaluation, of_image, local, described) in enumerate(
        zip(run(of_image=weights), weights, (1.0, 0.0, 0.5), (0.0, 2.0, 1.0), strict=True)
    ):
        loss = F.cross_entropy(expected_logits(r, local, described, of_image), IMAGES.labels).item()
        assert evaluation.negative_log_likelihood == pytest.approx(loss, rel=1e-5)


def test_without_local_weight_no_local_features_are_needed():
    images = ImageFeatures(IMAGES.global_features, None, IMAGES.labels)
    assert len(run(images, local=(0.0, 0.0), described=(0.0, 0.0))) == 2


def test_stored_half_precision_is_read():
    half = ImageFeatures(IMAGES.global_features.half(), IMAGES.local_features.half(), IMAGES.labels)
    for a, b in zip(run(), run(half), strict=True):
        assert (a.predictions == b.predictions).float().mean() > 0.9


def test_classes_that_half_precision_could_not_tell_apart():
    """The second is nearer, and both would be 0.25 in float16, where the first of them wins."""
    images = ImageFeatures(torch.ones(3, 1).half(), None, torch.ones(3, dtype=torch.long))
    assert zero_shot(torch.tensor([[0.25], [0.25001]]), images, scale=SCALE).accuracy == 100


def of_predictions(predictions, labels, n_classes):
    return measure(score(F.one_hot(predictions, n_classes), labels), labels, n_classes)


def test_per_class_accuracies_are_percent_of_each_class():
    labels = torch.tensor([0, 0, 0, 0, 2, 2])
    predictions = torch.tensor([0, 0, 0, 1, 2, 0])
    evaluation = of_predictions(predictions, labels, n_classes=4)
    assert evaluation.accuracy == pytest.approx(100 * 4 / 6)
    assert evaluation.per_class[0] == 75
    assert evaluation.per_class[2] == 50
    assert math.isnan(evaluation.per_class[1])
    assert math.isnan(evaluation.per_class[3])


def test_zero_shot_takes_the_nearest_class(monkeypatch):
    monkeypatch.setattr(dualpt.core.training.evaluate, "MAX_IMAGES", 4)
    evaluation = zero_shot(DESCRIPTIONS, IMAGES, scale=SCALE)
    logits = SCALE * IMAGES.global_features @ DESCRIPTIONS.T
    assert torch.equal(evaluation.predictions, logits.argmax(-1))
    assert evaluation.negative_log_likelihood == pytest.approx(F.cross_entropy(logits, IMAGES.labels).item())


def test_balanced_accuracy_is_the_mean_over_classes_that_have_images():
    labels, predictions = torch.tensor([0, 0, 0, 0, 1, 3]), torch.tensor([0, 0, 0, 1, 1, 0])
    found = of_predictions(predictions, labels, n_classes=5)
    assert found.balanced_accuracy == pytest.approx(100 * (3 / 4 + 1 / 1 + 0 / 1) / 3)
    assert found.accuracy == pytest.approx(100 * 4 / 6)
    metrics = pytest.importorskip("sklearn.metrics")
    assert found.balanced_accuracy == pytest.approx(100 * metrics.balanced_accuracy_score(labels, predictions))


def test_likelihood_is_scikit_learns_log_loss():
    metrics = pytest.importorskip("sklearn.metrics")
    logits = 3 * torch.randn(200, 7, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    labels = torch.randint(7, (200,), generator=torch.Generator().manual_seed(7))
    found = measure(score(logits, labels), labels, n_classes=7)
    expected = metrics.log_loss(labels, logits.softmax(-1), labels=list(range(7)))
    assert found.negative_log_likelihood == pytest.approx(expected, rel=1e-5)


def test_likelihood_of_a_class_that_softmax_rounds_to_zero_is_finite():
    logits = torch.tensor([[200.0, 0.0], [200.0, 0.0]])
    labels = torch.tensor([1, 0])
    found = measure(score(logits, labels), labels, n_classes=2)
    assert found.negative_log_likelihood == pytest.approx(100)
    assert found.expected_calibration_error == pytest.approx(50)


def test_half_precision_logits_are_measured_in_single_precision():
    logits = torch.full((1, 1000), 60.0, dtype=torch.float16)
    found = score(logits, torch.tensor([3]))
    assert found.losses.item() == pytest.approx(math.log(1000), rel=1e-4)
    assert found.confidences.item() == pytest.approx(1e-3, rel=1e-3)


def test_scores_of_replicas_are_joined_along_images():
    logits, labels = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(8)), torch.tensor([0, 1, 2, 1, 0])
    both = joined([score(logits[:, :2], labels[:2]), score(logits[:, 2:], labels[2:])])
    for part, whole in zip(both, score(logits, labels), strict=True):
        assert torch.equal(part, whole)
    assert isinstance(both, Scores)
