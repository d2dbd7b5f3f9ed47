"""How a sweep's launches searched, kept on the sweep's run: what can be claimed of the best candidate depends on it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualpt.search_spaces.samplers import SAMPLERS
from dualpt.search_spaces.search_section import Search
from dualpt.sweeps.records import SweepRow

UNKNOWN = "unknown"
"""In place of a sampler, for launches of versions that did not record theirs."""

Names = Annotated[list[str], Field(min_length=1)]


class SearchRecord(BaseModel):
    """Everything that some launch used, in the order used."""

    model_config = ConfigDict(frozen=True)

    samplers: Names = [UNKNOWN]
    racing: Names = [UNKNOWN]
    earlier_sweeps: list[str] = []
    """Sweeps whose selected settings were start points."""

    @property
    def learns(self) -> bool:
        """Whether what was proposed may depend on how candidates did, here or in an earlier sweep."""
        independent = {name for name, its in SAMPLERS.items() if not its.learns}
        return bool(self.earlier_sweeps) or not independent.issuperset(self.samplers)

    @property
    def races(self) -> bool:
        """Whether candidates may have been given up before they were judged on everything."""
        return set(self.racing) != {"none"}


def read_search_record(text: str) -> SearchRecord:
    """What `recorded_search` wrote; all unknown for an empty or damaged text."""
    try:
        return SearchRecord.model_validate_json(text)
    except ValidationError:
        return SearchRecord()


def recorded_search(search: Search, before: SweepRow | None) -> str:
    """The text to record: this launch's search, beside those of earlier launches.

    Args:
        before: the sweep as recorded; None where it is new.
    """
    known = SearchRecord(samplers=[search.sampler], racing=[search.racing])
    if before is not None and (before.search or before.declared):
        known = read_search_record(before.search)
    return SearchRecord(
        samplers=list(dict.fromkeys([*known.samplers, search.sampler])),
        racing=list(dict.fromkeys([*known.racing, search.racing])),
        earlier_sweeps=list(dict.fromkeys([*known.earlier_sweeps, *search.earlier_sweeps])),
    ).model_dump_json()
