"""The samplers by name, and what each can search: the table that the search section and its checks read.

A sampler is a row here and a case where its proposals are made: in `dualpt.sweeps.search.samplers` where Optuna makes
them, in `listed_points` where they follow from the space alone.
"""

from dataclasses import dataclass
from typing import Literal

Sampler = Literal["tpe", "random", "gp", "cmaes", "nsga2", "qmc", "grid"]


@dataclass(frozen=True)
class Abilities:
    """What a sampler needs of a search; the defaults take any."""

    objectives: int = 2
    """Most objectives; a searched number of shots makes two."""
    plain_numbers: int = 0
    """int and float parameters without `when` that it needs, since it varies no others."""
    plain_parameters: int = 0
    """Parameters without `when` that it needs, since it models no others."""
    values: bool = False
    """Whether it needs the values of each parameter to be listable."""
    lists_points: bool = False
    """Whether its points follow from the space and the seed alone; Optuna then only records them."""
    learns: bool = True
    """Whether what it proposes depends on how earlier candidates did."""


SAMPLERS: dict[Sampler, Abilities] = {
    "tpe": Abilities(),
    "random": Abilities(learns=False),
    "gp": Abilities(plain_parameters=1),
    "cmaes": Abilities(objectives=1, plain_numbers=2),
    "nsga2": Abilities(),
    "qmc": Abilities(lists_points=True, learns=False),
    "grid": Abilities(values=True, lists_points=True, learns=False),
}
