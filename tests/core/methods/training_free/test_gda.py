from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods.training_free import gda
from dualpt.core.methods.training_free.gda import Gda, GdaOptions, discriminant
from tests.core.methods.clip_like import C, D, R, V, check_packed_as_alone, clip_like_support, new_images

METHOD = Gda()
NEW = GdaOptions(covariance="class-mean", alpha=1.0)


def published_shrunk(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W (C, D) and b (C,) as the few-shot script writes them."""
    means = np.stack([rows[labels == c].mean(0) for c in range(C)])
    centred = np.concatenate([rows[labels == c] - means[c] for c in range(C)])
    covariance = np.cov(centred.T)
    precision = D * np.linalg.pinv((len(rows) - 1) * covariance + np.trace(covariance) * np.eye(D))
    return means @ precision, np.log(1 / C) - np.einsum("nd,dc,nc->n", means, precision, means) / 2


def published_class_mean(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of the base-to-new script."""
    means = np.stack([rows[labels == c].mean(0) for c in range(C)])
    precision = np.linalg.pinv(np.mean([np.cov(rows[labels == c].T) for c in range(C)], axis=0), rcond=D * 2**-23)
    return means @ precision, np.log(1 / C) - np.einsum("nd,dc,nc->n", means, precision, means) / 2


def published_new(rows: np.ndarray, text: np.ndarray, *, nearest: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """W (C', D) and b (C',) of new classes, one at a time."""
    means, precisions = [], []
    for w in text:
        found = rows[np.argsort(-(rows @ w))[:nearest]]
        means.append(np.concatenate([found, np.repeat(w[None], copies, axis=0)]).mean(0))
        covariance = (found - w).T @ (found - w) / (nearest - 1)
        precisions.append(D * np.linalg.pinv((nearest - 1) * covariance + np.trace(covariance) * np.eye(D)))
    precision, mu = np.mean(precisions, axis=0), np.stack(means)
    return mu @ precision, np.log(1 / len(text)) - np.einsum("nd,dc,nc->n", mu, precision, mu) / 2


@pytest.mark.parametrize("covariance", ["shrunk", "class-mean"])
def test_logits_are_the_published_formula(covariance: gda.Covariance) -> None:
    support, images = clip_like_support(), new_images()
    options = GdaOptions(covariance=covariance, alpha=0.1)
    logits = METHOD.fit(support, [options] * R).classifier.logits(images)
    assert logits.shape == (R, 40, C)
    f, text = images.directions.double().numpy(), support.text.double().numpy()
    formula = {"shrunk": published_shrunk, "class-mean": published_class_mean}[covariance]
    for r in range(R):
        rows = support.images.directions[r].flatten(0, 1).double().numpy()
        weights, bias = formula(rows, np.tile(support.labels[r].numpy(), V))
        np.testing.assert_allclose(
            logits[r].numpy(), 20 * f @ text.T + 0.1 * (f @ weights.T + bias), rtol=1e-4, atol=1e-3
        )


def test_a_shrunk_covariance_is_scikit_learns_discriminant_analysis() -> None:
    """(G + tr(S) I) / D is n / D (1 + D / (n - 1)) times its (1 - a) S' + a tr(S') / D I at a = D / (n - 1 + D)."""
    support = clip_like_support(cells=1)
    rows, labels = support.images.directions[0].flatten(0, 1).double(), support.labels[0].repeat(V)
    n = len(rows)
    weights, bias = discriminant(rows[None], labels[None], C, "shrunk")
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=D / (n - 1 + D)).fit(rows.numpy(), labels.numpy())
    factor = D * (n - 1) / (n * (n - 1 + D))
    centred = weights[0] - weights[0].mean(0)
    np.testing.assert_allclose(centred.numpy(), factor * (lda.coef_ - lda.coef_.mean(0)), rtol=1e-6, atol=1e-8)
    assert (rows @ weights[0].T / factor + bias[0] / factor).argmax(1).tolist() == lda.predict(rows.numpy()).tolist()


def test_alpha_is_what_the_published_loop_finds() -> None:
    support = clip_like_support(seed=3)
    fitted = METHOD.fit(support, [GdaOptions()] * R)
    assert support.val is not None
    for r in range(R):
        rows = support.images.directions[r].flatten(0, 1).double().numpy()
        weights, bias = published_shrunk(rows, np.tile(support.labels[r].numpy(), V))
        f, labels = support.val.images.directions[r].double().numpy(), support.val.labels[r].numpy()
        best, chosen = 0.0, 0.1
        for alpha in (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0):
            logits = 20 * f @ support.text.double().numpy().T + alpha * (f @ weights.T + bias)
            accuracy = (logits.argmax(1) == labels).mean()
            if accuracy > best:
                best, chosen = accuracy, alpha
        assert fitted.chosen[r] == {"alpha": chosen}


def test_new_classes_are_estimated_as_published() -> None:
    support, images = clip_like_support(), new_images()
    raw_text = support.raw_text[:4] + torch.randn(4, D, generator=torch.Generator().manual_seed(5))
    options = NEW.model_copy(update={"nearest": 20, "text_copies": 5})
    fitted = METHOD.fit(support, [options] * R)
    logits = METHOD.for_classes(fitted.classifier, raw_text, 20.0).logits(images)
    assert logits.shape == (R, 40, 4)
    f, text = images.directions.double().numpy(), F.normalize(raw_text, dim=-1).double().numpy()
    for r in range(R):
        rows = support.images.directions[r].flatten(0, 1).double().numpy()
        weights, bias = published_new(rows, text, nearest=20, copies=5)
        np.testing.assert_allclose(logits[r].numpy(), 20 * f @ text.T + f @ weights.T + bias, rtol=1e-4, atol=1e-3)


def test_new_classes_need_the_covariance_of_that_script_and_enough_rows() -> None:
    support = clip_like_support()
    few_shot = METHOD.fit(support, [GdaOptions(alpha=1.0)] * R).classifier
    with pytest.raises(UserError, match=r"new classes need gda\.covariance=class-mean"):
        METHOD.for_classes(few_shot, support.raw_text, 20.0)
    many = METHOD.fit(support, [NEW.model_copy(update={"nearest": 113})] * R).classifier
    with pytest.raises(
        UserError, match=r"112 views of training images, and gda\.nearest asks for 113; lower it to 112"
    ):
        METHOD.for_classes(many, support.raw_text, 20.0)


@pytest.mark.parametrize("options", [GdaOptions(), GdaOptions(covariance="class-mean")], ids=["shrunk", "class-mean"])
def test_a_cell_gets_packed_what_it_gets_alone(options: GdaOptions) -> None:
    support = clip_like_support()
    check_packed_as_alone(METHOD, support, [options] * R)


def test_estimates_that_do_not_exist_are_refused() -> None:
    one_each = clip_like_support(views=1, n_images=C)
    with pytest.raises(
        UserError,
        match=r"no class has two different rows, so the covariance is zero; raise the shots or the option views",
    ):
        METHOD.fit(one_each, [GdaOptions(alpha=1.0)] * R)
    with pytest.raises(UserError, match=r"class-mean needs two rows per class; raise the shots or gda\.views"):
        METHOD.fit(one_each, [NEW] * R)
    same = clip_like_support(views=1, n_images=C)
    same = replace(same, images=replace(same.images, directions=same.images.directions.expand(-1, 2, -1, -1)))
    with pytest.raises(UserError, match="the covariance is zero"):
        METHOD.fit(same, [NEW] * R)


def test_what_is_missing_is_named() -> None:
    support = clip_like_support(val=False)
    with pytest.raises(UserError, match=r"no validation images to choose gda\.alpha on; set it"):
        METHOD.fit(support, [GdaOptions()] * R)
    with pytest.raises(UserError, match="needs an image of every class; number 6 of seed 0 has none"):
        METHOD.fit(replace(support, labels=support.labels % 6), [GdaOptions()] * R)
    with pytest.raises(UserError, match="only one"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=support.labels * 0), [GdaOptions()] * R)


def test_it_reads_ten_crops_of_at_least_half_the_image() -> None:
    needs = METHOD.needs(GdaOptions())
    assert (needs.views, needs.min_crop_area, needs.validation, needs.norms) == (10, 0.5, True, False)
    assert METHOD.needs(GdaOptions(min_crop_area=0.08)).min_crop_area == 0.08


def test_a_classifier_of_few_shot_carries_no_rows() -> None:
    support = clip_like_support()
    assert METHOD.fit(support, [GdaOptions(alpha=1.0)] * R).classifier.tensors()["rows"].shape == (R, 0, D)


@pytest.mark.parametrize(
    ("dataset", "nearest_mean", "image_part"),
    [("dtd", 66.49, 71.75), ("oxford_pets", 84.55, 90.19), ("oxford_flowers", 95.25, 97.65)],
)
def test_the_image_part_on_real_features(
    shared_data: Path, dataset: str, nearest_mean: float, image_part: float
) -> None:
    folder = shared_data / "clip_features" / dataset
    keys, values, test, truth = (
        torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=True)
        for name in ("keys_16shots", "values_16shots", "test_f", "test_l")
    )
    rows, one_hot, images = keys.T.float(), values.float(), test.float()

    def accuracy(logits: torch.Tensor) -> float:
        return round(100 * (logits.argmax(1) == truth).double().mean().item(), 2)

    assert accuracy(images @ F.normalize(one_hot.T @ rows, dim=-1).T) == nearest_mean
    weights, bias = discriminant(rows[None], one_hot.argmax(1)[None], one_hot.shape[1], "shrunk")
    assert accuracy(images @ weights[0].T + bias[0]) == image_part
