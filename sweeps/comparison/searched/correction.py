"""Which correction for a search holds, decided by how candidates were proposed and judged, never by their results.

- Reselection (`reselection`), where every candidate was proposed without regard to the others' results and judged on
  everything, and its test results at these shots are on record.
- Else, of two that hold for any search, the one that can give the smaller p: Wilcoxon's test on the datasets that
  candidates were not judged on, or p on all datasets times the number of candidates (Bonferroni).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps.comparison.labels import is_selected, method_title, trial_of
from dualpt.sweeps.comparison.searched.candidate_cells import Search
from dualpt.sweeps.comparison.searched.reselection import Contender, reselected_p
from dualpt.sweeps.comparison.statistics import LEVEL, smallest_p, wilcoxon
from dualpt.sweeps.comparison.values import Array, Grid
from dualpt.sweeps.console import counted

SEARCHED_SHOTS = re.compile(r"best-(\d+)-shot")


@dataclass(frozen=True)
class Corrected:
    """A p-value that knows of the search, and how it was reached."""

    p: float
    words: str


@dataclass(frozen=True, eq=False)
class Selected:
    """A method that a search selected."""

    method: str
    search: Search
    own: pd.DataFrame
    """The method's own cells."""

    @classmethod
    def of(cls, method: str, cells: pd.DataFrame, searches: Mapping[str, Search]) -> "Selected | None":
        """None where the method was not selected among several candidates, or its search is not at hand."""
        own = cells[cells["trial"] == method]
        sweep = str(own["sweep"].iloc[0]) if "sweep" in own and len(own) else ""
        if not is_selected(method) or sweep not in searches:
            return None
        search = searches[sweep]
        if (shots := SEARCHED_SHOTS.fullmatch(trial_of(method))) is not None:
            search = search.at_shots(int(shots[1]))
        return cls(method, search, own) if len(search.tried) > 1 else None

    @property
    def count(self) -> int:
        return len(self.search.tried)

    @property
    def title(self) -> str:
        return f"{method_title(self.method)} was selected among {self.count} candidates"

    def datasets(self, grid: Grid) -> Array:
        """(D,) bool: which datasets candidates were judged on."""
        judged = set(self.search.judged["dataset"])
        return np.array([dataset in judged for dataset in grid.datasets])

    def no_reselection(self, grid: Grid, shots: int, metric: str) -> str:
        """Why reselection would not hold; empty where it does."""
        if self.search.record.learns:
            return "later candidates were proposed in the light of earlier ones"
        if self.search.record.races or self.search.given_up:
            return "some candidates were not judged on everything"
        first = self.search.complete[0]
        judged = self.search.judged
        if not set(judged.loc[judged["trial"] == first, "key"]) <= set(self.own["key"]):
            return "the candidate with the highest validation accuracy on record is another"
        tests = self._tests(grid, shots, metric)
        if not len(tests) or np.isnan(tests[:, self.datasets(grid)]).any():
            return f"candidates have no {metric} at {counted(shots, 'shot')}"
        return ""

    def contender(self, grid: Grid, shots: int, metric: str, unseen: Array) -> Contender:
        """For `reselected_p`.

        Args:
            unseen: (D,) the method's own results, for the datasets that candidates were not judged on.
        """
        tests, seen = self._tests(grid, shots, metric), self.datasets(grid)
        validation = self._by_dataset(self.search.judged, VAL_ACCURACY, grid)
        return Contender(np.where(seen, tests, unseen), np.where(seen, validation, 0.0))

    def seeds(self, shots: int) -> set[int]:
        """Seeds that candidates were judged at."""
        judged = self.search.judged
        return set(map(int, judged.loc[judged["shots"] == shots, "seed"]))

    def _tests(self, grid: Grid, shots: int, metric: str) -> Array:
        judged = self.search.judged
        at_shots = judged[judged["shots"] == shots]
        return self._by_dataset(at_shots, metric, grid) if metric in at_shots and len(at_shots) else np.empty((0, 0))

    def _by_dataset(self, cells: pd.DataFrame, column: str, grid: Grid) -> Array:
        """(K, D) means over a candidate's cells; NaN where there are none."""
        means = cells.groupby(["trial", "dataset"])[column].agg(lambda values: values.mean(skipna=False)).unstack()
        table: Array = means.reindex(index=list(self.search.complete), columns=list(grid.datasets)).to_numpy(float)
        return table


def corrected_p(
    results: Array,
    baseline: Array,
    selected: Sequence[Selected | None],
    grid: Grid,
    *,
    shots: int,
    metric: str,
) -> Corrected | None:
    """The p of a comparison in which one side or both were selected by a search; None where neither was.

    Args:
        results, baseline: (D, S), complete.
        selected: of the method and of the baseline, None for a side that was not selected.
    """
    searched = [side for side in selected if side is not None]
    if not searched:
        return None
    title = "; ".join(side.title for side in searched)
    reasons = [reason for side in searched if (reason := side.no_reselection(grid, shots, metric))]
    if not reasons:
        p = _reselected(results, baseline, selected, grid, shots=shots, metric=metric)
        return Corrected(p, f"{title}: p (search) selects again under every pattern of the datasets' signs")
    difference = (results - baseline).mean(axis=1)
    seen = np.any([side.datasets(grid) for side in searched], axis=0)
    candidates = int(np.prod([side.count for side in searched]))
    by_number = candidates * smallest_p(len(seen))
    if (~seen).any() and smallest_p(int((~seen).sum())) <= by_number:
        words = f"{title}, and {reasons[0]}: p (search) is of the {(~seen).sum()} datasets that the search did not see"
        return Corrected(wilcoxon(difference[~seen]), words)
    words = f"{title}, and {reasons[0]}: p (search) is p times {candidates} (Bonferroni)"
    if by_number > 1 - LEVEL:
        words += f"; {len(seen)} datasets cannot give a claim after so many: search on some of them only, or at random"
    return Corrected(min(1.0, candidates * wilcoxon(difference)), words)


def _reselected(
    results: Array,
    baseline: Array,
    selected: Sequence[Selected | None],
    grid: Grid,
    *,
    shots: int,
    metric: str,
) -> float:
    """On datasets that candidates were judged on, both sides are read at the candidates' seeds: they stay paired."""
    searched = [side for side in selected if side is not None]
    seeds = set.intersection(*(side.seeds(shots) for side in searched))
    at = np.array([seed in seeds for seed in grid.seeds])
    seen = np.any([side.datasets(grid) for side in searched], axis=0)
    sides = []
    for values, side in zip((results, baseline), selected, strict=True):
        own = np.where(seen, values[:, at].mean(axis=1), values.mean(axis=1))
        sides.append(Contender.unsearched(own) if side is None else side.contender(grid, shots, metric, own))
    return reselected_p(*sides)
