"""What a worker says while it trains: lossy, late at worst, and never in the way."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from dualpt.core.training.progress import Progress
from dualpt.sweeps.dispatch.work_units import Pack
from dualpt.sweeps.dispatch.worker_reports import GpuState, WorkerReport, report_from
from dualpt.sweeps.ledger.contents import Point
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.workers.reporting import CURVE_POINTS, REST_SECONDS, LiveReporter
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FakeRunner
from tests.sweeps.running import open_dispatcher, shown
from tests.sweeps.small_sweep import Declare


class Listening:
    """Takes what is sent and written, and has a clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sent: list[WorkerReport | None] = []
        self.written: list[tuple[str, list[tuple[int, float]]]] = []
        self.write_takes = 0.0
        self.broken = False

    def send(self, text: str) -> None:
        if self.broken:
            raise ConnectionError("Ray's control service is away")
        self.sent.append(report_from(text) if text else None)

    def write(self, run_id: str, points: Sequence[Point]) -> None:
        self.seconds += self.write_takes
        if self.broken:
            raise ConnectionError("the store is away")
        self.written.append((run_id, [(point.step, point.value) for point in points]))

    def reporter(self) -> LiveReporter:
        return LiveReporter(3, self.send, self.write, clock=lambda: self.seconds)


@pytest.fixture
def listening() -> Listening:
    return Listening()


@pytest.fixture
def pack(declare: Declare) -> Pack:
    """Two seeds of a baseline."""
    unit = open_dispatcher(declare(baselines=["coop"], search=None)).assign()
    assert unit is not None
    return unit.packs[0]


def epochs(reporter: LiveReporter, pack: Pack, of: int, *numbers: int) -> None:
    report = reporter.training(pack)
    for epoch in numbers:
        report(Progress(epoch, of, (1.0 / epoch, math.nan)))


def test_the_last_epoch_is_sent_and_those_before_it_are_lost(listening: Listening, pack: Pack) -> None:
    reporter = listening.reporter()
    epochs(reporter, pack, 50, 1, 2, 4)
    reporter.send_now()
    (report,) = listening.sent
    assert report is not None
    assert (report.worker, report.trial, report.dataset, report.cells) == (3, "coop", "mini-pets", 2)
    assert (report.epoch, report.epochs, report.loss, report.gpu) == (4, 50, 0.25, None)


def test_nothing_new_is_sent_once_in_a_while_alone(listening: Listening, pack: Pack) -> None:
    reporter = listening.reporter()
    epochs(reporter, pack, 50, 1)
    for listening.seconds in (1, 2, 3, REST_SECONDS + 1):
        reporter.send_now()
    assert [report.beat for report in listening.sent if report] == [1, 2]
    reporter.idle()
    for listening.seconds in (20, 60):
        reporter.send_now()
    assert listening.sent[2:] == [None], "a worker without work falls silent"


def test_curves_grow_on_the_trial_of_a_pack_that_lasts(listening: Listening, pack: Pack) -> None:
    reporter = listening.reporter()
    epochs(reporter, pack, 50, 1, 2)
    listening.seconds = REST_SECONDS - 1
    reporter.send_now()
    assert listening.written == [], "a short pack is recorded with its whole curve at once"
    listening.seconds = REST_SECONDS
    reporter.send_now()
    assert listening.written == [(pack[0].trial.run_id, [(1, 1.0), (2, 0.5)])]


def test_a_curve_that_has_begun_is_finished_and_another_is_not_begun(listening: Listening, pack: Pack) -> None:
    reporter = listening.reporter()
    report = reporter.training(pack)
    report(Progress(1, 2, (1.0, 1.0)))
    listening.seconds = REST_SECONDS
    reporter.send_now()
    report(Progress(2, 2, (0.5, 0.5)))
    epochs(reporter, pack, 2, 1, 2)
    reporter.idle()
    listening.seconds = 3 * REST_SECONDS
    reporter.send_now()
    assert [points for _, points in listening.written] == [[(1, 1.0)], [(2, 0.5)]]


def test_writing_takes_a_hundredth_of_the_time_at_most(listening: Listening, pack: Pack) -> None:
    reporter, listening.write_takes = listening.reporter(), 0.5
    report, started = reporter.training(pack), 0
    for started in range(1, 1001):
        listening.seconds = max(listening.seconds, started)
        report(Progress(started, 1000, (1.0, 1.0)))
        reporter.send_now()
    assert 0.5 * len(listening.written) <= 0.012 * started
    assert sum(len(points) for _, points in listening.written) <= CURVE_POINTS


@pytest.mark.parametrize("wanted", [True, False])
def test_the_gpu_goes_to_the_ledger_where_that_is_wanted(
    listening: Listening, pack: Pack, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    names: list[str] = []
    gpu = SimpleNamespace(state=lambda: GpuState("H100", 3.0, 80.0, 20.0, 87))
    monkeypatch.setattr("dualpt.sweeps.workers.reporting.gpu_here", lambda: gpu)

    def write(run_id: str, points: Sequence[Point]) -> None:
        names.extend(f"{point.name} {point.value:g}" for point in points)

    reporter = LiveReporter(3, listening.send, write, wanted, clock=lambda: listening.seconds)
    epochs(reporter, pack, 50, 1)
    listening.seconds = REST_SECONDS
    reporter.send_now()
    own = ["memory_usage_megabytes 21474.8", "memory_usage_percentage 25", "utilization_percentage 87"]
    expected = [f"system/worker_3/gpu_{name}" for name in own] if wanted else []
    assert names == ["live/mini-pets/4-shot/loss 1", *expected]
    assert listening.sent[0] is not None
    assert listening.sent[0].gpu == GpuState("H100", 3.0, 80.0, 20.0, 87)


def test_what_cannot_be_sent_is_lost_and_disturbs_nothing(listening: Listening, pack: Pack) -> None:
    reporter, listening.broken = listening.reporter(), True
    epochs(reporter, pack, 50, 1)
    listening.seconds = REST_SECONDS
    reporter.send_now()
    assert (listening.sent, listening.written) == ([], [])
    listening.broken = False
    epochs(reporter, pack, 50, 2)
    reporter.send_now()
    assert len(listening.sent) == 1


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Set at the end, to release what hangs."""
    released = threading.Event()
    yield released
    released.set()


def test_training_does_not_wait_for_a_service_that_hangs(declare: Declare, log: Path, stuck: threading.Event) -> None:
    sweep, hangs = declare(baselines=["coop"], search=None), threading.Event()

    def send(text: str) -> None:
        hangs.set()
        stuck.wait()

    reporter = LiveReporter(1, send, lambda run_id, points: None)
    reporter.start()
    unit = open_dispatcher(sweep).assign()
    assert unit is not None
    ledger, runner = Ledger(sweep.file.run.tracking_uri, create=False), FakeRunner(log)
    while not hangs.is_set():
        reporter.training(unit.packs[0])
        time.sleep(0.01)
    outcomes = train_pack(runner, ledger, unit.packs[0], reporter=reporter).outcomes  # type: ignore[arg-type]
    reporter.close()
    assert [outcome.failure for outcome in outcomes] == [None, None]
    assert len(shown(sweep)) == 2


def test_curves_reach_the_ledger(declare: Declare, log: Path, pack: Pack) -> None:
    ledger, seconds = Ledger(declare().file.run.tracking_uri, create=False), [0.0]
    reporter = LiveReporter(1, lambda text: None, ledger.add_points, clock=lambda: seconds[0])
    epochs(reporter, pack, 50, 1, 2)
    seconds[0] = REST_SECONDS
    reporter.send_now()
    with ledger.calls() as client:
        points = client.get_metric_history(pack[0].trial.run_id, "live/mini-pets/4-shot/loss")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 0.5)]
