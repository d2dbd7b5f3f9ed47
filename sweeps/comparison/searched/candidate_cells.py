"""The candidates of a search as recorded: which were judged on everything, and how they were proposed."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps.comparison.frames import SEARCH_RECORD
from dualpt.sweeps.planning.search_record import SearchRecord


@dataclass(frozen=True, eq=False)
class Search:
    """The candidates of one sweep under one protocol."""

    cells: pd.DataFrame
    """All cells of candidates, whatever became of them."""
    record: SearchRecord

    def at_shots(self, shots: int) -> "Search":
        """Of a search that chose among numbers of shots: the candidates judged at one of them."""
        return Search(self.cells[self.cells["shots"] == shots], self.record)

    @property
    def judged(self) -> pd.DataFrame:
        """Finished cells with a validation accuracy."""
        if self.cells.empty or VAL_ACCURACY not in self.cells:
            return self.cells.iloc[:0]
        return self.cells[(self.cells["status"] == "FINISHED") & self.cells[VAL_ACCURACY].notna()]

    @property
    def tried(self) -> Sequence[str]:
        """Names of the candidates that finished a cell, those that were given up included."""
        return tuple(dict.fromkeys(map(str, self.judged["trial"]))) if len(self.judged) else ()

    @property
    def given_up(self) -> bool:
        """Whether some candidate lacks cells though none of its cells failed: a race, or a launch that was cut off."""
        judged = self.judged
        if judged.empty:
            return False
        failed = set(self.cells.loc[self.cells["status"] == "FAILED", "trial"])
        return bool(set(self.tried) - set(self.complete) - failed)

    @property
    def complete(self) -> Sequence[str]:
        """Names of the candidates that were judged on everything, the one with the highest mean accuracy first."""
        judged = self.judged
        if judged.empty:
            return ()
        cells = judged.groupby("trial")[VAL_ACCURACY].agg(["size", "mean"])
        whole = cells[cells["size"] == cells["size"].max()].sort_values("mean", ascending=False, kind="stable")
        return tuple(map(str, whole.index))


def search_of(frame: pd.DataFrame, protocol: str) -> Search:
    """The search of a sweep; without candidates where it has none.

    Args:
        frame: all cells of the sweep (`frames.read_frame`).
    """
    record = frame.attrs.get(SEARCH_RECORD, SearchRecord())
    if frame.empty:
        return Search(frame, record)
    return Search(frame[(frame["kind"] == "search") & (frame["protocol"] == protocol)], record)
