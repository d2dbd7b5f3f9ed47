"""What `dualpt status` prints at any width, and that no number of it is rounded twice."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.sweeps.comparison.searched.candidate_ranks import Candidate
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.worker_reports import GpuState, WorkerReport
from dualpt.sweeps.launching.status import SweepStatus, detailed, show_status, status_of
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.report.report import report_sweep
from tests.sweeps.running import finish, open_dispatcher
from tests.sweeps.small_sweep import Declare

VALUES = {"alignment.llm_weight": "10.465561671468224", "alignment.local_form": "attention", "optim.epochs": "50"}
DATASETS = ("Caltech101", "DescribableTextures", "mini-pets", "FGVCAircraft", "StanfordCars")
RUNNING = SweepStatus(
    "a-sweep-of-a-long-name",
    "RUNNING",
    12,
    1,
    0,
    cells=40,
    driver="process 3 on a-machine",
    running=["trial-002"],
    workers=[
        WorkerReport(1, "a-machine-of-a-cluster-17", "trial-002", "DescribableTextures", 2, 12, 50, 1.2344, None),
        WorkerReport(2, "here", "coop", "mini-pets", 2, gpu=GpuState("H100", 3.1, 79.6, 12.4, 87)),
    ],
    trials={trial: {dataset: {"FINISHED": 2} for dataset in DATASETS} for trial in ("coop", "trial-002")},
    validation={"trial-002": 64.449},
    best="trial-002",
    best_value=64.449,
    candidates=(
        Candidate("trial-002", 1, 64.449, 1.049, 2, 2, "selected", VALUES),
        Candidate("trial-001", 2, 64.4449, None, 1, 2, "stopped", {"optim.epochs": "5"}),
    ),
)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_every_value_is_whole(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(detailed(RUNNING, console), crop=False)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in text.splitlines() if "10.465561671468224" not in line) <= width
    words = set(text.translate(str.maketrans("│┃,:=()", "       ")).split())
    expected = {*DATASETS, "coop", "trial-001", "a-machine-of-a-cluster-17", "12/50", "1.234", "12.4", "87", "10.47"}
    assert expected | {"attention", "10.465561671468224", "stopped", "2/2"} <= words
    assert "64.5" not in text
    assert text.count("64.4") == (4 if "┃ val" in text else 3)


def test_before_the_first_cell_no_empty_table_is_shown() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(detailed(SweepStatus("new", "RUNNING", 0, 0, 0, cells=40, driver="process 3 on here"), console))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.startswith("new: no cell has finished yet\n")
    assert "━" not in text


def test_the_best_accuracy_is_rounded_once(
    declare: Declare, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = declare()
    dispatcher, store = open_dispatcher(sweep), sweep.file.run.tracking_uri
    finish(dispatcher, sweep, log, stop_after=8)
    monkeypatch.setattr(Dispatcher, "best", ("trial-001", 64.449))
    dispatcher.close(interrupted=True)
    assert status_of(open_reader(store), "small").best_value == 64.449
    shown = io.StringIO()
    show_status(Console(file=shown, width=200), "small", store=store, as_json=False)
    assert "best candidate trial-001: validation accuracy 64.4 (" in shown.getvalue()
    page = report_sweep(Console(quiet=True), "small", store=store, study="", out=tmp_path / "report", log=False)
    assert "validation accuracy 64.4 (" in page.read_text()
