"""`--restart-stopped`: stopped trials go on, once nothing is left that could refuse the launch."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.launching.driver import Driver
from dualpt.sweeps.launching.earlier_launches import stopped_trials
from dualpt.sweeps.launching.launch import launch
from tests.sweeps.fake_runner import FakeRunner, fake_key, no_notes
from tests.sweeps.running import finish, open_dispatcher
from tests.sweeps.small_sweep import Declare


class PickyRunner(FakeRunner):
    """Finds the inputs to be wrong."""

    def check(self, cells: Sequence[Cell]) -> None:
        raise UserError("an image is missing")


@pytest.fixture
def sweep(declare: Declare, log: Path) -> LoadedSweep:
    """A sweep whose baseline `coop` is stopped before its first cell."""
    declared = declare(baselines=["zero-shot", "coop"], search=None)
    dispatcher = open_dispatcher(declared)
    assert dispatcher.has_work()
    dispatcher.stop("coop", "ada")
    finish(dispatcher, declared, log)
    return declared


def stopped(sweep: LoadedSweep) -> list[str]:
    return [ref.name for ref in stopped_trials(sweep.file.run.tracking_uri, sweep.file.name)]


def restart(sweep: LoadedSweep, text: io.StringIO, runner: FakeRunner, *, only_failed: bool = False) -> None:
    launch(
        sweep,
        console=Console(file=text, width=200),
        runner=lambda: runner,  # type: ignore[arg-type, return-value]
        key=fake_key,
        notes=no_notes,
        only_failed=only_failed,
        restart_stopped=True,
    )


@pytest.mark.parametrize(
    ("only_failed", "refusal"), [(False, "an image is missing"), (True, "has no failed cell on record")]
)
def test_a_launch_that_is_refused_leaves_stopped_trials_stopped(
    sweep: LoadedSweep, log: Path, only_failed: bool, refusal: str
) -> None:
    text = io.StringIO()
    with pytest.raises(UserError, match=refusal):
        restart(sweep, text, PickyRunner(log), only_failed=only_failed)
    assert stopped(sweep) == ["coop"]
    assert "go on" not in text.getvalue()


def test_after_the_checks_the_marks_go_and_the_trials_have_work(
    sweep: LoadedSweep, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, work = io.StringIO(), list[bool]()
    monkeypatch.setattr(Driver, "run", lambda driver: work.append(driver.dispatcher.has_work()))
    restart(sweep, text, FakeRunner(log))
    assert stopped(sweep) == []
    assert work == [True]
    assert "stopped trials go on: coop" in text.getvalue()
