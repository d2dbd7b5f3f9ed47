"""The candidates of a search as a frame: what was tried and how it did, for figures of the search."""

import pandas as pd

from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.errors import UserError
from dualpt.core.results import VAL_ACCURACY

VALUE = "value"
"""Column of the objective: mean validation accuracy over a candidate's cells, in percent."""
DECADES = 20
"""Ratio of the largest to the smallest value from which an axis is better logarithmic."""
LOG_KEYS = "log_keys"
"""Attribute of the frame: the keys that the search space declares logarithmic."""


def candidates_frame(cells: pd.DataFrame, log_keys: frozenset[str] = frozenset()) -> pd.DataFrame:
    """One row per candidate, by name: the keys that vary among candidates, numbers as numbers, and `value`.

    Args:
        cells: a sweep's cells, read with all setting keys as columns (`frames.read_frame(…, None)`).
        log_keys: keys that were searched on a logarithmic scale (`launch_record.log_keys`).

    Raises:
        UserError: fewer than two candidates, or none that varies.
    """
    searched = cells[(cells["kind"] == "search") & (cells["status"] == "FINISHED")] if len(cells) else cells
    if searched.empty or VAL_ACCURACY not in searched or searched["trial"].nunique() < 2:
        raise UserError("figures of a search need at least two judged candidates (`dualpt status`)")
    by_trial = searched.groupby("trial", sort=True)
    methods = set(searched["method"].dropna())
    keys = [key for key in map(str, cells) if key in SETTING_KEYS or key.partition(".")[0] in methods]
    settings = by_trial[keys].first()
    varying = [key for key in keys if settings[key].nunique() > 1]  # blank where the other values switch it off
    frame = settings[varying].apply(_as_numbers)
    if searched.groupby("trial")["shots"].first().nunique() > 1:
        frame["data.shots"] = by_trial["shots"].first()
    frame[VALUE] = by_trial[VAL_ACCURACY].mean()
    if len(frame.columns) == 1:
        raise UserError("the candidates don't differ in anything")
    frame.attrs[LOG_KEYS] = log_keys
    return frame


def _as_numbers(column: "pd.Series[str]") -> "pd.Series[float] | pd.Series[str]":
    """Numbers where all values that are there are numbers."""
    try:
        return column.astype(float)
    except ValueError:
        return column


def is_number(column: "pd.Series[float]") -> bool:
    return pd.api.types.is_numeric_dtype(column)


def is_logarithmic(frame: pd.DataFrame, key: str) -> bool:
    """Whether a key's axis is: it was searched so, or its largest value is at least 20 times its smallest."""
    known = frame[key].dropna()
    if known.empty or known.min() <= 0:
        return False
    return key in frame.attrs.get(LOG_KEYS, ()) or bool(known.max() / known.min() >= DECADES)
