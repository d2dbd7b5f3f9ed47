"""What is left when the killing is over: every cell once, with the numbers of an undisturbed run, and nothing open."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.search_spaces.overrides import parse_value
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import CellRow
from tests.sweeps.fake_runner import FakeRunner, ended, fake_key

OWN = ("data.dataset", "data.protocol", "data.shots", "data.seed")
"""Parameters of a cell that are none of its setting."""


@dataclass(frozen=True)
class Verdict:
    """Counts of cells, but `kills` and `running`, which are runs of any level."""

    cells: int
    lost: int
    repeated: int
    """Trained to the end more than once."""
    doubled: int
    """On record as finished more than once under one trial."""
    different: int
    """With other numbers than an undisturbed run gives."""
    kills: int
    running: int

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.different or self.running) and self.repeated <= self.kills

    def line(self) -> str:
        return (
            f"cells {self.cells}, lost {self.lost}, repeated {self.repeated}, kills {self.kills}, "
            f"left running {self.running}"
        )

    def faults(self) -> str:
        """What the line does not say."""
        return f"on record twice {self.doubled}, with other numbers {self.different}"


def judge(uri: str, name: str, log: Path, cells: int, kills: int) -> Verdict:
    """Hold the ledger and the runners' own notes against each other.

    Args:
        uri: tracking store.
        name: of the sweep.
        log: where the runners note what they train.
        cells: how many the sweep has.
        kills: how many there were.
    """
    ledger, client = Ledger(uri), MlflowClient(uri)
    experiment = ledger.named_experiment(name)
    hidden = {row.ref.run_id for row in ledger.trials(experiment) if row.superseded}
    finished = [row for row in ledger.cells(experiment) if row.finished and row.trial_run_id not in hidden]
    places = Counter(row.place for row in finished)
    trained = Counter(ended(log))
    running = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
    return Verdict(
        cells=cells,
        lost=cells - len(places),
        repeated=sum(count - 1 for count in trained.values()),
        doubled=sum(count - 1 for count in places.values()),
        different=sum(not _as_undisturbed(row) for row in finished),
        kills=kills,
        running=len(running),
    )


def _as_undisturbed(row: CellRow) -> bool:
    """Whether the recorded numbers are those of the cell's setting, trained here and now."""
    own = {key: parse_value(value) for key, value in row.params.items() if key not in OWN and value != "None"}
    cell = Cell(Setting().with_values(own), row.dataset, "few-shot", row.shots, row.seed)
    expected = FakeRunner(Path("/dev/null")).run([cell])[0].metrics.by_name()
    same = all(abs(row.metrics[key] - value) < 1e-9 for key, value in expected.items())
    return same and row.key == fake_key(cell)
