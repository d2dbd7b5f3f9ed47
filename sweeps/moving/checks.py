"""Whether what an archive holds can be recorded here: everything that readers of a store rely on, checked first.

One damaged run would otherwise stand in the way of every table of the store. What would not be imported is not exported
either: the store that it comes from may be gone by then.
"""

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import get_args

from dualpt.core.config.sections import Protocol
from dualpt.core.errors import UserError
from dualpt.core.files.inside import CONTROL, why_outside
from dualpt.core.results import MEASURES
from dualpt.search_spaces.sweep import SweepFile
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import LOSS, declared_in, number_from
from dualpt.sweeps.ledger.readable import fault_in
from dualpt.sweeps.moving.archive import Archive, ArchivedRun
from dualpt.sweeps.moving.file_checks import SLACK, fault_of_file, is_read
from dualpt.sweeps.planning.declared import is_declaration

LEVELS: Mapping[str, tuple[str, ...]] = {
    "sweep": (),
    "trial": (records.PARENT_TAG, records.TRIAL_TAG, records.KIND_TAG, records.SETTING_TAG),
    "cell": (records.PARENT_TAG, records.TRIAL_TAG, records.KIND_TAG, records.SETTING_TAG, records.KEY_TAG),
}
"""Level -> the tags that a run of it has, beside `SHARED`."""
SHARED = (records.SWEEP_TAG, records.SCHEMA_TAG)
RUN_ID = re.compile(r"[0-9a-f]{32}")
KEY = re.compile(r"[\w.-]{1,128}")
RECORDED_NAME = re.compile(r"[\w.\- :/]{1,250}")
"""Names of metrics and parameters that MLflow takes."""
LONGEST_NAME = 250
"""Characters of a trial's name, which is part of the query that finds the trial again."""
DATASET_KEYS = ("name", "digest", "source_type", "source", "context")


def refuse_damaged(archive: Archive) -> None:
    """
    Raises:
        UserError: the archive's sweep, or a run or file of it, cannot be recorded; the line names it and its fault.
    """
    if (fault := fault_of(archive.manifest.sweep, archive.runs) or _fault_of_files(archive)) is not None:
        raise UserError(f"{archive.path}: {fault}; not imported: export it again from a store that is in order")


def fault_of(sweep: str, runs: Sequence[ArchivedRun]) -> str | None:
    """What is wrong with an archive's sweep or the first damaged run of it; None where all can be recorded."""
    pattern = next(item.pattern for item in SweepFile.model_fields["name"].metadata if hasattr(item, "pattern"))
    if re.fullmatch(pattern, sweep) is None or why_outside(sweep) is not None:
        return f"'{sweep:.80}' is not a name that a sweep can have"
    seen: set[str] = set()
    for run in runs:
        if (fault := fault_of_run(sweep, run)) is not None:
            return f"{title(run)} {fault}"
        if run.id in seen:
            return f"run '{run.id}' is there twice"
        seen.add(run.id)
    return None


def title(run: ArchivedRun) -> str:
    """What to call a run in an error line."""
    names = dict.fromkeys(filter(None, (run.tags.get(records.TRIAL_TAG), run.name)))
    return f"run '{run.id:.40}' ({', '.join(f'{name!r:.80}' for name in names)})"


def _fault_of_files(archive: Archive) -> str | None:
    """What is wrong with the first damaged file that readers of a store would read; None where all are in order."""
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        path = Path(folder) / "file"
        for run in archive.runs:
            for place in filter(is_read, run.artifacts):
                archive.unpack_one(run, place, path)
                if (fault := fault_of_file(run, place, path)) is not None:
                    return f"{title(run)} {fault}"
    return None


def fault_of_files(run: ArchivedRun, files: Mapping[str, Path]) -> str | None:
    """The same of a run whose files lie on disk, as the rest of a sentence that begins with it."""
    found = (fault_of_file(run, place, file) for place, file in files.items() if is_read(place))
    return next(filter(None, found), None)


def fault_of_run(sweep: str, run: ArchivedRun) -> str | None:
    """The rest of a sentence that begins with a run of a sweep, its files apart; None where it can be recorded."""
    if RUN_ID.fullmatch(run.id) is None:
        return "has an id that no store gives"
    level = run.tags.get(records.LEVEL_TAG, "")
    if level not in LEVELS:
        return f"is of no known level ({records.LEVEL_TAG} is {level!r:.40})"
    if absent := [tag for tag in (*SHARED, *LEVELS[level]) if not run.tags.get(tag)]:
        return f"has no tag {absent[0]}"
    if run.tags[records.SWEEP_TAG] != sweep:
        return f"belongs to another sweep ({run.tags[records.SWEEP_TAG]!r:.80})"
    if run.tags[records.SCHEMA_TAG] != records.SCHEMA:
        return f"has schema {run.tags[records.SCHEMA_TAG]!r:.40}, and this version reads {records.SCHEMA}"
    if run.status not in get_args(records.Status):
        return f"has the unknown status {run.status!r:.40}"
    if level != "sweep" and run.tags[records.KIND_TAG] not in get_args(records.Kind):
        return f"is of the unknown kind {run.tags[records.KIND_TAG]!r:.40}"
    if not is_declaration(declared_in(run.tags)):
        return f"has a tag {records.GRID_TAG} that is not a declared grid"
    return _fault_of_names(run) or _fault_of_numbers(run) or (_fault_of_cell(run) if level == "cell" else None)


def _fault_of_names(run: ArchivedRun) -> str | None:
    for name in filter(None, (run.name, run.tags.get(records.TRIAL_TAG))):
        if len(name) > LONGEST_NAME or CONTROL.search(name) or not name.strip() or set(name) & set("'\"`"):
            return f"has a name that cannot be shown ({name!r:.80})"
    for name in (*run.metrics, *run.params):
        if RECORDED_NAME.fullmatch(name) is None or why_outside(name) is not None:
            return f"has a metric or parameter named {name!r:.80}"
    for place in run.artifacts:
        if (reason := why_outside(place)) is not None:
            return f"lists the file {place!r:.80}, which {reason}"
    folders = {str(folder) for place in run.artifacts for folder in PurePosixPath(place).parents}
    if clashing := folders & set(run.artifacts):
        return f"lists {min(clashing)!r:.80} as a file and as a folder"
    return None


def _fault_of_numbers(run: ArchivedRun) -> str | None:
    if not 0 <= run.start_ms < 2**53 or not 0 <= (run.end_ms or 0) < 2**53:
        return "has times that no clock shows"
    for name, points in run.metrics.items():
        if any(not 0 <= time < 2**53 or abs(step) >= 2**53 for _, time, step in points):
            return f"has a value of {name} at a time or step out of range"
        if (fault := _fault_of_values(run, name, points)) is not None:
            return fault
    for given in run.inputs:
        if set(given) != set(DATASET_KEYS) or not all(isinstance(given[key], str | None) for key in DATASET_KEYS):
            return "has a dataset input of another form"
    return None


def _fault_of_values(run: ArchivedRun, name: str, points: Sequence[tuple[float, int, int]]) -> str | None:
    """What is wrong with the results among a run's values.

    What failed or was cut off may hold anything, and so may a loss on the way. A likelihood of zero has an infinite
    logarithm.
    """
    if not points or (run.tags[records.LEVEL_TAG] == "cell" and run.status != "FINISHED"):
        return None
    judged = [max(points, key=lambda point: point[2])] if name == LOSS else points
    last = name.rpartition("/")[2]
    values = [number_from(value) for value, _, _ in judged]
    if broken := [value for value in values if not (math.isfinite(value) or (last == "nll" and value > 0))]:
        return f"has {broken[0]} for {name}, which is no result"
    percent = last in MEASURES and MEASURES[last].unit == "percent"
    if percent and (outside := [value for value in values if not -SLACK <= value <= 100 + SLACK]):
        return f"has {outside[0]:g} for {name}, which is a percentage"
    return None


def _fault_of_cell(run: ArchivedRun) -> str | None:
    """A cell that was cut off before its parameters were written doesn't say where it belongs; no finished one may."""
    if KEY.fullmatch(run.tags[records.KEY_TAG]) is None:
        return f"has {run.tags[records.KEY_TAG]!r:.80} for a cell key"
    if not run.params and run.status != "FINISHED":
        return None
    for name in (records.DATASET_PARAM, records.PROTOCOL_PARAM, records.SHOTS_PARAM, records.SEED_PARAM):
        if name not in run.params:
            return f"has no parameter {name}"
    if (fault := fault_in(run.params)) is not None:
        return fault
    if run.params[records.PROTOCOL_PARAM] not in get_args(Protocol):
        return f"has the unknown protocol {run.params[records.PROTOCOL_PARAM]!r:.40}"
    dataset = run.params[records.DATASET_PARAM]
    if why_outside(dataset) is not None or "/" in dataset or len(dataset) > 64:
        return f"has {dataset!r:.80} for a dataset"
    return None
