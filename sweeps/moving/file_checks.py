"""Whether a run's files hold what their names say: what a cell learned, its setting, the accuracy of its classes."""

import json
import math
from pathlib import Path
from typing import Any

from dualpt.core.errors import UserError
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import CLASSES_FILE, CLASSIFIER_FILE, CONTEXTS_FILE, SETTING_FILE, difference
from dualpt.sweeps.moving.archive import ArchivedRun

LEARNED = {CONTEXTS_FILE: "a file of learned contexts", CLASSIFIER_FILE: "a file of a learned classifier"}

SLACK = 1e-6
"""By which rounding may lead out of 100 %."""


def is_read(place: str) -> bool:
    """Whether commands read this file of a run; others, such as a failure's traceback, are for people."""
    return place in (SETTING_FILE, CLASSES_FILE, *LEARNED)


def fault_of_file(run: ArchivedRun, place: str, path: Path) -> str | None:
    """What is wrong with a file that `is_read`, as the rest of a sentence that begins with its run.

    Args:
        run: whose file it is.
        place: its path among the run's artifacts.
        path: where it lies.
    """
    if place in LEARNED:
        return _fault_of_learned(run, place, path)
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        return f"has a damaged file {place} (not JSON: {error!s:.80})"
    if not (_is_setting if place == SETTING_FILE else _is_per_class)(content):
        return f"has a damaged file {place} (it holds something else)"
    copied = records.REUSED_TAG in run.tags  # before 0.2 it took along the file of the run that it is a copy of
    if place == SETTING_FILE and not copied and (said := difference(content, run.params)) is not None:
        return f"has the file {place} of another run ({said})"
    return None


def _fault_of_learned(run: ArchivedRun, place: str, path: Path) -> str | None:
    from dualpt.core.files.tensor_file import read_tensors  # these load torch
    from dualpt.core.learned import fitted, prompts
    from dualpt.core.prompts.contexts_file import check_contexts

    try:
        tensors, about = read_tensors(path, LEARNED[place])
        if place == CONTEXTS_FILE:
            check_contexts(tensors, path)
            prompts.read_document(about, path)
        else:
            fitted.read_document(about, path)
    except UserError as error:
        return f"has a damaged file {place} ({str(error).removeprefix(f'{path}: '):.120})"
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        return f"has a damaged file {place} (it holds values that are not finite)"
    if (key := about.get("cell_key")) is not None and key != run.tags.get(records.KEY_TAG):
        return f"has the file {place} of another cell ({key:.16}…)"
    return None


def _is_setting(content: Any) -> bool:
    return isinstance(content, dict) and bool(content)


def _is_per_class(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(classes, dict) and all(_is_percentage(value) for value in classes.values())
        for classes in content.values()
    )


def _is_percentage(value: Any) -> bool:
    """NaN is that of a class without images."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (math.isnan(value) or 0 <= value <= 100 + SLACK)
