"""A sweep from its store as data frames."""

from pathlib import Path

import pytest

import dualpt
from dualpt.core.results import VAL_ACCURACY
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.notebook.recorded import RecordedSweep, load
from tests.sweeps.running import shown, train_here
from tests.sweeps.small_sweep import Declare


@pytest.fixture
def sweep(done: LoadedSweep) -> RecordedSweep:
    return load("small", store=done.file.run.tracking_uri, study=done.file.run.study_storage)


def test_cells_are_those_of_the_store_and_missing_ones_have_their_rows(declare: Declare, log: Path) -> None:
    declared = declare()
    train_here(declared, log, stop_after=3)
    sweep = load("small", store=declared.file.run.tracking_uri)
    recorded = shown(declared)
    assert set(sweep.cells["run_id"]) - {""} == {row.run_id for row in recorded}
    missing = sweep.cells[sweep.cells["status"] == "MISSING"]
    assert len(missing) > 0
    assert len(sweep.cells) == len(recorded) + len(missing)
    assert f"{len(recorded)} of {len(sweep.cells)} cells finished" in repr(sweep)


def test_candidates_stand_by_validation_accuracy_with_what_was_searched(sweep: RecordedSweep) -> None:
    frame = sweep.candidates
    assert len(frame) == 4
    assert frame[VAL_ACCURACY].is_monotonic_decreasing
    assert frame.index[0] == sweep.best
    assert frame["selected"].tolist() == [True, False, False, False]
    own = sweep.cells[sweep.cells["trial"] == sweep.best][VAL_ACCURACY]
    assert frame[VAL_ACCURACY].iloc[0] == pytest.approx(own.mean())
    assert frame["standard_error"].iloc[0] == pytest.approx(own.std() / len(own) ** 0.5)
    assert frame["finished"].tolist() == [3, 3, 3, 3]
    assert frame["alignment.llm_weight"].dtype == float
    assert not any(column.startswith("test/") for column in frame)


def test_settings_and_losses_have_a_row_per_trial_and_per_epoch(sweep: RecordedSweep) -> None:
    assert set(sweep.settings.index) == set(sweep.cells["trial"])
    assert sweep.settings.loc["zero-shot", "method"] == "zero-shot"
    own = sweep.losses[(sweep.losses["trial"] == "coop") & (sweep.losses["dataset"] == "mini-pets")]
    assert own[own["seed"] == 1]["loss"].tolist() == [2.0, 1.0, 0.5]


def test_a_sweep_without_a_search_has_no_candidates(declare: Declare, log: Path) -> None:
    declared = declare(search=None)
    train_here(declared, log)
    sweep = load("small", store=declared.file.run.tracking_uri)
    assert len(sweep.candidates) == 0
    assert sweep.best is None


def test_figures_are_matplotlibs_and_leave_its_backend_alone(sweep: RecordedSweep) -> None:
    import matplotlib

    before = matplotlib.get_backend()
    for kind in ("curves", "training", "parallel", "slices"):
        figure = sweep.figure(kind)
        assert figure.axes
        assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert matplotlib.get_backend() == before


def test_faults_are_exceptions_of_one_line(sweep: RecordedSweep) -> None:
    with pytest.raises(dualpt.UserError, match="did you mean 'small'"):
        load("smal", store=sweep.store)
    with pytest.raises(
        dualpt.UserError, match="no such tracking store here; run a sweep first, or name one with store=…"
    ):
        load("small", store="sqlite:////nowhere/mlflow.db")
    with pytest.raises(dualpt.UserError, match="unknown figure 'curvs'"):
        sweep.figure("curvs")
    with pytest.raises(dualpt.UserError, match="no finished cell of dataset 'mini-pet'"):
        sweep.classifier("best/mini-pet")


def test_statistics_are_against_coop_or_say_what_else_there_is(done: LoadedSweep, declare: Declare, log: Path) -> None:
    sweep = load("small", store=done.file.run.tracking_uri)
    assert list(sweep.statistics.index) == ["zero-shot", "best"]
    train_here(declare(name="without", baselines=["zero-shot"]), log)
    without = load("without", store=done.file.run.tracking_uri)
    with pytest.raises(dualpt.UserError, match=r"no CoOp .* \(there are: zero-shot, best\)"):
        _ = without.statistics
