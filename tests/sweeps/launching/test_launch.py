"""Launches over real Ray, MLflow and Optuna in this process: heard of, interrupted, refused, with failing settings."""

import io
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.worker_reports import WorkerReport
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.launching.outcome import LaunchOutcome
from dualpt.sweeps.launching.preview import dry_run
from dualpt.sweeps.ledger.mlflow import Ledger
from tests.sweeps.fake_runner import (
    FATAL_WEIGHT,
    FakeRunner,
    fake_key,
    fake_runner,
    heard_of,
    heard_runner,
    no_notes,
    runner_only_here,
)
from tests.sweeps.running import shown, trained
from tests.sweeps.services import wait_until
from tests.sweeps.small_sweep import Declare

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("running_ray")]
WEIGHT = "alignment.llm_weight"


def run(sweep: LoadedSweep, log: Path, console: Console | None = None) -> LaunchOutcome:
    return launch(sweep, console=console or Console(quiet=True), runner=fake_runner(log), key=fake_key, notes=no_notes)


def test_the_driver_hears_of_cells_in_training(declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[WorkerReport] = []

    def hear(shown: SweepProgress, reports: Sequence[WorkerReport]) -> None:
        heard.extend(reports)
        if reports:
            heard_of(log).touch()

    monkeypatch.setattr(SweepProgress, "hear", hear)
    sweep = declare(baselines=["coop"], search=None, **{"grid.datasets": ["mini-pets"]})
    outcome = launch(sweep, console=Console(quiet=True), runner=heard_runner(log), key=fake_key, notes=no_notes)
    assert outcome.trained == 2
    first = heard[0]
    assert (first.worker, first.trial, first.dataset, first.cells, first.gpu) == (1, "coop", "mini-pets", 2, None)
    assert (first.epoch, first.epochs, first.loss) in ((2, 3, 1.0), (0, 0, None))


def test_an_interrupt_that_leaves_nothing_undone_is_no_interruption(declare: Declare, log: Path) -> None:
    """It comes while the last pack trains."""
    sweep = declare(search=None, baselines=["coop"], **{"grid.datasets": ["mini-pets"]})

    def interrupt() -> None:
        wait_until(lambda: log.exists() and bool(trained(log)), "training")
        signal.raise_signal(signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        interrupting = threads.submit(interrupt)
        outcome = launch(sweep, console=Console(quiet=True), runner=fake_runner(log, 2.0), key=fake_key, notes=no_notes)
        interrupting.result()
    assert (outcome.exit_code, outcome.interrupted, outcome.trained) == (0, False, 2)
    assert Ledger(sweep.file.run.tracking_uri).read_sweep(sweep.file.name).status == "FINISHED"


def test_failing_settings_leave_the_others_whole(declare: Declare, log: Path) -> None:
    """One candidate raises, one kills its worker process again and again."""
    space = {WEIGHT: {"choice": [1.0, 4.0, FATAL_WEIGHT, FATAL_WEIGHT + 1]}}
    sweep = declare(baselines=[], **{"search.space": space, "grid.datasets": ["mini-pets"]})
    outcome = run(sweep, log)
    assert outcome.exit_code == 3
    failed = {row.params[WEIGHT]: row.failure for row in shown(sweep) if not row.finished}
    assert set(failed) == {"13.0", "14.0"}
    assert "died" in (failed["14.0"] or "")
    assert {row.params[WEIGHT] for row in shown(sweep) if row.trial == "best"} == {"4.0"}


def test_workers_that_cannot_start_end_the_sweep_with_the_reason(declare: Declare, log: Path) -> None:
    sweep = declare(baselines=["coop"], search=None)
    with pytest.raises(UserError, match="workers cannot train: RuntimeError: no such device") as caught:
        launch(sweep, console=Console(quiet=True), runner=runner_only_here(log), key=fake_key, notes=no_notes)
    assert "\n" not in str(caught.value)
    assert shown(sweep) == [], "no cell is blamed"


def test_a_dry_run_writes_nothing_and_counts(declare: Declare, tmp_path: Path, log: Path) -> None:
    for store in ("mlflow.db", "optuna.db"):
        (tmp_path / store).unlink()
    before = sorted(tmp_path.iterdir())
    text = io.StringIO()
    dry_run(declare(), console=Console(file=text, width=100), key=fake_key, notes=no_notes)
    assert "27 cells, 0 finished, 27 to train" in text.getvalue()
    assert "unknown until the first cells finish" in text.getvalue()
    assert sorted(tmp_path.iterdir()) == before


def test_too_much_asked_for_is_one_line(declare: Declare, log: Path) -> None:
    with pytest.raises(UserError, match=r"lower run\.cpus_per_trial"):
        run(declare(**{"run.cpus_per_trial": 10_000}), log)


def test_an_address_where_no_cluster_answers_is_one_line(
    declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before images are encoded, which may take an hour."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")

    def asked() -> FakeRunner:
        raise AssertionError("something is prepared")

    with pytest.raises(UserError, match="RAY_ADDRESS") as caught:
        launch(declare(), console=Console(quiet=True), runner=asked, key=fake_key, notes=no_notes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
