"""Run a sweep in this process, without Ray: the dispatcher's work units go to a runner beside it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.declaring import open_dispatcher as open_for
from dualpt.sweeps.launching.earlier_launches import cells_on_record
from dualpt.sweeps.launching.outcome import LaunchOutcome
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.records import CellRow
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FakeRunner, fake_key


def open_dispatcher(sweep: LoadedSweep, only: frozenset[str] | None = None) -> Dispatcher:
    recorded = cells_on_record(sweep.file.run.tracking_uri, sweep.file.name)
    return open_for(sweep, plan_sweep(sweep), recorded, fake_key, quiet(), only=only)


def quiet() -> SweepProgress:
    """Progress that shows nothing."""
    return SweepProgress(Console(quiet=True), enabled=False)


def train_here(sweep: LoadedSweep, log: Path, *, stop_after: int | None = None, workers: int = 1) -> Dispatcher:
    """Train a sweep; `stop_after` packs the process is as if killed: nothing is closed."""
    dispatcher = open_dispatcher(sweep)
    dispatcher.workers = workers
    finish(dispatcher, sweep, log, stop_after=stop_after)
    return dispatcher


def finish(dispatcher: Dispatcher, sweep: LoadedSweep, log: Path, *, stop_after: int | None = None) -> None:
    """Train what an open dispatcher assigns, and close the sweep."""
    runner, ledger = FakeRunner(log), Ledger(sweep.file.run.tracking_uri, create=False)
    packs = 0
    while (unit := dispatcher.assign()) is not None:
        for pack in unit.packs:
            if packs == stop_after:
                return
            packs += 1
            dispatcher.receive(unit.number, train_pack(runner, ledger, pack).outcomes)  # type: ignore[arg-type]
        dispatcher.end_unit(unit.number)
    dispatcher.close(interrupted=False)


def trained(log: Path) -> Counter[str]:
    """How often each cell was trained, by key."""
    return Counter(line.split()[0] for line in log.read_text().splitlines())


def shown(sweep: LoadedSweep, where: Callable[[CellRow], bool] = lambda row: True) -> list[CellRow]:
    return [row for row in Ledger(sweep.file.run.tracking_uri).read_cells(sweep.file.name) if where(row)]


def finished(name: str, *, trained: int, reused: int = 0) -> LaunchOutcome:
    """What a launch returns that nothing has disturbed."""
    return LaunchOutcome(
        name=name,
        cells=trained + reused,
        trained=trained,
        reused=reused,
        kept=0,
        failed=0,
        pruned=0,
        interrupted=False,
        spent=False,
        best=None,
        best_value=None,
    )
