"""Run a sweep in this process, without Ray: the dealer deals to a bench that sits beside it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fake_bench import FakeBench, fake_key
from rich.console import Console

from search_spaces.sweep_file import LoadedSweep
from sweeps.dealer import Dealer
from sweeps.launch import open_dealer as open_for
from sweeps.on_record import cells_on_record
from sweeps.outcome import Outcome
from sweeps.plan import plan_sweep
from sweeps.progress import SweepProgress
from sweeps.records import CellRow
from sweeps.tracking import Ledger
from sweeps.trial import train_pack


def open_dealer(sweep: LoadedSweep) -> Dealer:
    recorded = cells_on_record(sweep.file.run.tracking_uri, sweep.file.name)
    shown = SweepProgress(Console(quiet=True), enabled=False)
    return open_for(sweep, plan_sweep(sweep), recorded, fake_key, shown)


def train_here(sweep: LoadedSweep, log: Path, *, stop_after: int | None = None, workers: int = 1) -> Dealer:
    """Train a sweep; `stop_after` packs the process is as if killed: nothing is closed."""
    dealer = open_dealer(sweep)
    dealer.workers = workers
    finish(dealer, sweep, log, stop_after=stop_after)
    return dealer


def finish(dealer: Dealer, sweep: LoadedSweep, log: Path, *, stop_after: int | None = None) -> None:
    """Train what an open dealer deals, and close the sweep."""
    bench, ledger = FakeBench(log), Ledger(sweep.file.run.tracking_uri, create=False)
    packs = 0
    while (shard := dealer.deal()) is not None:
        for pack in shard.packs:
            if packs == stop_after:
                return
            packs += 1
            dealer.book(shard.number, train_pack(bench, ledger, pack))  # type: ignore[arg-type]
        dealer.take_back(shard.number)
    dealer.end(interrupted=False)


def trained(log: Path) -> Counter[str]:
    """How often each cell was trained, by key."""
    return Counter(line.split()[0] for line in log.read_text().splitlines())


def shown(sweep: LoadedSweep, where: Callable[[CellRow], bool] = lambda row: True) -> list[CellRow]:
    return [row for row in Ledger(sweep.file.run.tracking_uri).read_cells(sweep.file.name) if where(row)]


def finished(name: str, *, trained: int, reused: int = 0) -> Outcome:
    """What a launch returns that nothing has disturbed."""
    return Outcome(
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
