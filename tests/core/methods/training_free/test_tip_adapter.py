from dataclasses import replace

import numpy as np
import pytest
import torch

from dualpt.core.errors import UserError
from dualpt.core.methods.training_free import tip_adapter
from dualpt.core.methods.training_free.tip_adapter import TipAdapter, TipAdapterOptions
from tests.core.methods.clip_like import C, M, N, R, check_packed_as_alone, clip_like_support, new_images

METHOD = TipAdapter()


def published_keys(raw: np.ndarray) -> np.ndarray:
    """(V, N, D) raw views to keys (N, D): averaged, then normalised."""
    mean = raw.mean(0)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_logits_are_the_published_formula() -> None:
    support, images = clip_like_support(), new_images()
    fitted = METHOD.fit(support, [TipAdapterOptions(alpha=2.5, beta=5.5)] * R)
    logits = fitted.classifier.logits(images)
    assert logits.shape == (R, 40, C)
    assert not fitted.chosen
    f, text = images.directions.double().numpy(), support.text.double().numpy()
    for r in range(R):
        keys = published_keys(support.images.raw[r].double().numpy())
        values = np.eye(C)[support.labels[r].numpy()]
        expected = 20 * f @ text.T + 2.5 * np.exp(-(5.5 - 5.5 * f @ keys.T)) @ values
        np.testing.assert_allclose(logits[r].numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_the_search_finds_what_the_published_loop_finds(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(tip_adapter, "MAX_ELEMENTS", at_once * M * N)
    alphas, betas = tip_adapter.ALPHAS[::12], tip_adapter.BETAS[::25]
    monkeypatch.setattr(tip_adapter, "ALPHAS", alphas)
    monkeypatch.setattr(tip_adapter, "BETAS", betas)
    support = clip_like_support()
    fitted = METHOD.fit(support, [TipAdapterOptions()] * R)
    assert support.val is not None
    for r in range(R):
        keys = published_keys(support.images.raw[r].double().numpy())
        values, text = np.eye(C)[support.labels[r].numpy()], support.text.double().numpy()
        f, labels = support.val.images.directions[r].double().numpy(), support.val.labels[r].numpy()
        best, chosen = 0.0, {}
        for beta in betas:
            for alpha in alphas:
                logits = 20 * f @ text.T + alpha * np.exp(-(beta - beta * f @ keys.T)) @ values
                accuracy = (logits.argmax(1) == labels).mean()
                if accuracy > best:
                    best, chosen = accuracy, {"alpha": alpha, "beta": beta}
        assert fitted.chosen[r] == chosen


def test_the_grid_is_as_fine_as_that_of_the_authors_script() -> None:
    assert len(tip_adapter.ALPHAS) == len(tip_adapter.BETAS) == 200
    assert tip_adapter.ALPHAS[0] == 0.1
    assert tip_adapter.ALPHAS[-1] == pytest.approx(0.1 + 199 * (50 - 0.1) / 200)


def test_one_option_may_be_set_and_the_other_chosen() -> None:
    fitted = METHOD.fit(clip_like_support(), [TipAdapterOptions(beta=5.5)] * R)
    assert [set(chosen) for chosen in fitted.chosen] == [{"alpha"}] * R
    assert fitted.classifier.tensors()["beta"].tolist() == [5.5] * R


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support()
    check_packed_as_alone(METHOD, support, [TipAdapterOptions()] * R)


def test_what_is_missing_is_named() -> None:
    support = clip_like_support(val=False)
    with pytest.raises(
        UserError, match=r"tip-adapter\.alpha and tip-adapter\.beta on; set them \(.*alpha 1 and beta 5\.5"
    ):
        METHOD.fit(support, [TipAdapterOptions()] * R)
    with pytest.raises(UserError, match=r"choose tip-adapter\.beta on; set it"):
        METHOD.fit(support, [TipAdapterOptions(alpha=1.0)] * R)
    with pytest.raises(UserError, match="only one"):
        METHOD.fit(
            replace(support, raw_text=support.raw_text[:1], labels=support.labels * 0), [TipAdapterOptions()] * R
        )


def test_it_reads_ten_crops_of_at_least_half_the_image() -> None:
    needs = METHOD.needs(TipAdapterOptions())
    assert (needs.views, needs.min_crop_area, needs.validation, needs.norms) == (10, 0.5, True, True)
    assert not METHOD.needs(TipAdapterOptions(alpha=1.0, beta=5.5)).validation
    assert METHOD.needs(TipAdapterOptions(min_crop_area=0.08)).min_crop_area == 0.08


def test_unnormalised_views_are_averaged() -> None:
    support = clip_like_support()
    assert support.images.norms is not None
    norms = support.images.norms * torch.linspace(1, 9, support.images.directions.shape[1])[:, None]
    other = replace(support, images=replace(support.images, norms=norms))
    one, two = (
        METHOD.fit(s, [TipAdapterOptions(alpha=1.0, beta=1.0)] * R).classifier.tensors() for s in (support, other)
    )
    assert (one["keys"] - two["keys"]).abs().max() > 0.01
