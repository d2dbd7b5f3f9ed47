"""The `search:` section of a sweep file."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from dualpt.core.config.sections import Section
from dualpt.core.results import SELECTION_METRICS, VAL_ACCURACY
from dualpt.core.seeds import expand_seeds
from dualpt.search_spaces.samplers import Sampler

Item = TypeVar("Item", str, int)


def _distinct(values: list[Item]) -> list[Item]:
    if not values or len(set(values)) != len(values):
        raise ValueError("must be a list without repeats and not empty")
    return values


Datasets = Annotated[list[str], AfterValidator(_distinct)]
Shots = Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(_distinct)]


def _written_out(given: Any) -> Any:
    """`1-10` and `draws(10)`, alone or in a list, as numbers; what isn't text is left to the checks that follow."""
    return expand_seeds([given] if isinstance(given, str) else given) if isinstance(given, str | list) else given


Seeds = Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_written_out), AfterValidator(_distinct)]

SWEEP = "sweep:"
"""Prefix of the name of an earlier sweep, in `start_from`."""

Racing = Literal["none", "asha", "statistical"]


class Search(Section):
    """How candidates are proposed, on which part of the grid they are judged, and when one is given up."""

    trials: int = Field(20, ge=1)
    """Candidate settings to evaluate; with `sampler: grid`, all of the grid unless given."""
    sampler: Sampler = "tpe"
    """How candidates are proposed: an Optuna sampler, or one that lists its points (`search_spaces.samplers`)."""
    seed: int = Field(0, ge=0)
    """Seed of the sampler."""
    objective: str = VAL_ACCURACY
    """Maximised mean over the judged cells; a validation metric."""
    datasets: Datasets | None = None
    """Datasets that candidates are judged on; None is the grid's."""
    shots: Shots | None = None
    """Shots that candidates are judged at; None is the grid's."""
    seeds: Seeds | None = None
    """Seeds that candidates are judged at, written as the grid's; None is the grid's."""
    space: dict[str, Any] = Field(min_length=1)
    """What varies, by dotted key."""
    constraints: list[str] = Field(default_factory=list)
    """What every candidate must satisfy, such as `prompt.context_length * prompt.n_prompts <= 32`."""
    start_from: list[str | dict[str, Any]] = Field(default_factory=list)
    """Candidates to begin with: published methods, `sweep:NAME` (what that sweep selected), `sweep:NAME/TRIAL`, or
    `{key: value}`."""
    racing: Racing = "none"
    """Give up candidates after some of the datasets: successive halving, or a paired test against the best."""
    race_datasets: int | None = Field(None, ge=1)
    """Datasets before the first decision; None is 1 for asha, 3 for statistical."""
    race_reduction: int | None = Field(None, ge=2)
    """asha: one candidate in this many goes on, and the datasets between decisions grow by this factor; None is 3."""
    race_confidence: float | None = Field(None, gt=0.5, lt=1)
    """statistical: how sure the test must be that a candidate is worse than the best; None is 0.95."""
    pack: int | Literal["auto"] = "auto"
    """Most candidates trained as replicas of the same steps; `auto` asks the device."""

    @property
    def earlier_sweeps(self) -> list[str]:
        """Names of the sweeps whose selected settings are start points."""
        named = [entry for entry in self.start_from if isinstance(entry, str) and entry.startswith(SWEEP)]
        return [entry.removeprefix(SWEEP) for entry in named]

    @field_validator("objective")
    @classmethod
    def _never_test(cls, objective: str) -> str:
        if objective not in SELECTION_METRICS:
            raise ValueError(f"'{objective}' may not steer a search: select on {' or '.join(SELECTION_METRICS)}")
        return objective

    @field_validator("pack")
    @classmethod
    def _some(cls, pack: int | str) -> int | str:
        if isinstance(pack, int) and pack < 1:
            raise ValueError("should be 'auto' or at least 1")
        return pack
