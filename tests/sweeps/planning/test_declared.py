"""Cells that a launch declared and never began count as missing, wherever a sweep is shown."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.compare import comparison_tables
from dualpt.sweeps.comparison.frames import read_frame
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.comparison.tables.table import ComparisonTable
from dualpt.sweeps.launching.status import status_of
from dualpt.sweeps.ledger.contents import LONGEST_TAG
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.planning.declared import declaration, missing_cells
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.records import GRID_TAG
from tests.sweeps.running import open_dispatcher, train_here
from tests.sweeps.services import MlflowServer
from tests.sweeps.small_sweep import Declare


def accuracies(store: str) -> ComparisonTable:
    table = comparison_tables(select({"small": read_frame("small", store)}))[0]
    assert isinstance(table, ComparisonTable)
    return table


def test_datasets_and_methods_that_never_began_are_missing(declare: Declare, log: Path) -> None:
    sweep = declare()
    store = sweep.file.run.tracking_uri
    train_here(sweep, log, stop_after=4)  # zero-shot on three datasets, CoOp on the first
    table = accuracies(store)
    assert table.columns == ("mini-pets", "mini-cars", "mini-dishes", "average")
    assert table.missing == {"zero-shot": 0, "coop": 4, "best": 6}
    assert "sweep 'small' is unfinished: cells 10 never begun" in table.notes()
    assert status_of(open_reader(store), "small").missing == 10
    train_here(sweep, log)
    assert set(accuracies(store).missing.values()) == {0}
    assert status_of(open_reader(store), "small").missing == 0


def test_what_a_search_over_shots_has_selected_is_declared_with_the_selection(declare: Declare, log: Path) -> None:
    space = {"data.shots": {"choice": [1, 4]}, "alignment.llm_weight": {"choice": [1.0, 4.0]}}
    searched = {"search.space": space, "search.trials": 4, "search.sampler": "grid", "grid.shots": [1, 4]}
    sweep = declare(baselines=[], **searched)
    store = sweep.file.run.tracking_uri
    train_here(sweep, log, stop_after=4 * 3)  # the candidates alone
    train_here(sweep, log, stop_after=1)  # of the selected setting at its cheapest shots, one dataset
    status = status_of(open_reader(store), "small")
    assert status.missing >= 2
    assert {name for name in accuracies(store).missing if name.startswith("best-")} >= {"best-1-shot"}
    train_here(sweep, log)
    assert status_of(open_reader(store), "small").missing == 0


def test_a_narrower_launch_declares_its_own_grid_and_keeps_what_is_recorded(declare: Declare, log: Path) -> None:
    store = declare().file.run.tracking_uri
    train_here(declare(search=None), log)
    open_dispatcher(declare(search=None, **{"grid.datasets": ["mini-pets"], "grid.seeds": [1, 2, 3]}))
    table = accuracies(store)
    assert table.columns == ("mini-pets", "mini-cars", "mini-dishes", "average")
    assert table.missing["coop"] == 3, "a third seed: one cell declared, two that the recorded grid spans"


def test_each_protocol_keeps_its_declaration(declare: Declare) -> None:
    sweep = declare(search=None)
    other = declare(search=None, **{"grid.protocol": "base-to-new"})
    first = declaration(sweep, plan_sweep(sweep), "")
    both = declaration(other, plan_sweep(other), first)
    assert json.loads(both)["few-shot"] == json.loads(first)["few-shot"]
    assert {cell.protocol for cell in missing_cells(both, [])} == {"few-shot", "base-to-new"}
    assert len(missing_cells(both, [])) == 2 * (3 + 6)
    assert missing_cells("", []) == []


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.cluster)])
def ledger(request: pytest.FixtureRequest, fresh_stores: Path, tmp_path: Path) -> Iterator[Ledger]:
    uri = f"sqlite:///{shutil.copy(fresh_stores / 'mlflow.db', tmp_path)}"
    if request.param == "file":
        yield Ledger(uri)
        return
    server = MlflowServer(tmp_path, uri)
    try:
        server.await_answer()
        yield Ledger(server.uri)
    finally:
        server.kill()


def test_a_study_of_hundreds_of_variants_is_declared_whole(declare: Declare, ledger: Ledger) -> None:
    """Its text is longer than a tag; a shorter one that follows leaves nothing of it."""
    sweep = declare(search=None)
    plan = plan_sweep(sweep)
    coop = plan.baselines[1]
    variants = tuple(replace(coop, name=f"variant of the learning rate {n}", kind="variant") for n in range(600))
    long = declaration(sweep, replace(plan, baselines=variants), "")
    assert len(long) > 4 * LONGEST_TAG
    experiment = ledger.experiment("big")
    run = ledger.open_sweep(experiment, "big")
    longer = json.dumps(["x" * 120 * LONGEST_TAG])
    for text in (declaration(sweep, plan, ""), longer, long, declaration(sweep, plan, "")):
        ledger.declare(run, text)
        for reader in (ledger, open_reader(ledger.uri)):
            row = reader.sweep_row(experiment)
            assert row is not None
            assert row.declared == text
    assert len(missing_cells(long, [])) == 600 * 6
    ledger.declare(run, long)
    with ledger.calls() as client:
        client.set_tag(run, f"{GRID_TAG}.2", "")
    assert [reader.sweep_row(experiment).declared for reader in (ledger, open_reader(ledger.uri))] == ["", ""], (  # type: ignore[union-attr]
        "of a text that a kill has cut nothing counts"
    )


def test_sweeps_are_comparable_by_their_declared_grids(declare: Declare, log: Path) -> None:
    """One of them was killed early: it is compared, with what it lacks; another grid is refused."""
    store = declare().file.run.tracking_uri
    train_here(declare(search=None), log)
    train_here(declare(search=None, name="twin", setting={"optim.epochs": 3}), log, stop_after=1)
    frames = {name: read_frame(name, store) for name in ("small", "twin")}
    table = comparison_tables(select(frames))[0]
    assert isinstance(table, ComparisonTable)
    assert table.missing == {"zero-shot": 0, "coop [small]": 0, "coop [twin]": 4}
    train_here(declare(search=None, name="wide", **{"grid.seeds": [1, 2, 3]}), log, stop_after=1)
    with pytest.raises(UserError, match="differ in seeds: only 'wide' has 3"):
        select({**frames, "wide": read_frame("wide", store)})
