"""What each factor of a factorial ablation does: effects and interactions, paired within datasets.

The effect of a level is the mean of the runs at that level less the mean of those at the factor's first level; the
interaction of two two-level factors is the mean of the runs where their codes agree less that of the others (Box,
Hunter and Hunter, Statistics for Experimenters, 1978, chapter 10). Both are taken within each (dataset, seed), so that
what datasets differ in cancels. F is that of an analysis of variance with datasets as subjects (statsmodels' AnovaRM).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from statsmodels.stats.anova import AnovaRM

from dualpt.search_spaces.designs import Factor, aliases, resolution
from dualpt.sweeps.comparison.claims import doubt, draw_limits, n_text
from dualpt.sweeps.comparison.plain import PlainTable, p_text
from dualpt.sweeps.comparison.statistics import LEVEL, Interval, claim, hierarchical_interval, holm, rounded, wilcoxon
from dualpt.sweeps.comparison.values import Array
from dualpt.sweeps.console import counted

Runs = Sequence[tuple[Mapping[str, str], Array]]
"""For each run of a design, factor -> level and its (D, S) accuracies in percent."""


@dataclass(frozen=True)
class Effect:
    """A contrast of runs, in points."""

    name: str
    estimate: float
    interval: Interval
    higher: int
    """Datasets on which the effect is above 0."""
    lower: int
    p: float
    """Two-sided Wilcoxon signed-rank test over datasets."""
    holm: float
    """`p` corrected for the number of effects that are read together."""
    f: float | None
    """Of the whole factor (or interaction), all levels together; None in a fraction or where datasets agree."""
    f_p: float | None
    mixed_with: tuple[str, ...] = ()
    """Two-factor interactions that a fraction cannot tell it from."""


def effects_of(runs: Runs, factors: Sequence[Factor], generators: Mapping[str, Sequence[str]]) -> list[Effect]:
    """Main effects, and the interactions of two-level factors where the design can tell them apart.

    Args:
        runs: of the whole design, all of them complete.
        factors: with their levels in the order declared.
        generators: of a fractional design.
    """
    contrasts: dict[str, tuple[str, Array]] = {}  # name -> the term it belongs to, and the contrast (D, S)
    for factor in factors:
        first, *others = factor.levels
        for level in others:
            contrast = _mean(runs, factor.name, level) - _mean(runs, factor.name, first)
            contrasts[f"{factor.name}: {level} against {first}"] = (factor.name, contrast)
    if not generators:
        two = [factor for factor in factors if len(factor.levels) == 2]
        for one, other in combinations(two, 2):
            contrasts[f"{one.name} × {other.name}"] = (f"{one.name} × {other.name}", _interaction(runs, one, other))
    contrasts = {name: (term, rounded(contrast)) for name, (term, contrast) in contrasts.items()}
    tests = {} if generators else _anova(runs, factors)
    means = [rounded(contrast.mean(axis=1)) for _, contrast in contrasts.values()]
    # where an effect is the same on every dataset its F is the ratio of two rounding errors
    varying = {term for (term, _), by_dataset in zip(contrasts.values(), means, strict=True) if np.ptp(by_dataset)}
    ps = [wilcoxon(by_dataset) for by_dataset in means]
    found = []
    for (name, (term, contrast)), by_dataset, p, corrected in zip(contrasts.items(), means, ps, holm(ps), strict=True):
        f, f_p = tests.get(term, (None, None)) if term in varying else (None, None)
        found.append(
            Effect(
                name=name,
                estimate=float(by_dataset.mean()),
                interval=hierarchical_interval(contrast),
                higher=int((by_dataset > 0).sum()),
                lower=int((by_dataset < 0).sum()),
                p=p,
                holm=corrected,
                f=f,
                f_p=f_p,
                mixed_with=tuple(aliases(term, generators)),
            )
        )
    return found


def corrected_together(families: Sequence[Sequence[Effect]]) -> list[list[Effect]]:
    """The same effects, with Holm's correction over all of them: as one family, where they are read together."""
    corrected = iter(holm([effect.p for family in families for effect in family]))
    return [[replace(effect, holm=next(corrected)) for effect in family] for family in families]


def _mean(runs: Runs, factor: str, level: str) -> Array:
    """(D, S): the mean of the runs at a level."""
    mean: Array = np.mean([values for levels, values in runs if levels[factor] == level], axis=0)
    return mean


def _interaction(runs: Runs, one: Factor, other: Factor) -> Array:
    agree: list[Array] = []
    differ: list[Array] = []
    for levels, values in runs:
        codes = [levels[factor.name] == list(factor.levels)[-1] for factor in (one, other)]
        (agree if codes[0] == codes[1] else differ).append(values)
    difference: Array = np.mean(agree, axis=0) - np.mean(differ, axis=0)
    return difference


def _anova(runs: Runs, factors: Sequence[Factor]) -> dict[str, tuple[float, float]]:
    """Term -> F and its p, by a repeated-measures analysis of variance with datasets as subjects."""
    names = {f"f{i}": factor.name for i, factor in enumerate(factors)}
    rows = [
        {"dataset": dataset, "accuracy": accuracy, **{f: levels[name] for f, name in names.items()}}
        for levels, values in runs
        for dataset, accuracy in enumerate(values.mean(axis=1))
    ]
    if len({row["dataset"] for row in rows}) < 2:
        return {}
    table = AnovaRM(pd.DataFrame(rows), "accuracy", "dataset", within=list(names)).fit().anova_table
    terms = {" × ".join(names[f] for f in str(term).split(":")): row for term, row in table.iterrows()}
    return {term: (float(row["F Value"]), float(row["Pr > F"])) for term, row in terms.items()}


def effects_table(
    effects: Sequence[Effect],
    *,
    title: str,
    n_datasets: int,
    n_seeds: int,
    generators: Mapping[str, Sequence[str]],
    corrected: int,
    one_draw: Sequence[str] = (),
) -> PlainTable:
    """The effects as shown, with what they stand on.

    Args:
        corrected: for how many effects p is corrected: those of every number of shots that is shown beside this one.
        one_draw: datasets on which all seeds trained on the same images.
    """
    head = ("effect", "points", f"{LEVEL:.0%} interval", "datasets higher/lower", "p", "p (Holm)", "F", "p (F)")
    rows = []
    for effect in effects:
        counts = f"{effect.higher}/{effect.lower}"
        variance = ("–", "–") if effect.f is None or effect.f_p is None else (f"{effect.f:.1f}", p_text(effect.f_p))
        ps = (p_text(effect.p), p_text(effect.holm))
        rows.append((effect.name, f"{effect.estimate:+.1f}", str(effect.interval), counts, *ps, *variance))
    words = [
        f"n = {n_text(n_datasets, n_seeds, one_draw)}; effects are taken within each dataset and "
        f"seed, p by Wilcoxon over datasets, corrected by Holm for {counted(corrected, 'effect')}"
        f"{' over all numbers of shots' * (corrected > len(effects))}; F: datasets as subjects",
        *draw_limits(n_seeds, one_draw),
        *_claims(effects),
        *_fraction_words(effects, generators),
    ]
    return PlainTable(title, head, tuple(rows), tuple(asdict(effect) for effect in effects), words)


def _claims(effects: Sequence[Effect]) -> list[str]:
    """Which effects can be claimed, and which are indistinguishable from none."""
    lines = []
    for effect in effects:
        verdict = claim(effect.interval, effect.holm)
        if verdict == "yes":
            lines.append(f"{effect.name}: an effect of {effect.estimate:+.1f} points")
        elif verdict == "perhaps":
            lines.append(f"{effect.name}: no claim, since {doubt(effect.interval, effect.holm)}")
        else:
            low, high = effect.interval.low, effect.interval.high
            lines.append(
                f"{effect.name}: no effect is shown; anything from {low:+.1f} to {high:+.1f} points fits the results"
            )
    return lines


def _fraction_words(effects: Sequence[Effect], generators: Mapping[str, Sequence[str]]) -> list[str]:
    number = resolution(generators)
    if number is None:
        return []
    roman = {3: "III", 4: "IV", 5: "V"}.get(number, str(number))
    lines = [f"a fraction of resolution {roman}: interactions are not estimated"]
    return lines + [f"{e.name}: mixed with {', '.join(e.mixed_with)}" for e in effects if e.mixed_with]
