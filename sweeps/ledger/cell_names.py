"""A recorded cell by name, and what it left: the setting it ran with and the prompts it learned.

A cell is named by its run id, its key, an unambiguous beginning of either, or its place as
`SWEEP/TRIAL/DATASET/SHOTS/SEED`, from the left as far as is needed to tell it apart.
"""

import re
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Protocol
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError, nearest
from dualpt.core.method_catalog import PROMPT, ZERO_SHOT
from dualpt.core.selection_rules import SelectionRule
from dualpt.sweeps.ledger.contents import CLASSIFIER_FILE, CONTEXTS_FILE, FILE_REMEDY, SETTING_FILE, read_setting
from dualpt.sweeps.records import MOVABLE, SELECTION_PARAM, CellRow
from dualpt.sweeps.stores import masked

if TYPE_CHECKING:
    from dualpt.core.learned.fitted import LearnedClassifier
    from dualpt.core.learned.prompts import LearnedPrompts
    from dualpt.sweeps.ledger.mlflow import Ledger

SHORTEST_PREFIX = 4
"""Hex digits that may stand for a run id or a cell key."""
SHOWN = 4
"""Cells that an error line names."""
PARTS = ("sweep", "trial", "dataset", "shots", "seed")


def find_cell(ledger: "Ledger", name: str) -> CellRow:
    """The recorded cell that `name` stands for (see the module).

    Raises:
        UserError: no such cell, or several; the nearest names, or those that are meant, are given.
    """
    hint = ""
    if re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}", name):
        found = ledger.cells_whose(name)
    elif name.split("/")[0] not in (known := ledger.sweeps()):
        found = []
        hint = nearest(name.split("/")[0], known)
    else:
        found = _at_place(ledger, name)
    found = [row for row in found if row.dataset]
    if not found:
        raise UserError(
            f"no recorded cell is '{name}' in {masked(ledger.uri)}{hint}; name one by its run id, its key or the "
            "beginning of either, or as SWEEP/TRIAL/DATASET/SHOTS/SEED (recorded sweeps: "
            f"{', '.join(ledger.sweeps()) or 'none'})"
        )
    if len({row.key for row in found}) > 1:
        shown = [f"{_place(row)} ({row.run_id[:8]})" for row in sorted(found, key=_place)[:SHOWN]]
        rest = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UserError(f"'{name}' stands for {len(found)} cells: {', '.join(shown)}{rest}; name one of them")
    finished = [row for row in found if row.finished]
    originals = [row for row in finished if row.reused_from is None]
    return (originals or finished or found)[-1]


def check_movable(overrides: Iterable[str]) -> None:
    """Refuse keys that say more than where things lie on this machine.

    Raises:
        UserError: one of them is part of what a cell was run with.
    """
    for key in overrides:
        if key not in MOVABLE:
            raise UserError(
                f"{key}: a finished cell keeps its setting; only {', '.join(MOVABLE)} may be given"
                f"{nearest(key, MOVABLE)}"
            )


def cell_of(ledger: "Ledger", row: CellRow, overrides: Mapping[str, Any]) -> Cell:
    """The cell as it was run, with places on this machine in `overrides`; without targets, which it did not learn from.

    Raises:
        UserError: an override of what the cell has been run with, or a setting that is damaged, another cell's or not
            on record.
    """
    check_movable(overrides)
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        path, holder = _artifact(ledger, row, SETTING_FILE, Path(folder))
        # The same numbers may come of settings that are spelt differently, such as a recipe's epochs.
        values = read_setting(path, row.params if holder == row.run_id else ledger.params_of([holder])[holder])
    setting = Setting().with_values(values, source=f"{SETTING_FILE} of run {row.run_id}")
    setting = setting.with_values(overrides)
    rule = cast(SelectionRule, row.params.get(SELECTION_PARAM, "validation"))
    return Cell(setting, row.dataset, cast(Protocol, row.protocol), row.shots, row.seed, selection=rule)


def prompts_of(ledger: "Ledger", row: CellRow, overrides: Mapping[str, Any]) -> "LearnedPrompts":
    """The prompts that a cell learned, with places on this machine in `overrides`.

    Raises:
        UserError: the cell learned none, did not finish, or its file is missing or another cell's.
    """
    from dualpt.core.learned.prompts import load_prompts

    _check_trained(row)
    if row.params.get("method") != PROMPT:
        method = row.params.get("method")
        raise UserError(f"cell {_place(row)} is of {method}: it learned no prompts; `dualpt inspect` takes it")
    cell = cell_of(ledger, row, overrides)
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        path, _ = _artifact(ledger, row, CONTEXTS_FILE, Path(folder))
        prompts = load_prompts(path, cell)
    _check_key(row, prompts.cell_key, path)
    return replace(prompts, cell=cell)


def classifier_of(ledger: "Ledger", row: CellRow, overrides: Mapping[str, Any]) -> "LearnedClassifier":
    """What a cell of a method on frozen features learned, with places on this machine in `overrides`.

    Raises:
        UserError: the cell did not finish, its file is missing or another cell's, or the code of its method is gone or
            has changed.
    """
    from dualpt.core.learned.fitted import load_classifier

    _check_trained(row)
    check_movable(overrides)
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        path, _ = _artifact(ledger, row, CLASSIFIER_FILE, Path(folder))
        learned = load_classifier(path)
    _check_key(row, learned.cell_key, path)
    return replace(learned, cell=replace(learned.cell, setting=learned.cell.setting.with_values(overrides)))


def learned_of(ledger: "Ledger", row: CellRow, overrides: Mapping[str, Any]) -> "LearnedPrompts | LearnedClassifier":
    """What a cell learned, prompts or a classifier of frozen features; arguments and errors as for either."""
    return (prompts_of if row.params.get("method") == PROMPT else classifier_of)(ledger, row, overrides)


def _check_trained(row: CellRow) -> None:
    if not row.finished:
        reason = f": {row.failure}" if row.failure else ""
        raise UserError(f"cell {_place(row)} is {row.status.lower()}{reason}; choose a finished one")
    if row.params.get("method") in ZERO_SHOT:
        remedy = "choose a trained method's cell"
        raise UserError(f"cell {_place(row)} is zero-shot: it learned no prompts and no classifier; {remedy}")


def _check_key(row: CellRow, key: str, path: Path) -> None:
    """Refuse what another cell has learned; files of dualpt before 0.2 may not say whose they are."""
    if key not in ("", row.key):
        raise UserError(f"{path}: is of another cell ({key:.16}…), and {_place(row)} is {row.key:.16}…; {FILE_REMEDY}")


def _artifact(ledger: "Ledger", row: CellRow, name: str, folder: Path) -> tuple[Path, str]:
    """A file of the cell, and the run that it is of: the cell's, or the one that its numbers were taken from."""
    for run_id in filter(None, (row.run_id, row.reused_from)):
        found = ledger.artifact(run_id, name, folder)
        if found is not None:
            return found, run_id
    if row.artifacts_wait is not None:
        raise UserError(f"cell {_place(row)} has no {name} yet: its artifacts wait ({row.artifacts_wait})")
    source = row.reused_from or row.run_id
    raise UserError(f"cell {_place(row)} has no {name} (run {source}): {ledger.whereabouts(source)}")


def _at_place(ledger: "Ledger", name: str) -> list[CellRow]:
    sweep, _, rest = name.partition("/")
    rows = [row for row in ledger.read_cells(sweep) if row.finished]
    given = [sweep, *split_place(rest, {row.trial for row in rows})]
    if len(given) > len(PARTS):
        raise UserError(f"'{name}': a cell's place is SWEEP/TRIAL/DATASET/SHOTS/SEED")
    for part, word in zip(PARTS[1:], given[1:], strict=False):
        left = [row for row in rows if str(getattr(row, part)) == word]
        if not left:
            known = sorted({str(getattr(row, part)) for row in rows})
            raise UserError(f"'{name}': no finished cell of {part} '{word}'{_hint(word, known)}")
        rows = left
    return rows


def split_place(place: str, trials: Collection[str]) -> list[str]:
    """What stands between the slashes of a place within a sweep; a trial's own name may hold some (`ViT-B/16`)."""
    named = [trial for trial in trials if f"{place}/".startswith(f"{trial}/")]
    if not named:
        return place.split("/") if place else []
    trial = max(named, key=len)
    rest = place.removeprefix(trial).removeprefix("/")
    return [trial, *(rest.split("/") if rest else [])]


def _hint(word: str, known: Sequence[str]) -> str:
    return nearest(word, known) or f" (there are: {', '.join(known[:SHOWN])}{', …' * (len(known) > SHOWN)})"


def _place(row: CellRow) -> str:
    """`best/mini-pets/16/1`: the cell within its sweep."""
    return "/".join(place_of(row))


def place_of(row: CellRow) -> list[str]:
    """Trial, dataset, shots and seed: what stands behind the sweep in a cell's place."""
    return [str(getattr(row, part)) for part in PARTS[1:]]
