"""A launch of the small sweep in this process, as far as steering needs one: its heart beats, and it carries out."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.launching.declaring import open_dispatcher
from dualpt.sweeps.launching.earlier_launches import cells_on_record
from dualpt.sweeps.launching.steered import Steering
from dualpt.sweeps.ledger.heartbeat import Heartbeat
from dualpt.sweeps.ledger.launch_record import launch_record
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.plan import plan_sweep
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import quiet
from tests.sweeps.small_sweep import changed, declaration

SMALL = {"baselines": ["zero-shot"], "search.trials": 1, "grid.datasets": ["mini-pets"], "grid.seeds": [1]}
"""Three cells: a baseline, one candidate, and that one as the selected setting."""


@dataclass(frozen=True)
class ALaunch:
    """What a driver has in hand."""

    dispatcher: Dispatcher
    steering: Steering
    notes: list[str]

    def meanwhile(self, command: Callable[..., list[str]], *args: Any) -> list[str]:
        """Run a command beside the launch, which carries out what it asks for; returns what the command says."""
        with ThreadPoolExecutor(1) as beside:
            said = beside.submit(command, *args)
            while not said.done():
                self.steering.carry_out(self.dispatcher)
            return said.result()


def declared(folder: Path, **changes: Any) -> LoadedSweep:
    """The small sweep from a file, so its launch can be recorded."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(changed(declaration(folder), changes)))
    return load_sweep(path, {})


def opened(sweep: LoadedSweep) -> Dispatcher:
    """A launch of the sweep on record, before its heart beats."""
    recorded = cells_on_record(sweep.file.run.tracking_uri, sweep.file.name)
    launched = launch_record(sweep, "dualpt sweep small.yaml")
    return open_dispatcher(sweep, plan_sweep(sweep), recorded, fake_key, quiet(), launched=launched)


@contextmanager
def running(sweep: LoadedSweep) -> Iterator[ALaunch]:
    """A launch of the sweep that runs."""
    dispatcher, ledger = opened(sweep), Ledger(sweep.file.run.tracking_uri, create=False)
    notes: list[str] = []
    steering = Steering(ledger, notes.append)
    own = Ledger(ledger.uri, create=False)
    beating = Heartbeat(
        own, dispatcher.sweep_run, dispatcher.experiment, dict, notes.append, seconds=0.2, asked=steering.found
    )
    with beating:
        yield ALaunch(dispatcher, steering, notes)
