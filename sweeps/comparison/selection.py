"""Which recorded cells may stand in one table: one protocol, one grid, and what is unfinished said aloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.core.results import PLAN_ERROR
from dualpt.sweeps.comparison.frames import DATA_NOTES, comparable_cells, grid_of
from dualpt.sweeps.comparison.labels import of_sweep
from dualpt.sweeps.comparison.plan_remarks import error_remarks
from dualpt.sweeps.comparison.searched.candidate_cells import Search, search_of
from dualpt.sweeps.comparison.values import Grid
from dualpt.sweeps.planning.data_notes import DataNotes


@dataclass(frozen=True)
class Selection:
    """Comparable cells and the grid that they are compared on."""

    cells: pd.DataFrame
    protocol: str
    datasets: tuple[str, ...]
    """In the field's order of columns."""
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    rules: tuple[str, ...] = ()
    """By which images settings were selected and options chosen (`core.selection_rules`); several only where mixed."""
    draws: tuple[str, ...] = ()
    """How many images of each class were drawn (`data.draw`); several where a sweep compares them, or if mixed."""
    searches: Mapping[str, Search] = field(default_factory=dict)
    """Sweep -> the candidates that its selected setting was chosen from."""
    remarks: tuple[str, ...] = ()
    """Which sweeps are unfinished, what was recorded of their datasets, whose transport plans have not converged."""

    @property
    def grid(self) -> Grid:
        return Grid(self.datasets, self.seeds)


def select(
    frames: dict[str, pd.DataFrame],
    *,
    protocol: str | None = None,
    common: bool = False,
    mix_selections: bool = False,
) -> Selection:
    """Put the cells of one or several sweeps into one frame that a table can be made from.

    Args:
        frames: sweep name -> its cells.
        protocol: needed where the sweeps hold cells of several.
        common: compare several sweeps on the datasets, shots and seeds that all of them cover.
        mix_selections: compare sweeps whose settings were selected by different images, or whose draws differ in kind.

    Raises:
        UserError: a sweep without comparable cells, several protocols, selections or kinds of draws, or grids that
            differ.
    """
    chosen = {name: _of_protocol(name, frame, protocol) for name, frame in frames.items()}
    protocols = {name: str(cells["protocol"].iloc[0]) for name, cells in chosen.items()}
    if len(set(protocols.values())) > 1:
        found = ", ".join(f"'{name}' has {word}" for name, word in protocols.items())
        raise UserError(f"the sweeps differ in protocol ({found}): compare one with --protocol, or fewer sweeps")
    rules = {name: own for name, cells in chosen.items() if (own := _rules(cells))}
    draws = {name: own for name, cells in chosen.items() if (own := _draws(cells))}
    if not mix_selections:
        _refuse_mixed(rules, "selection", ", and one saw more images than another")
        _refuse_mixed(draws, "how classes are drawn")
    grids = {name: grid_of(cells) for name, cells in chosen.items()}
    if len(grids) > 1:
        chosen = _on_common_grid(chosen, grids) if common else _on_equal_grids(chosen, grids)
    cells = pd.concat(_renamed(chosen).values(), ignore_index=True)
    datasets, shots, seeds = grid_of(cells)
    remarks = [remark for name, frame in frames.items() for remark in _unfinished(name, frame)]
    remarks += dict.fromkeys(line for frame in frames.values() for line in _data_notes(frame, datasets))
    if PLAN_ERROR in cells:
        measured = cells[cells[PLAN_ERROR].notna()]
        remarks += error_remarks(zip(measured["trial"].map(str), measured[PLAN_ERROR].map(float), strict=True))
    shown = next(iter(protocols.values()))
    return Selection(
        cells,
        protocol=shown,
        datasets=tuple(datasets),
        shots=tuple(shots),
        seeds=tuple(seeds),
        rules=tuple(sorted({word for own in rules.values() for word in own})),
        draws=tuple(sorted({word for own in draws.values() for word in own})),
        searches={name: search_of(frame, shown) for name, frame in frames.items()},
        remarks=tuple(remarks),
    )


def _refuse_mixed(words: Mapping[str, tuple[str, ...]], what: str, so: str = "") -> None:
    """
    Args:
        words: sweep name -> what it has.
        what: in which the sweeps differ, and `so`, what follows from it.

    Raises:
        UserError: they differ.
    """
    if len(set(words.values())) > 1:
        found = ", ".join(f"'{name}' has {' and '.join(own)}" for name, own in words.items())
        raise UserError(
            f"the sweeps differ in {what} ({found}){so}: compare fewer sweeps, or set them side by side with "
            "--mix-selections"
        )


def _of_protocol(name: str, frame: pd.DataFrame, protocol: str | None) -> pd.DataFrame:
    cells = comparable_cells(frame)
    if cells.empty:
        raise UserError(f"sweep '{name}' has no cell of a baseline or of its selected setting yet (`dualpt status`)")
    recorded = sorted(set(cells["protocol"]))
    if protocol is None and len(recorded) > 1:
        raise UserError(f"sweep '{name}' holds cells of {' and '.join(recorded)}: choose one with --protocol")
    if protocol is not None and protocol not in recorded:
        raise UserError(f"--protocol: sweep '{name}' holds no cell of {protocol} (recorded: {', '.join(recorded)})")
    return cells[cells["protocol"] == (protocol or recorded[0])]


def _rules(cells: pd.DataFrame) -> tuple[str, ...]:
    """How a sweep selects; a fixed recipe beside what was selected selects nothing. Empty where nothing is trained."""
    if "selection" not in cells:
        return ("validation",)
    found = {str(rule) for rule in cells["selection"].dropna()}
    return tuple(sorted(found - {"none"} or found))


def _draws(cells: pd.DataFrame) -> tuple[str, ...]:
    """How its classes are drawn; empty where nothing is trained."""
    return tuple(sorted(set(cells["draw"].dropna()))) if "draw" in cells else ("standard",)


Axes = tuple[list[str], list[int], list[int]]
AXES = ("datasets", "shots", "seeds")


def _on_equal_grids(chosen: dict[str, pd.DataFrame], grids: dict[str, Axes]) -> dict[str, pd.DataFrame]:
    """Refuse grids that differ, with what differs."""
    first, *others = grids
    for other in others:
        pairs: zip[tuple[str, list[Any], list[Any]]] = zip(AXES, grids[first], grids[other], strict=True)
        for axis, own, theirs in pairs:
            if set(own) != set(theirs):
                only = [
                    f"only '{name}' has {', '.join(map(str, members))}"
                    for name, members in (
                        (first, [x for x in own if x not in theirs]),
                        (other, [x for x in theirs if x not in own]),
                    )
                    if members
                ]
                raise UserError(
                    f"the sweeps differ in {axis}: {'; '.join(only)} (--common compares on what all of them cover)"
                )
    return chosen


def _on_common_grid(chosen: dict[str, pd.DataFrame], grids: dict[str, Axes]) -> dict[str, pd.DataFrame]:
    shared = {axis: set.intersection(*(set(grid[i]) for grid in grids.values())) for i, axis in enumerate(AXES)}
    for axis, members in shared.items():
        if not members:
            raise UserError(f"--common: the sweeps share no {axis}")
    columns = (("dataset", shared["datasets"]), ("shots", shared["shots"] | {0}), ("seed", shared["seeds"] | {0}))
    for column, members in columns:
        chosen = {name: cells[cells[column].isin(members)] for name, cells in chosen.items()}
    return chosen


def _renamed(chosen: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tell namesakes apart by their sweep; the very same cells, which one sweep took from the other, stand once."""
    keys: dict[str, dict[str, frozenset[str]]] = {}
    for sweep, cells in chosen.items():
        for trial, own in cells.groupby("trial"):
            keys.setdefault(str(trial), {})[sweep] = frozenset(own["key"])
    renamed = {}
    for sweep, cells in chosen.items():
        kept = []
        for trial, own in cells.groupby("trial", sort=False):
            holders = keys[str(trial)]
            same = len(set(holders.values())) == 1
            if same and sweep != next(iter(holders)):
                continue
            kept.append(own if same else own.assign(trial=of_sweep(str(trial), sweep)))
        renamed[sweep] = pd.concat(kept) if kept else cells.iloc[:0]
    return renamed


def _data_notes(frame: pd.DataFrame, datasets: Sequence[str]) -> list[str]:
    """What a sweep recorded of the datasets shown; nothing where the frame is of cells alone."""
    noted: DataNotes | None = frame.attrs.get(DATA_NOTES)
    if noted is None:
        return []
    return DataNotes(noted.titles, {name: noted.notes[name] for name in datasets if name in noted.notes}).lines()


def _unfinished(name: str, frame: pd.DataFrame) -> Sequence[str]:
    """What is still running, failed or not begun, where something is."""
    words = {"RUNNING": "running", "KILLED": "killed", "FAILED": "failed", "MISSING": "never begun"}
    counts = {word: int((frame["status"] == status).sum()) for status, word in words.items()}
    open_cells = [f"{count} {word}" for word, count in counts.items() if count]
    return [f"sweep '{name}' is unfinished: cells {', '.join(open_cells)}"] if open_cells else []
