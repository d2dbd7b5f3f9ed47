"""Runs that cannot be read: left out, and said once, so that one of them does not cost the tables of a store."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_args

from dualpt.sweeps import records

logger = logging.getLogger(__name__)

Row = TypeVar("Row")
_reported: set[str] = set()
"""Runs that this process has named already."""


def rows_of(runs: Iterable[Any], read: Callable[[Any], Row]) -> Iterator[Row]:
    """The rows of runs, MLflow's or as stored; a damaged run is left out, and named with the remedy."""
    for run in runs:
        try:
            fault = _fault_of(run)
            row = read(run) if fault is None else None
        except (KeyError, ValueError, TypeError) as error:
            row, fault = None, f"lacks {error}" if isinstance(error, KeyError) else f"is unreadable ({error})"
        if row is not None:
            yield row
        elif run.info.run_id not in _reported:
            _reported.add(run.info.run_id)
            logger.warning(
                "run %s %s: left out; delete it with `mlflow runs delete --run-id %s`",
                run.info.run_id,
                fault,
                run.info.run_id,
            )


def sweep_of(run: Any) -> str:
    """Name of the sweep that a run belongs to.

    Raises:
        KeyError: the run does not say it.
    """
    return str(run.data.tags[records.SWEEP_TAG])


def fault_in(params: Mapping[str, str]) -> str | None:
    """What is wrong with the parameters that say which cell a run is, as far as there are any."""
    for name in (records.SHOTS_PARAM, records.SEED_PARAM):
        text = params.get(name, "0")
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            return f"has {text!r:.40} for {name}, which is not a whole number"
    return None


def _fault_of(run: Any) -> str | None:
    if run.info.status not in get_args(records.Status):
        return f"has the unknown status {run.info.status!r}"
    kind = run.data.tags.get(records.KIND_TAG)
    if kind is not None and kind not in get_args(records.Kind):
        return f"is of the unknown kind {kind!r:.40}"
    return fault_in(run.data.params)
