from dataclasses import replace

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from dualpt.core.errors import UserError
from dualpt.core.methods.training_free import proker
from dualpt.core.methods.training_free.proker import Proker, ProkerOptions
from tests.core.methods.clip_like import C, R, V, check_packed_as_alone, clip_like_support, new_images

METHOD = Proker()


def kernel(x: np.ndarray, y: np.ndarray, beta: float) -> np.ndarray:
    return np.exp(-beta * (1 - x @ y.T))


@pytest.mark.parametrize(("beta", "ridge"), [(1.7, 0.1), (0.1, 0.001), (10.0, 10.0)])
def test_logits_are_the_published_formula(beta: float, ridge: float) -> None:
    support, images = clip_like_support(), new_images()
    logits = METHOD.fit(support, [ProkerOptions(beta=beta, ridge=ridge)] * R).classifier.logits(images)
    assert logits.shape == (R, 40, C)
    f, text = images.directions.double().numpy(), support.text.double().numpy()
    for r in range(R):
        rows = support.images.directions[r].flatten(0, 1).double().numpy()
        values = np.eye(C)[np.tile(support.labels[r].numpy(), V)]
        system = 1 / ridge * kernel(rows, rows, beta) + np.eye(len(rows))
        coefficients = np.linalg.solve(system, values - rows @ text.T)
        expected = f @ text.T + kernel(f, rows, beta) @ coefficients
        np.testing.assert_allclose(logits[r].numpy() / 20, expected, atol=2e-5)


def test_the_image_part_is_scikit_learns_kernel_ridge_times_l() -> None:
    support, images = clip_like_support(cells=1), new_images()
    logits = METHOD.fit(support, [ProkerOptions(beta=1.7, ridge=0.3)]).classifier.logits(images)[0]
    rows, f = (x.double().numpy() for x in (support.images.directions[0].flatten(0, 1), images.directions))
    text, values = support.text.double().numpy(), np.eye(C)[np.tile(support.labels[0].numpy(), V)]
    ridge = KernelRidge(alpha=0.3, kernel="rbf", gamma=1.7 / 2).fit(rows, values - rows @ text.T)
    expected = f @ text.T + 0.3 * ridge.predict(f)  # |x - y|^2 = 2 - 2 x y; K (K / l + I)^-1 = l K (K + l I)^-1
    np.testing.assert_allclose(logits.numpy() / 20, expected, atol=1e-5)


def test_the_search_finds_what_the_published_loop_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    betas, ridges = proker.BETAS[::4], proker.RIDGES[::9]
    monkeypatch.setattr(proker, "BETAS", betas)
    monkeypatch.setattr(proker, "RIDGES", ridges)
    monkeypatch.setattr(proker, "MAX_ELEMENTS", V * 28 * C * 5)  # five at a time
    support = clip_like_support()
    fitted = METHOD.fit(support, [ProkerOptions()] * R)
    assert support.val is not None
    for r in range(R):
        rows, text = support.images.directions[r].flatten(0, 1).double().numpy(), support.text.double().numpy()
        values = np.eye(C)[np.tile(support.labels[r].numpy(), V)]
        f, labels = support.val.images.directions[r].double().numpy(), support.val.labels[r].numpy()
        best, chosen = 0.0, {}
        for beta in betas:
            within, across = kernel(rows, rows, beta), kernel(f, rows, beta)
            for ridge in ridges:
                system = within / ridge + np.eye(len(rows))
                logits = f @ text.T + across @ np.linalg.solve(system, values - rows @ text.T)
                accuracy = (logits.argmax(1) == labels).mean()
                if accuracy > best:
                    best, chosen = accuracy, {"beta": beta, "ridge": ridge}
        assert fitted.chosen[r] == chosen


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support(views=2)
    check_packed_as_alone(METHOD, support, [ProkerOptions()] * R)


def test_what_is_missing_is_named() -> None:
    support = clip_like_support(val=False)
    with pytest.raises(
        UserError, match=r"choose proker\.beta and proker\.ridge on; set them \(.*beta 1\.7 and ridge 0\.1"
    ):
        METHOD.fit(support, [ProkerOptions()] * R)
    with pytest.raises(UserError, match=r"choose proker\.ridge on; set it"):
        METHOD.fit(support, [ProkerOptions(beta=1.7)] * R)
    with pytest.raises(UserError, match="only one"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=support.labels * 0), [ProkerOptions()] * R)


def test_every_crop_is_a_row() -> None:
    assert METHOD.needs(ProkerOptions()).views == 10
    classifier = METHOD.fit(clip_like_support(), [ProkerOptions(beta=1.0, ridge=1.0)] * R).classifier
    assert classifier.tensors()["rows"].shape == (R, V * 28, 16)
    assert METHOD.needs(ProkerOptions(min_crop_area=0.08)).min_crop_area == 0.08


def test_a_kernel_that_no_machine_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    support = clip_like_support()
    n_rows = V * support.labels.shape[1]
    monkeypatch.setattr(proker, "MAX_ROWS", n_rows - 1)
    with pytest.raises(UserError, match=rf"proker.views: 10 views give a kernel of {n_rows} by {n_rows}; .*views=0"):
        METHOD.fit(support, [ProkerOptions()] * R)
