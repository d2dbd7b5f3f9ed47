"""Sweeps compared as data frames: the numbers of `dualpt compare`."""

import json
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.notebook.side_by_side import Comparison, compare
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare


@pytest.fixture
def comparison(done: LoadedSweep) -> Comparison:
    return compare("small", store=done.file.run.tracking_uri)


def test_means_and_spreads_are_those_of_the_cells(comparison: Comparison) -> None:
    cells, means, spreads = comparison.cells, comparison.means(), comparison.spreads()
    assert means.index.tolist() == ["zero-shot", "coop", "best"]
    assert means.columns.tolist() == ["mini-pets", "mini-cars", "mini-dishes", "average"]
    own = cells[(cells["trial"] == "coop") & (cells["dataset"] == "mini-cars")]["test/accuracy"]
    assert len(own) == 2
    assert means.loc["coop", "mini-cars"] == pytest.approx(own.mean())
    assert spreads.loc["coop", "mini-cars"] == pytest.approx(own.std())
    assert spreads.loc["zero-shot"].isna().all()


def test_a_missing_cell_is_nan_and_the_average_with_it(declare: Declare, log: Path) -> None:
    sweep = declare()
    train_here(sweep, log, stop_after=5)
    means = compare("small", store=sweep.file.run.tracking_uri).means(shots=4)
    assert means.isna().any(axis=None)
    lacking = means[means.isna().any(axis=1)]
    assert lacking["average"].isna().all()


def test_statistics_are_the_documents_claims(comparison: Comparison) -> None:
    frame = comparison.statistics("CoOp")
    (table,) = [
        one
        for one in json.loads(comparison.document("json", baseline="CoOp"))["tables"]
        if "statistics" in one["title"]
    ]
    by_title = {row["method"]: row for row in table["rows"]}
    for method, title in (("zero-shot", "zero-shot CLIP"), ("best", "best of the sweep")):
        assert frame.loc[method, "difference"] == pytest.approx(by_title[title]["difference"])
        assert frame.loc[method, "low"] == pytest.approx(by_title[title]["interval"]["low"])
        assert frame.loc[method, "holm"] == pytest.approx(by_title[title]["holm"])
    assert set(frame["claim"]) <= {"yes", "perhaps", "no"}
    assert frame.attrs["baseline"] == "coop"


def test_documents_are_those_of_compare(comparison: Comparison) -> None:
    assert comparison.document("latex").startswith(r"\begin{table}")
    assert comparison.document().startswith("**")
    with pytest.raises(UserError, match="document: unknown format 'pdf'"):
        comparison.document("pdf")


def test_several_sweeps_stand_side_by_side(done: LoadedSweep, declare: Declare, log: Path) -> None:
    train_here(declare(name="second", **{"search.trials": 2}), log)
    both = compare("small", "second", store=done.file.run.tracking_uri)
    assert len(both.means()) >= 3
    assert repr(both).startswith("<Comparison of small, second:")
    assert both.figure("radar").axes


def test_faults_are_exceptions_of_one_line(comparison: Comparison) -> None:
    for ask, said in (
        (lambda: compare(store=comparison.store), "name at least one sweep"),
        (lambda: comparison.means(shots=3), "at 3 shots"),
        (lambda: comparison.means(metric="test/acc"), "no finished cell has test/acc"),
        (lambda: comparison.statistics("cop"), "did you mean"),
    ):
        with pytest.raises(UserError, match=said):
            ask()
