"""What workers say of the packs that they train, for those who watch. Nothing depends on it: reports may be lost."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

STALE_SECONDS = 30.0
"""After which a worker that reports nothing is not shown any more: it is idle or gone."""
MOST_KEPT = 12
"""Workers of which a driver writes down what they report: a tag of the ledger has its length."""
LOSS_DIGITS = 3
"""Decimals of a loss that are shown; those written down are the same, so that nothing is rounded twice."""


@dataclass(frozen=True)
class GpuState:
    """A GPU on which a worker trains, as it was a moment ago."""

    name: str
    own_gib: float
    """Memory that the worker's PyTorch holds."""
    total_gib: float
    used_gib: float | None = None
    """Memory in use by whichever process; None where that cannot be asked."""
    busy: int | None = None
    """Utilisation in percent: the part of the last moments in which any kernel ran."""

    def memory(self) -> str:
        """Its own part, then what is in use in all: `3.1 GiB (12.4 of 80 in use)`."""
        own = f"{self.own_gib:.1f} GiB"
        return own if self.used_gib is None else f"{own} ({self.used_gib:.1f} of {self.total_gib:.0f} in use)"


@dataclass(frozen=True)
class WorkerReport:
    """A pack in training."""

    worker: int
    host: str
    trial: str
    """Of the pack's first cell; several may share it."""
    dataset: str
    cells: int
    """Trained together, as replicas."""
    epoch: int = 0
    """Epochs done; closed forms on frozen features report none."""
    epochs: int = 0
    loss: float | None = None
    """Mean of the last epoch over the cells whose loss is finite; None before the first, and where none is."""
    gpu: GpuState | None = None
    beat: int = 0
    """Counts what the worker has sent."""
    unit: str = "epoch"
    """What is counted: a method may fit the same images again and again instead."""

    def text(self) -> str:
        return _REPORT.dump_json(self).decode()

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.place, self.epochs_text, self.loss_text)))

    @property
    def place(self) -> str:
        """What is trained: trial and dataset."""
        return f"{self.trial} {self.dataset}"

    @property
    def epochs_text(self) -> str:
        """`epoch 12/50`, or `fit 3/16`; empty before the first, and where none are reported."""
        return f"{self.unit} {self.epoch}/{self.epochs}" if self.epochs else ""

    @property
    def loss_text(self) -> str:
        """`loss 1.234`; empty where none is known."""
        return "" if self.loss is None else f"loss {self.loss:.{LOSS_DIGITS}f}"


_REPORT = TypeAdapter(WorkerReport)


def report_from(text: str) -> WorkerReport | None:
    """A report that was sent; None where the text is damaged, or of another version."""
    try:
        return _REPORT.validate_json(text)
    except ValidationError:
        return None


def reports_in(documents: object) -> list[WorkerReport]:
    """The reports that a driver has written down; those of another version are left out."""
    found = []
    for document in documents if isinstance(documents, list) else []:
        try:
            found.append(_REPORT.validate_python(document))
        except ValidationError:
            continue
    return found


class FreshReports:
    """Tells which workers still report, by the watcher's own clock: those of machines differ."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds that only grow.
        """
        self._clock = clock
        self._seen: dict[str, tuple[str, float]] = {}

    def among(self, notes: Mapping[str, str]) -> list[WorkerReport]:
        """The reports that have changed lately, by the numbers of their workers.

        Args:
            notes: the last text of each worker, by any name.
        """
        now = self._clock()
        for name, text in notes.items():
            if name not in self._seen or self._seen[name][0] != text:
                self._seen[name] = (text, now)
        fresh = [text for name, text in notes.items() if now - self._seen[name][1] < STALE_SECONDS]
        return sorted(filter(None, map(report_from, fresh)), key=lambda report: report.worker)


def kept(reports: Sequence[WorkerReport]) -> list[dict[str, Any]]:
    """What a driver writes down of reports, rounded: most workers are not of interest beyond `MOST_KEPT`."""
    return [_rounded(report).document() for report in reports[:MOST_KEPT]]


def _rounded(report: WorkerReport) -> WorkerReport:
    return report if report.loss is None else replace(report, loss=round(report.loss, LOSS_DIGITS))
