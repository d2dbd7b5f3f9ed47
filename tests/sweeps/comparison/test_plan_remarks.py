import pytest

from dualpt.sweeps.comparison.plan_remarks import error_remarks


def test_methods_with_large_errors_are_named_the_worst_first():
    errors = [("plot", 0.02), ("plot", 0.083), ("coop", 0.001), ("mine", 0.3)]
    assert error_remarks(errors) == [
        "transport plans not converged, with mass in the wrong place: mine (up to 30.0 %), PLOT (up to 8.3 %); "
        "raise alignment.ot_iterations, or alignment.ot_epsilon"
    ]


@pytest.mark.parametrize("errors", [[], [("plot", 0.0099)]])
def test_converged_plans_are_not_mentioned(errors):
    assert error_remarks(errors) == []


def test_of_many_the_worst_three_are_named():
    (line,) = error_remarks([(f"v{n}", n / 10) for n in range(1, 6)])
    assert "v5 (up to 50.0 %), v4 (up to 40.0 %), v3 (up to 30.0 %) and 2 more;" in line
