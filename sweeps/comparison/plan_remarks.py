"""Which methods' transport plans are far from those of their epsilon: their sweeps were too few (`plan_error`)."""

from collections.abc import Iterable

from dualpt.core.results import LARGE_PLAN_ERROR, PLAN_ERROR
from dualpt.sweeps.comparison.labels import method_title
from dualpt.sweeps.records import CellRow

SHOWN = 3
"""Methods named."""


def plan_remarks(rows: Iterable[CellRow]) -> list[str]:
    """One line for all methods with such plans, largest error first; none where all have converged."""
    return error_remarks((row.trial, row.metrics[PLAN_ERROR]) for row in rows if PLAN_ERROR in row.metrics)


def error_remarks(errors: Iterable[tuple[str, float]]) -> list[str]:
    """As `plan_remarks`, from the method and the error of each cell."""
    worst: dict[str, float] = {}
    for method, error in errors:
        worst[method] = max(error, worst.get(method, 0.0))
    large = sorted(((error, method) for method, error in worst.items() if error >= LARGE_PLAN_ERROR), reverse=True)
    if not large:
        return []
    named = [f"{method_title(method)} (up to {100 * error:.1f} %)" for error, method in large[:SHOWN]]
    more = f" and {len(large) - SHOWN} more" if len(large) > SHOWN else ""
    return [
        f"transport plans not converged, with mass in the wrong place: {', '.join(named)}{more}; "
        "raise alignment.ot_iterations, or alignment.ot_epsilon"
    ]
