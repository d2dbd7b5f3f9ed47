from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods.interface import Images, Labelled, Support
from dualpt.core.methods.training_free.least_squares import L2_CHOICES, LeastSquares, LeastSquaresOptions
from tests.core.methods.clip_like import C, D, R, V, agree, clip_like_support, new_images

METHOD = LeastSquares()


def published(x: np.ndarray, labels: np.ndarray, test: np.ndarray, l2: float) -> np.ndarray:
    """Scores (n, C) of test features, from raw features (N, D): padded with the bias column, solved in one piece."""
    mean, deviation = x.mean(0, keepdims=True), x.std(0, keepdims=True) + 1e-5
    padded, test = (np.pad((one - mean) / deviation, ((0, 0), (0, 1)), constant_values=100.0) for one in (x, test))
    y = 2.0 * np.eye(C)[labels] - 1.0
    return test @ np.linalg.solve(padded.T @ padded + l2 * np.eye(padded.shape[1]), padded.T @ y)


def rows_of(support: Support, r: int) -> tuple[np.ndarray, np.ndarray]:
    return support.images.raw[r].flatten(0, 1).double().numpy(), support.labels[r].repeat(V).numpy()


@pytest.mark.parametrize("views", [V, 1], ids=["more images than dimensions", "few images"])
@pytest.mark.parametrize("n_images", [28, 14])
@pytest.mark.parametrize("l2", [1e-3, 1.0, 1024.0])
def test_scores_are_those_of_the_padded_regression(views: int, n_images: int, l2: float) -> None:
    support, images = clip_like_support(views=views, n_images=n_images), new_images()
    scores = METHOD.fit(support, [LeastSquaresOptions(l2=l2)] * R).classifier.logits(images)
    assert scores.shape == (R, 40, C)
    for r in range(R):
        x, labels = support.images.raw[r].flatten(0, 1).double().numpy(), support.labels[r].repeat(views).numpy()
        expected = published(x, labels, images.raw.double().numpy(), l2)
        np.testing.assert_allclose(scores[r], expected, rtol=0, atol=2e-4 * max(1, abs(expected).max()))


def test_it_is_scikit_learns_ridge_but_for_the_penalty_on_the_bias() -> None:
    support, images = clip_like_support(), new_images()
    scores = METHOD.fit(support, [LeastSquaresOptions(l2=3.0)] * R).classifier.logits(images)
    for r in range(R):
        x, labels = rows_of(support, r)
        mean, deviation = x.mean(0), x.std(0) + 1e-5
        ridge = Ridge(alpha=3.0).fit((x - mean) / deviation, 2.0 * np.eye(C)[labels] - 1.0)
        expected = ridge.predict((images.raw.double().numpy() - mean) / deviation)
        np.testing.assert_allclose(scores[r], expected, rtol=0, atol=1e-4)


def test_cells_of_a_pack_may_differ_in_l2() -> None:
    support, images = clip_like_support(), new_images()
    packed = METHOD.fit(support, [LeastSquaresOptions(l2=l2) for l2 in (0.5, 8.0, 1024.0)])
    for r, l2 in enumerate((0.5, 8.0, 1024.0)):
        alone = METHOD.fit(support.of_cell(r), [LeastSquaresOptions(l2=l2)])
        agree(packed.classifier, alone.classifier, r)
        x, labels = rows_of(support, r)
        expected = published(x, labels, images.raw.double().numpy(), l2)
        np.testing.assert_allclose(packed.classifier.logits(images)[r], expected, rtol=0, atol=2e-4)


def test_the_best_l2_on_validation_images_is_chosen_and_the_largest_of_equals() -> None:
    support, images = clip_like_support(), new_images()
    assert support.val is not None
    fitted = METHOD.fit(support, [LeastSquaresOptions(l2=None)] * R)
    for r in range(R):
        x, labels = rows_of(support, r)
        val, truth = support.val.images.raw[r].double().numpy(), support.val.labels[r].numpy()
        right = {l2: np.mean(published(x, labels, val, l2).argmax(1) == truth) for l2 in L2_CHOICES}
        best = max(l2 for l2 in L2_CHOICES if right[l2] == max(right.values()))
        assert fitted.chosen[r] == {"l2": best}
        expected = published(x, labels, images.raw.double().numpy(), best)
        np.testing.assert_allclose(fitted.classifier.logits(images)[r], expected, rtol=0, atol=2e-4)
        alone = METHOD.fit(support.of_cell(r), [LeastSquaresOptions(l2=None)])
        agree(fitted.classifier, alone.classifier, r)
        assert alone.chosen == fitted.chosen[r : r + 1]


def test_a_pack_may_hold_given_and_chosen_l2() -> None:
    support = clip_like_support()
    mixed = METHOD.fit(
        support, [LeastSquaresOptions(l2=2.0), LeastSquaresOptions(l2=None), LeastSquaresOptions(l2=2.0)]
    )
    chosen = METHOD.fit(support, [LeastSquaresOptions(l2=None)] * R).chosen
    assert mixed.chosen == [{}, chosen[1], {}]


def test_without_validation_images_l2_must_be_set() -> None:
    assert METHOD.needs(LeastSquaresOptions(l2=None)).validation
    assert not METHOD.needs(LeastSquaresOptions()).validation
    with pytest.raises(UserError, match=r"no validation images to choose least-squares\.l2 on; set it"):
        METHOD.fit(clip_like_support(val=False), [LeastSquaresOptions(l2=None)] * R)


def test_one_image_per_class_serves_and_one_class_is_refused() -> None:
    one_shot = METHOD.fit(clip_like_support(n_images=C, views=1), [LeastSquaresOptions()] * R)
    assert one_shot.classifier.logits(new_images()).isfinite().all()
    support = clip_like_support()
    with pytest.raises(UserError, match="least-squares tells classes apart"):
        METHOD.fit(
            replace(support, raw_text=support.raw_text[:1], labels=0 * support.labels), [LeastSquaresOptions()] * R
        )


def test_it_reads_raw_features_of_the_plain_crop() -> None:
    needs = METHOD.needs(LeastSquaresOptions())
    assert (needs.views, needs.norms, needs.validation) == (0, True, False)
    support = clip_like_support()
    assert support.images.norms is not None
    other = replace(support, images=Images(support.images.directions, torch.ones_like(support.images.norms)))
    by_length, by_direction = (
        METHOD.fit(one, [LeastSquaresOptions(l2=1.0)] * R).classifier for one in (support, other)
    )
    assert (by_length.logits(new_images()) - by_direction.logits(new_images())).abs().max() > 0.1


@pytest.mark.parametrize(
    ("dataset", "fixed", "chosen"),
    [("dtd", 70.69, 69.92), ("oxford_pets", 87.19, 87.33), ("oxford_flowers", 94.48, 94.48)],
)
def test_real_features(shared_data: Path, dataset: str, fixed: float, chosen: float) -> None:
    """16 shots of CLIP ViT-B/16: l2 = 1024, and l2 chosen on the published validation split."""
    keys, values, val, val_labels, test, truth = (
        torch.load(shared_data / "clip_features" / dataset / f"{name}.pt", map_location="cpu", weights_only=True)
        for name in ("keys_16shots", "values_16shots", "val_f", "val_l", "test_f", "test_l")
    )

    def images(rows: torch.Tensor) -> Images:
        return Images(F.normalize(rows.float(), dim=-1), rows.float().norm(dim=-1))

    support = Support(
        images=images(keys.T[None, None]),
        labels=values.argmax(dim=1)[None],
        raw_text=torch.zeros(values.shape[1], D),
        scale=100.0,
        seeds=[0],
        val=Labelled(images(val[None]), val_labels.long()[None]),
    )
    for l2, expected in ((1024.0, fixed), (None, chosen)):
        scores = METHOD.fit(support, [LeastSquaresOptions(l2=l2)]).classifier.logits(images(test))[0]
        accuracy = 100 * (scores.argmax(dim=-1) == truth).double().mean().item()
        assert accuracy == pytest.approx(expected, abs=0.06)
