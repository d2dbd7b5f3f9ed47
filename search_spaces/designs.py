"""Which combinations of factor levels an ablation runs: one factor at a time, all of them, or a regular fraction.

In a fraction each two-level factor is coded +1 at the reference's level and -1 at the other, so the reference is
always among its runs. A generated factor's code is the product of its generators' codes.
Source: Box, Hunter and Hunter, Statistics for Experimenters, 1978, chapters 10 and 12.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import prod
from typing import Literal

from dualpt.core.config.sections import Value

Design = Literal["named", "one-at-a-time", "factorial"]
Levels = dict[str, str]
"""Factor -> level: one run."""


@dataclass(frozen=True)
class Factor:
    """What an ablation varies, and its levels in the order declared."""

    name: str
    levels: Mapping[str, Mapping[str, Value]]
    """Level -> the values it sets, by dotted key."""
    reference: str
    """The level that the reference has."""

    @property
    def other(self) -> str:
        """The second level of a factor of two."""
        (other,) = (level for level in self.levels if level != self.reference)
        return other


def one_at_a_time(factors: Sequence[Factor]) -> list[Levels]:
    """The reference, then each other level of each factor alone."""
    start = {factor.name: factor.reference for factor in factors}
    return [start, *({**start, f.name: level} for f in factors for level in f.levels if level != f.reference)]


def factorial(factors: Sequence[Factor], generators: Mapping[str, Sequence[str]]) -> list[Levels]:
    """All combinations of the factors that are not generated, the reference first; generated ones follow.

    Args:
        generators: generated factor -> the factors whose product gives its code.
    """
    free = [factor for factor in factors if factor.name not in generators]
    runs = []
    for levels in product(*([f.reference, *(x for x in f.levels if x != f.reference)] for f in free)):
        run = {factor.name: level for factor, level in zip(free, levels, strict=True)}
        for factor in factors:
            if factor.name in generators:
                code = prod(code_of(f, run[f.name]) for f in free if f.name in generators[factor.name])
                run[factor.name] = factor.reference if code == 1 else factor.other
        runs.append({factor.name: run[factor.name] for factor in factors})
    return runs


def code_of(factor: Factor, level: str) -> int:
    """+1 at the reference's level, -1 elsewhere."""
    return 1 if level == factor.reference else -1


def defining_words(generators: Mapping[str, Sequence[str]]) -> list[frozenset[str]]:
    """The products of factors that are +1 in every run of a fraction; empty for a full factorial."""
    words = [frozenset({factor, *by}) for factor, by in generators.items()]
    found = []
    for count in range(1, len(words) + 1):
        for chosen in combinations(words, count):
            word: frozenset[str] = frozenset()
            for other in chosen:
                word ^= other
            found.append(word)
    return found


def resolution(generators: Mapping[str, Sequence[str]]) -> int | None:
    """Length of the shortest defining word; None for a full factorial. At 3, main effects mix with two-factor ones."""
    return min(map(len, defining_words(generators)), default=None)


def aliases(factor: str, generators: Mapping[str, Sequence[str]]) -> list[str]:
    """The interactions of two factors that a fraction cannot tell from the main effect of a factor."""
    mixed = (word ^ {factor} for word in defining_words(generators))
    return sorted(" × ".join(sorted(word)) for word in mixed if len(word) == 2)
