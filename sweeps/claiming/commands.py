"""Command lines that compute the numbers of a claim again, from what its cells have on record."""

import shlex
from collections.abc import Sequence

from dualpt.core.config.activity import METHOD_SOURCE
from dualpt.core.provenance import IMPORTED
from dualpt.sweeps.records import SELECTION_PARAM, TARGETS_PARAM, WEIGHTS_TAG, CellRow, recorded_keys

NAMED_BY_FILE = "the method is a user's own file: put its path in place of the name"
IMPORTED_FEATURES = "FOLDER is where the imported features lie: dualpt features ls lists it"

AS_YAML = {"None": "null", "True": "true", "False": "false"}
"""Values as the ledger keeps them, and as overrides are read."""


def training_command(rows: Sequence[CellRow]) -> str:
    """A shell loop of `dualpt train` over the datasets of one method's cells, with every key that matters set.

    Args:
        rows: finished cells of one method under one protocol, of which all but the cell itself are equal.
    """
    first = rows[0]
    datasets = " ".join(shlex.quote(name) for name in dict.fromkeys(row.dataset for row in rows))
    options = [f"--protocol {first.protocol}"] if first.protocol != "few-shot" else []
    if first.shots:
        seeds = ",".join(map(str, sorted({row.seed for row in rows})))
        options.append(f"--shots {first.shots} --seeds {seeds}")
    if targets := _targets(rows):
        options.append(f"--targets {shlex.quote(','.join(targets))}")
    if (rule := first.params.get(SELECTION_PARAM)) is not None:
        options.append(f"--selection {rule}")
    values = [
        f"{key}={AS_YAML.get(first.params[key], first.params[key])}"
        for key in recorded_keys([first.params])
        if key in first.params
    ]
    if _imported(first):
        values.append("data.features=FOLDER")
    words = " ".join([*options, *map(shlex.quote, values)])
    return f"for dataset in {datasets}; do dualpt train --dataset $dataset {words}; done"


def _targets(rows: Sequence[CellRow]) -> list[str]:
    """Of all sources; each leaves itself out."""
    named = [name for row in rows for name in row.params.get(TARGETS_PARAM, "").split(", ") if name]
    return list(dict.fromkeys(named))


def notes(rows: Sequence[CellRow]) -> list[str]:
    """What the command leaves to the reader."""
    found = [IMPORTED_FEATURES] if any(map(_imported, rows)) else []
    if any(not _mini(row) and not _imported(row) for row in rows):
        found.append("real datasets need data.root=FOLDER as well")
    return [*found, NAMED_BY_FILE] if any(METHOD_SOURCE in row.params for row in rows) else found


def _imported(row: CellRow) -> bool:
    """Whether it was trained on features that were computed elsewhere."""
    return row.origin.get(WEIGHTS_TAG, "").startswith(IMPORTED)


def _mini(row: CellRow) -> bool:
    return row.dataset.startswith("mini-")
