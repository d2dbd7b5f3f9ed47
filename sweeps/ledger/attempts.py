"""One attempt at a cell as plain values: what a worker writes to the ledger, or keeps as a file while that is away.

A record knows everything that its run will hold, so it can be written later, by another process, and again: the
same record written twice is one run.
"""

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import (
    Point,
    cell_files,
    cell_params,
    cell_points,
    cell_tags,
    chosen_params,
    one_per_step,
    origin_tags,
)
from dualpt.sweeps.records import SELECTION, CellOutcome, CellRow, KeyedCell, TrialRef

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellResult

FAILURE_FILE = "failure.txt"
"""Artifact of a failed cell: its traceback."""
HASH = "content_sha256"
"""Key of a kept record's hash."""
LONGEST_REASON = 1000
"""Characters of a failure's reason that its tag keeps."""


@dataclass(frozen=True)
class CellRecord:
    """An attempt at a cell."""

    number: str
    """Random, the same however often the record is written."""
    experiment_id: str
    trial_run_id: str
    key: str
    label: str
    """Name of the run."""
    started_ms: int
    ended_ms: int
    """When it was over, in milliseconds since the epoch; curves and scalars carry this time."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: tuple[Point, ...]
    dataset: Mapping[str, str]
    """`name`, `digest`, `source` and `context` of the dataset that MLflow shows."""
    failure: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Artifacts by name."""

    @property
    def place(self) -> str:
        """Name that all attempts at this cell of this trial share; fit for a file."""
        return f"{self.trial_run_id}-{self.key[:32]}"

    def outcome(self, run_id: str) -> CellOutcome:
        """What the driver may know of it."""
        selection = next((point.value for point in self.metrics if point.name == SELECTION), None)
        return CellOutcome(self.key, run_id, selection, self.failure)

    def to_json(self) -> str:
        """The record as text, with a hash of its content: a flipped bit would be another result."""
        encoded = {name: base64.b64encode(content).decode() for name, content in self.files.items()}
        values = {**asdict(self), "files": encoded}
        return json.dumps({**values, HASH: fingerprint(values)})

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> "CellRecord":
        """Read a kept record; those of earlier versions have no hash, and are taken as they are.

        Raises:
            UserError: the text is damaged; `source` names its file.
        """
        try:
            values = json.loads(text)
            if (written := values.pop(HASH, None)) is not None and written != fingerprint(values):
                raise ValueError("its content is not what was written")
            values["metrics"] = tuple(Point(*point) for point in values["metrics"])
            values["files"] = {name: base64.b64decode(content) for name, content in values["files"].items()}
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{source}: not a kept result ({error}); remove the file to train its cell again") from None


def trained(trial: TrialRef, keyed: KeyedCell, result: "CellResult", seconds: float) -> CellRecord:
    """A cell that was trained, or that failed in training with a result.

    Args:
        seconds: the cell's share of the wall time of its pack; the run is dated back by it.
    """
    files = cell_files(keyed, result)
    points = tuple(cell_points(result))
    record = _record(
        trial, keyed, seconds, points, origin_tags(result), result.sample_fingerprint, result.failure, files
    )
    return replace(record, params={**record.params, **chosen_params(result)})


def failed(trial: TrialRef, keyed: KeyedCell, reason: str, seconds: float = 0.0, details: str = "") -> CellRecord:
    """A cell that gave no result at all."""
    files = {FAILURE_FILE: details.encode()} if details else {}
    return _record(trial, keyed, seconds, (), {}, None, reason, files)


def copied(trial: TrialRef, keyed: KeyedCell, source: CellRow) -> CellRecord:
    """A cell whose numbers another run of the store holds; the copy names that run, where the artifacts are."""
    original = source.reused_from or source.run_id
    note = f"Its numbers were known: they, and the contexts among the artifacts, are those of run {original}."
    tags = {records.REUSED_TAG: original, records.NOTE_TAG: note, **source.origin}
    points = tuple(Point(name, value) for name, value in source.metrics.items())
    record = _record(trial, keyed, source.seconds, points, tags, source.origin.get(records.SAMPLE_TAG), None, {})
    chosen = {key: value for key, value in source.params.items() if key.startswith(records.CHOSEN)}
    return replace(record, params={**record.params, **chosen})


def _record(
    trial: TrialRef,
    keyed: KeyedCell,
    seconds: float,
    points: tuple[Point, ...],
    tags: Mapping[str, str],
    sample: str | None,
    failure: str | None,
    files: Mapping[str, bytes],
) -> CellRecord:
    number, now = uuid.uuid4().hex, time.time_ns() // 1_000_000
    own = {records.RECORD_TAG: number}
    if files:
        own[records.FILES_TAG] = ",".join(sorted(files))
    if failure is not None:
        failure = own[records.FAILURE_TAG] = failure[:LONGEST_REASON]
    return CellRecord(
        number=number,
        experiment_id=trial.experiment_id,
        trial_run_id=trial.run_id,
        key=keyed.key,
        label=keyed.cell.label,
        started_ms=now - round(1000 * seconds),
        ended_ms=now,
        tags={**cell_tags(trial, keyed), **tags, **own},
        params=cell_params(keyed.cell),
        metrics=one_per_step(points),
        dataset=_dataset(keyed.cell, sample),
        failure=failure,
        files=files,
    )


def _dataset(cell: Cell, sample: str | None) -> dict[str, str]:
    """The dataset as MLflow shows it; its digest (36 characters at most) is the drawn sample's fingerprint."""
    place = {"dataset": cell.dataset, "protocol": cell.protocol, "shots": cell.shots, "seed": cell.seed}
    context = "training" if cell.shots else "evaluation"
    digest = (sample or "no sample")[:36]
    return {"name": cell.dataset, "digest": digest, "source": json.dumps(place), "context": context}
