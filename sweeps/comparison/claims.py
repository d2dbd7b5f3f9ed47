"""Statistics of a table in words: what the paired results say against a baseline, and what they cannot say."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from dualpt.core.data.catalog import MINI_GRID
from dualpt.core.errors import UserError
from dualpt.core.results import HARMONIC_MEAN, Measure, measure_of
from dualpt.sweeps.comparison.labels import column_title, method_title
from dualpt.sweeps.comparison.plain import PlainTable, p_text
from dualpt.sweeps.comparison.searched.candidate_cells import Search
from dualpt.sweeps.comparison.searched.correction import Selected, corrected_p
from dualpt.sweeps.comparison.statistics import (
    LEVEL,
    Interval,
    PairedResult,
    Ranks,
    claim,
    compare_paired,
    corrected_together,
    rank_methods,
    smallest_p,
)
from dualpt.sweeps.comparison.tables.table import shots_text
from dualpt.sweeps.comparison.values import Array, Grid, datasets_of_one_draw, method_values
from dualpt.sweeps.console import counted

ALPHA = 1 - LEVEL
NO_SEARCHES: Mapping[str, Search] = MappingProxyType({})


@dataclass(frozen=True)
class Claims:
    """Every complete method against the baseline, and all of them by rank."""

    title: str
    baseline: str
    n_datasets: int
    n_seeds: int
    paired: Mapping[str, PairedResult]
    ranks: Ranks | None
    """None where fewer than three methods are complete."""
    left_out: tuple[str, ...]
    """Methods with missing cells: a paired test has no place for them."""
    mini: bool
    metric: str
    search_words: tuple[str, ...] = ()
    """How p was corrected for the search behind a selected setting."""
    comparisons: int = 0
    """Over which p is corrected: those of every number of shots that is shown beside this one."""
    one_draw: tuple[str, ...] = ()
    """Datasets on which all seeds trained on the same images."""

    @property
    def measure(self) -> Measure:
        """What is compared, and which way is better."""
        return measure_of(self.metric)

    def tables(self) -> list[PlainTable]:
        """The comparison with the baseline, and the mean ranks."""
        return [_paired_table(self)] + ([] if self.ranks is None else [_rank_table(self, self.ranks)])

    def words(self) -> list[str]:
        """What can and cannot be claimed at this n."""
        return [*_method_lines(self), *_limits(self)]


def claims_of(
    cells: pd.DataFrame,
    grid: Grid,
    baseline: str,
    *,
    shots: int,
    metric: str,
    searches: Mapping[str, Search] = NO_SEARCHES,
) -> Claims:
    """Compare every method with a baseline at one number of shots.

    Args:
        cells: comparable cells (see `frames`).
        baseline: a method's name.
        searches: sweep -> its candidates; selected settings are compared with regard to them.

    Raises:
        UserError: fewer than two datasets, or a baseline that lacks a cell.
    """
    if len(grid.datasets) < 2:
        raise UserError("statistics need at least two datasets: a claim is about datasets, and one has no spread")
    results, left_out = paired_results(cells, grid, shots=shots, metric=metric)
    if baseline not in results:
        raise UserError(
            f"--baseline: {method_title(baseline)} lacks cells at {shots_text(shots)}, and pairs need all of them; "
            "run the sweep again, or choose another baseline"
        )
    others = {method: values for method, values in results.items() if method != baseline}
    lower_is_better = measure_of(metric).lower_is_better
    paired = compare_paired(others, results[baseline], lower_is_better=lower_is_better)
    selected_baseline = Selected.of(baseline, cells, searches)
    corrections = {}
    for method, values in others.items():
        selected = (Selected.of(method, cells, searches), selected_baseline)
        if corrected := corrected_p(values, results[baseline], selected, grid, shots=shots, metric=metric):
            corrections[method] = corrected
    paired |= {method: replace(paired[method], search_p=corrected.p) for method, corrected in corrections.items()}
    (paired,) = corrected_together([paired])
    return Claims(
        title=f"{metric} at {shots_text(shots)}: statistics against {method_title(baseline)}",
        baseline=baseline,
        n_datasets=len(grid.datasets),
        n_seeds=len(grid.seeds),
        paired=paired,
        ranks=rank_methods(results, lower_is_better=lower_is_better) if len(results) > 2 else None,
        left_out=left_out,
        mini=all(name in MINI_GRID for name in grid.datasets),
        metric=metric,
        search_words=tuple(dict.fromkeys(corrected.words for corrected in corrections.values())),
        comparisons=len(others),
        one_draw=datasets_of_one_draw(cells, grid, shots=shots),
    )


def claims_at(
    cells: pd.DataFrame,
    grid: Grid,
    baseline: str,
    *,
    shots: Sequence[int],
    metric: str,
    searches: Mapping[str, Search] = NO_SEARCHES,
) -> list[Claims]:
    """`claims_of` at each number of shots, corrected together: a page of tables is one family of comparisons.

    Raises:
        UserError: as `claims_of`.
    """
    found = [claims_of(cells, grid, baseline, shots=k, metric=metric, searches=searches) for k in shots]
    total = sum(one.comparisons for one in found)
    corrected = corrected_together([one.paired for one in found])
    return [replace(one, paired=paired, comparisons=total) for one, paired in zip(found, corrected, strict=True)]


def paired_results(
    cells: pd.DataFrame, grid: Grid, *, shots: int, metric: str
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Method -> (D, S) values of those without a missing cell, and the names of the others.

    The single result of a zero-shot method stands for every seed.
    """
    shape = (len(grid.datasets), len(grid.seeds))
    values = method_values(cells, grid, shots=shots, metric=metric)
    whole = {method: np.broadcast_to(own.T, shape) for method, own in values.items() if not np.isnan(own).any()}
    return whole, tuple(method for method in values if method not in whole)


def _paired_table(claims: Claims) -> PlainTable:
    head = (
        "method",
        "difference",
        f"{LEVEL:.0%} interval",
        "datasets higher/lower",
        "probability of being better",
        "p",
        *(("p (search)",) if claims.search_words else ()),
        "p (Holm)",
    )
    digits = claims.measure.digits
    rows, records = [], []
    for method, found in claims.paired.items():
        low, high = found.better_interval.low, found.better_interval.high
        better = f"{found.better:.2f} [{low:.2f}, {high:.2f}]"
        counts = f"{found.higher}/{found.lower}"
        title = method_title(method)
        shown = (found.p, *((found.search_p,) if claims.search_words else ()), found.holm)
        ps = tuple(map(p_text, shown))
        difference = f"{found.difference:+.{digits}f}"
        rows.append((title, difference, found.interval.text(digits), counts, better, *ps))
        records.append({"method": title, "baseline": method_title(claims.baseline), **asdict(found)})
    return PlainTable(claims.title, head, tuple(rows), tuple(records), claims.words())


def _rank_table(claims: Claims, ranks: Ranks) -> PlainTable:
    order = sorted(zip(ranks.mean_ranks, ranks.methods, strict=True))
    rows = tuple((method_title(method), f"{rank:.2f}") for rank, method in order)
    records = tuple({"method": method_title(method), "mean_rank": rank} for rank, method in order)
    f = f"F = {ranks.f:.2f}, p {_equals(ranks.f_p)}" if ranks.has_f else "F has no value, since all datasets rank alike"
    words = [
        f"Friedman chi-square = {ranks.chi_square:.2f}, p {_equals(ranks.p)}; Iman-Davenport {f}; {ranks.n} datasets",
        f"mean ranks closer than Nemenyi's critical difference of {ranks.critical_difference:.2f} cannot be told apart",
    ]
    if ranks.together_p >= ALPHA:
        words.append(
            "taken together the methods are indistinguishable: no pair of ranks should be read as a difference"
        )
    return PlainTable(f"{claims.title.partition(':')[0]}: mean ranks", ("method", "rank"), rows, records, words)


def _method_lines(claims: Claims) -> list[str]:
    baseline, lines = method_title(claims.baseline), []
    digits, unit = claims.measure.digits, claims.measure.difference_unit
    for method, found in claims.paired.items():
        title, low, high = method_title(method), found.interval.low, found.interval.high
        word = "above" if found.difference > 0 else "below"
        verdict = claim(found.interval, found.holm)
        if verdict == "yes":
            size = f"{abs(found.difference):.{digits}f} {unit}"
            lines.append(f"{title} is {word} {baseline} by {size} on average over datasets")
        elif verdict == "perhaps":
            lines.append(f"{title}: no claim against {baseline}, since {doubt(found.interval, found.holm)}")
        else:
            size = f"from {low:+.{digits}f} to {high:+.{digits}f} {unit}"
            lines.append(f"{title} cannot be told from {baseline}: any difference {size} fits the results")
    return lines


def doubt(interval: Interval, corrected_p: float) -> str:
    """Which of interval and test alone speaks for a claim, and which against it.

    Among many comparisons without a difference some interval leaves out 0: in most tables of five methods at five
    numbers of shots.
    """
    if interval.low <= 0 <= interval.high:
        return f"the interval contains 0, though Holm's p {_equals(corrected_p)}"
    return f"Holm's p {_equals(corrected_p)}, though the interval leaves out 0"


def n_text(n_datasets: int, n_seeds: int, one_draw: Sequence[str]) -> str:
    """`11 datasets × 3 seeds`; seeds that share one draw everywhere are one draw.

    Args:
        one_draw: datasets on which all seeds trained on the same images.
    """
    shared = n_seeds > 1 and len(one_draw) == n_datasets
    repeats = f"1 draw, which all {n_seeds} seeds share" if shared else counted(n_seeds, "seed")
    return f"{counted(n_datasets, 'dataset')} × {repeats}"


def draw_limits(n_seeds: int, one_draw: Sequence[str]) -> list[str]:
    """What isn't measured where seeds aren't draws of their own; arguments as in `n_text`."""
    unmeasured = "how much another draw would change is not measured, and intervals leave it out"
    if n_seeds == 1:
        return [f"a single seed: {unmeasured}"]
    if not one_draw:
        return []
    return [f"one draw serves all seeds ({', '.join(map(column_title, one_draw))}): {unmeasured}"]


def _limits(claims: Claims) -> list[str]:
    n, comparisons = claims.n_datasets, claims.comparisons
    lines = [
        f"n = {n_text(n, claims.n_seeds, claims.one_draw)}; intervals by resampling datasets, then seeds; p by "
        f"Wilcoxon over datasets, corrected by Holm for {counted(comparisons, 'comparison')}"
        f"{' over all numbers of shots' * (comparisons > len(claims.paired))}"
    ]
    lines += claims.search_words
    if claims.search_words:
        lines.append("a selected setting's interval is not corrected for its search; a claim needs p (Holm) as well")
    least = min(1.0, smallest_p(n) * comparisons)
    if least > ALPHA:
        lines.append(
            f"{n} datasets cannot give a corrected p below {least:.2g}: no claim is possible at this n, whatever the "
            "accuracies; add datasets, or compare fewer methods"
        )
    lines += draw_limits(claims.n_seeds, claims.one_draw)
    if claims.measure.lower_is_better:
        lines.append(f"lower is better: a method below the baseline has the better {claims.measure.title}")
    if claims.metric == HARMONIC_MEAN:
        lines.append("tests take each dataset's own H, so their difference is that of the mean of H")
    lines += [f"{method_title(method)} is left out: it lacks cells" for method in claims.left_out]
    lines.append(
        "the claims are about datasets and draws like these, with this backbone"
        + (": drawn images and a tiny CLIP, which say nothing of photographs" if claims.mini else "")
    )
    return lines


def _equals(p: float) -> str:
    return p_text(p) if p < 0.001 else f"= {p_text(p)}"
