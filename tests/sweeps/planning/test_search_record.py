"""How a sweep's launches searched: what later launches add, and what former versions did not record."""

from typing import Any

import pytest

from dualpt.search_spaces.search_section import Search
from dualpt.sweeps.planning.search_record import SearchRecord, read_search_record, recorded_search
from dualpt.sweeps.records import SweepRow


def search(**values: Any) -> Search:
    return Search(space={"optim.learning_rate": {"float": [0.1, 1]}}, **values)


def row(**values: str) -> SweepRow:
    return SweepRow("run", "mine", "", "RUNNING", None, None, **values)


@pytest.mark.parametrize(("sampler", "learns"), [("random", False), ("qmc", False), ("tpe", True), ("cmaes", True)])
def test_a_record_knows_whether_its_sampler_learns(sampler: str, learns: bool) -> None:
    record = read_search_record(recorded_search(search(sampler=sampler), None))
    assert (record.learns, record.races) == (learns, False)


def test_what_an_earlier_launch_used_stays_on_record() -> None:
    first = recorded_search(search(sampler="tpe", racing="asha"), None)
    record = read_search_record(recorded_search(search(sampler="random"), row(search=first, declared="{}")))
    assert record == SearchRecord(samplers=["tpe", "random"], racing=["asha", "none"])
    assert record.learns
    assert record.races


def test_a_sweep_of_a_former_version_may_have_used_anything() -> None:
    record = read_search_record(recorded_search(search(sampler="random"), row(declared='{"few-shot": []}')))
    assert record.samplers == ["unknown", "random"]
    assert record.learns
    assert read_search_record("").races


def test_what_another_sweep_selected_is_not_independent_of_results() -> None:
    assert read_search_record(recorded_search(search(sampler="random", start_from=["sweep:other"]), None)).learns
