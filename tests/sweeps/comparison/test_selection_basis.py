import math
from dataclasses import replace

import pytest

from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps.comparison.selection_basis import SelectionBasis, accuracy_text, selection_basis
from tests.sweeps.report.synthetic import cells


def rows_of(accuracies):
    """Finished search cells by trial, beside others that must not count."""
    template = replace(next(row for row in cells(200) if row.finished), kind="search")
    found = [
        replace(template, trial=trial, metrics={VAL_ACCURACY: value, "test/accuracy": 1.0})
        for trial, values in accuracies.items()
        for value in values
    ]
    others = [
        replace(template, trial="trial-009", status="FAILED", metrics={}),
        replace(template, trial="best", kind="best", metrics={VAL_ACCURACY: 99.0}),
    ]
    return found + others


def test_the_mean_has_its_cells_its_error_and_its_rivals():
    rows = rows_of({"trial-000": [50.0, 60.0, 70.0], "trial-001": [20.0], "trial-002": [64.0]})
    basis = selection_basis(rows, "trial-000", (20, 40))
    assert basis == SelectionBasis(3, 3, pytest.approx(10 / math.sqrt(3)), (20, 40))
    assert accuracy_text(60.0, basis) == (
        "validation accuracy 60.0 (highest of 3 candidates; mean of 3 cells, standard error 5.8; "
        "20 to 40 validation images in each)"
    )


def test_a_single_candidate_on_a_single_cell_claims_neither_maximum_nor_error():
    basis = selection_basis(rows_of({"trial-000": [50.0]}), "trial-000", (4, 4))
    assert str(basis) == "of the only candidate; of a single cell; 4 validation images in it"


def test_where_images_are_not_on_record_they_are_left_out():
    basis = selection_basis(rows_of({"trial-000": [50.0, 60.0], "trial-001": [1.0]}), "trial-000")
    assert str(basis) == "highest of 2 candidates; mean of 2 cells, standard error 5.0"


def test_without_the_candidates_cells_nothing_is_claimed():
    basis = selection_basis(rows_of({"trial-000": [50.0]}), "trial-404")
    assert basis is None
    assert accuracy_text(64.21, basis) == "validation accuracy 64.2"
