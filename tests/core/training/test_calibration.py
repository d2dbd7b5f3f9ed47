import math

import pytest
import torch

from dualpt.core.training.calibration import BINS, reliability

CONFIDENCES = torch.rand(500, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.9 + 0.1
CORRECT = torch.rand(500, generator=torch.Generator().manual_seed(2), dtype=torch.float64) < CONFIDENCES**2


def test_error_is_the_weighted_gap_of_bins_written_out():
    total = 0.0
    for m in range(1, BINS + 1):
        inside = [i for i, c in enumerate(CONFIDENCES.tolist()) if (m - 1) / BINS < c <= m / BINS]
        if inside:
            accuracy = sum(CORRECT[i].item() for i in inside) / len(inside)
            confidence = sum(CONFIDENCES[i].item() for i in inside) / len(inside)
            total += len(inside) / 500 * abs(accuracy - confidence)
    assert reliability(CONFIDENCES, CORRECT).expected_calibration_error == pytest.approx(100 * total)


def test_bins_are_those_of_scikit_learns_calibration_curve():
    calibration = pytest.importorskip("sklearn.calibration")
    accuracy, confidence = calibration.calibration_curve(CORRECT, CONFIDENCES, n_bins=BINS, strategy="uniform")
    found = reliability(CONFIDENCES, CORRECT)
    filled = found.counts > 0
    assert found.accuracy[filled].tolist() == pytest.approx(accuracy.tolist())
    assert found.confidence[filled].tolist() == pytest.approx(confidence.tolist())


def test_a_bin_holds_its_right_edge_and_certainty_is_in_the_last():
    counts = reliability(torch.tensor([1 / 3, 1.0, 1.0], dtype=torch.float64), torch.tensor([True, True, False])).counts
    assert counts[4] == 1
    assert counts[-1] == 2


def test_a_perfectly_calibrated_classifier_has_no_error():
    confidences = torch.full((4,), 0.75)
    found = reliability(confidences, torch.tensor([True, True, True, False]))
    assert found.expected_calibration_error == pytest.approx(0)


def test_empty_bins_are_nan_and_take_no_part():
    found = reliability(torch.tensor([0.9, 0.9]), torch.tensor([True, False]))
    assert math.isnan(found.accuracy[0])
    assert found.expected_calibration_error == pytest.approx(40, rel=1e-5)
