"""Progress: plain lines now and then, time left by the pace of this launch, silence where none is wanted."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from dualpt.sweeps.console import counted, readable_seconds
from dualpt.sweeps.dispatch.counts import Counts
from dualpt.sweeps.dispatch.progress import SHOWN_FAILURES, SHOWN_WORKERS, SweepProgress
from dualpt.sweeps.dispatch.worker_reports import WorkerReport


class Clock:
    """A clock that is set by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shown(text: io.StringIO, clock: Clock) -> Iterator[SweepProgress]:
    with SweepProgress(Console(file=text, width=100), clock=clock) as progress:
        yield progress


def test_plain_lines_come_now_and_then(shown: SweepProgress, text: io.StringIO, clock: Clock) -> None:
    for second in range(1, 91):
        clock.seconds = second
        shown.show(Counts(trained=second), 100, ["coop"], None)
    assert len(text.getvalue().splitlines()) == 3


def test_the_time_left_follows_the_pace_of_this_launch(shown: SweepProgress, text: io.StringIO, clock: Clock) -> None:
    shown.show(Counts(kept=50), 100, ["coop"], None)
    clock.seconds = 40
    shown.show(Counts(kept=50, trained=10), 100, ["coop", "plot", "best"], ("trial-002", 71.26))
    assert text.getvalue() == "60 of 100  coop, plot  best trial-002 71.3 · about 3 min left\n"
    assert shown.state["seconds_left"] == 160, "as `status` and the board say it"


def test_the_time_left_leaves_out_how_long_workers_took_to_start(shown: SweepProgress, clock: Clock) -> None:
    clock.seconds = 600
    shown.show(Counts(), 42, ["coop"], None)
    assert shown.state["seconds_left"] is None
    clock.seconds = 620
    shown.show(Counts(trained=10), 42, ["coop"], None)
    assert shown.state["seconds_left"] == 64


def test_every_step_before_the_first_cell_is_a_line(shown: SweepProgress, text: io.StringIO) -> None:
    shown.step("reading [images]")
    shown.step("starting Ray")
    assert text.getvalue() == "  reading [images]\n  starting Ray\n"


def test_a_bar_moves_in_every_step_and_counts_again_after_it() -> None:
    text = io.StringIO()
    with SweepProgress(Console(file=text, width=100, force_terminal=True)) as shown:
        for count in (shown.preparing, lambda *_: shown.show(Counts(trained=2), 7, ["coop"], None)):
            shown.step("starting Ray")
            assert [(task.description, task.total) for task in shown._bar.tasks] == [("starting Ray", None)]
            count(2, 7, "features")
            assert [(task.completed, task.total) for task in shown._bar.tasks] == [(2, 7)]
    assert "2/7" in text.getvalue()


def test_a_long_cell_gives_a_line_now_and_then(shown: SweepProgress, text: io.StringIO, clock: Clock) -> None:
    one = WorkerReport(1, "here", "trial-004", "mini-pets", 3, 12, 50, 1.2344)
    for clock.seconds in range(1, 60):
        shown.hear([one, replace(one, worker=2)])
    clock.seconds = 61
    shown.hear([replace(one, epoch=13)])
    assert text.getvalue().splitlines() == [
        "training trial-004 mini-pets epoch 12/50 loss 1.234 · 1 more",
        "training trial-004 mini-pets epoch 13/50 loss 1.234",
    ]


def test_workers_have_bars_of_their_epochs_while_they_train() -> None:
    text = io.StringIO()
    with SweepProgress(Console(file=text, width=100, force_terminal=True)) as shown:
        shown.show(Counts(trained=2), 7, ["coop"], ("trial-002", 71.2))
        many = [WorkerReport(worker, "here", "coop", "mini-pets", 3, 12, 50, 1.2) for worker in range(9)]
        shown.hear(many)
        own = [(task.description, task.completed, task.total) for task in shown._bar.tasks[1:]]
        assert own == [("  coop mini-pets", 12, 50)] * SHOWN_WORKERS
        assert len(shown.state["workers"]) == len(many)
        assert shown.state["best"] == ("trial-002", 71.2)
        shown.hear(())
        assert len(shown._bar.tasks) == 1
    assert "epoch 12/50 loss 1.200" in text.getvalue()


def test_failures_are_told_and_later_only_counted(shown: SweepProgress, text: io.StringIO, clock: Clock) -> None:
    for number in range(SHOWN_FAILURES + 2):
        shown.failure("trial-001", f"[reason {number}]")
    assert text.getvalue().count("failed in trial-001") == SHOWN_FAILURES
    assert "[reason 0]" in text.getvalue()
    clock.seconds = 31
    shown.show(Counts(trained=3, failed=5), 10, [], None)
    assert "8 of 10  cells  5 failed" in text.getvalue()


def test_nothing_is_shown_where_none_is_wanted(text: io.StringIO) -> None:
    with SweepProgress(Console(file=text), enabled=False) as progress:
        progress.note("a note")
        progress.failure("coop", "reason")
        progress.show(Counts(), 10, [], None)
    assert text.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "shown_as"), [(40, "40 s"), (720, "12 min"), (12_600, "3.5 h"), (181_440, "2.1 days")]
)
def test_seconds_are_readable(seconds: float, shown_as: str) -> None:
    assert readable_seconds(seconds) == shown_as


def test_one_thing_is_not_written_in_the_plural() -> None:
    assert [counted(n, "more cell") for n in (0, 1, 2)] == ["0 more cells", "1 more cell", "2 more cells"]
