"""What a reader of a sweep's results must know of its data: said before training, and recorded for tables.

A search needs validation images to select by, and pays no attention to classes that have none. Copies of images in
training and test raise accuracy. Titles of own datasets are known to their data root alone, which tables do without.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dualpt.core.cell import Cell
from dualpt.core.clip.weights import MINI_CLIP
from dualpt.core.config.setting import Setting
from dualpt.core.data.checking.duplicates import find_duplicates
from dualpt.core.data.checking.validation import validation_of
from dualpt.core.data.digests import shared_index
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs, Dataset
from dualpt.core.method_catalog import CATALOGUE
from dualpt.core.selection_rules import divides
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.console import counted
from dualpt.sweeps.planning.plan import SweepPlan, grid_cells, judged_cells
from dualpt.sweeps.records import MethodTitle


@dataclass(frozen=True)
class DataNotes:
    """What is recorded of a sweep's datasets, by registry name, and of the user's own methods."""

    titles: Mapping[str, str] = field(default_factory=dict)
    """Column titles of the user's own datasets."""
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What a reader of their results must know."""
    judged: tuple[int, int] | None = None
    """Fewest and most validation images by which a candidate is judged in one cell; None without a search."""
    methods: Mapping[str, MethodTitle] = field(default_factory=dict)
    """What tables call the user's own methods, by the names of their trials."""

    def lines(self) -> list[str]:
        """All notes, each once with the titles of the datasets that it is about."""
        about: defaultdict[str, list[str]] = defaultdict(list)
        for name, notes in self.notes.items():
            for note in notes:
                about[note].append(self.titles.get(name, name))
        return [f"{', '.join(titles)}: {note}" for note, titles in about.items()]

    def recorded(self, before: str) -> str:
        """The text to record, beside what earlier launches recorded of other datasets."""
        known = read_data_notes(before)
        content: dict[str, Any] = {
            "titles": {**known.titles, **self.titles},
            "notes": {**known.notes, **self.notes},
            "judged": self.judged or known.judged,
            "methods": {**known.methods, **self.methods},
        }
        return json.dumps(content, ensure_ascii=False) if any(content.values()) else ""


OF_DRAWINGS = f"encoded by {MINI_CLIP}, which has seen drawings alone; name a CLIP of photographs in backbone.name"
"""Said of real images: their numbers would look like a benchmark's."""

ReadNotes = Callable[[LoadedSweep, SweepPlan], DataNotes]


def read_data_notes(text: str) -> DataNotes:
    """What `DataNotes.recorded` wrote; nothing for an empty text."""
    content = json.loads(text) if text else {}
    judged = content.get("judged")
    methods = {name: MethodTitle(*titles) for name, titles in content.get("methods", {}).items()}
    return DataNotes(content.get("titles", {}), content.get("notes", {}), tuple(judged) if judged else None, methods)


def data_notes(sweep: LoadedSweep, plan: SweepPlan) -> DataNotes:
    """Look at a sweep's datasets: their splits and draws, and the content of those images whose digests are known.

    Raises:
        UserError: a search over cells without any validation image; a split that cannot be read.
    """
    judging = _judging_cells(sweep)
    cells = [*(cell for baseline in plan.baselines for cell in baseline.cells), *judging]
    if sweep.file.search is not None:
        cells += grid_cells(sweep, sweep.reference)
    notes: defaultdict[str, dict[str, None]] = defaultdict(dict)
    counts = []
    for inputs in map(CellInputs, judging):
        count, note = _validation_images(inputs)
        counts.append(count)
        if note:
            notes[inputs.cell.dataset][note] = None
    for cell in _with_most_shots(cells):
        if note := scarce_note(cell):
            notes[cell.dataset][note] = None
    titles: dict[str, str] = {}
    for dataset, backbones in _backbones_by_dataset(cells).items():
        if dataset.info.kind == "own" and dataset.info.title != dataset.name:
            titles[dataset.name] = dataset.info.title
        notes[dataset.name] |= dict.fromkeys(_dataset_notes(dataset, backbones))
    said = {name: tuple(lines) for name, lines in notes.items()}
    methods = {one.name: title for one in plan.baselines if (title := _own_title(one.setting)) is not None}
    return DataNotes(titles, said, (min(counts), max(counts)) if counts else None, methods)


def _validation_images(inputs: CellInputs) -> tuple[int, str]:
    """How many images a cell's validation accuracy is measured on, and what to say of them; empty for nothing.

    Raises:
        UserError: none.
    """
    held_out = tuple(item for division in inputs.judging for item in division.val)
    validation = validation_of(replace(inputs.data, val=held_out or inputs.data.val))
    if validation.n_images == 0:
        raise _nothing_to_select_by(inputs.cell)
    note = validation.note(inputs.class_names("train"))
    return validation.n_images, f"at {counted(inputs.cell.shots, 'shot')}, {note}" if note else ""


def _backbones_by_dataset(cells: Sequence[Cell]) -> dict[Dataset, set[str]]:
    """Every dataset that the cells train or test on, with the names of the backbones that encode it."""
    found: defaultdict[Dataset, set[str]] = defaultdict(set)
    for cell in cells:
        for dataset in CellInputs(cell).datasets.values():
            found[dataset].add(cell.setting.backbone.name)
    return found


def _dataset_notes(dataset: Dataset, backbones: Collection[str]) -> list[str]:
    """What to say of a dataset itself: of its split, of what encodes it, of copies among its images."""
    split = dataset.split
    notes = [split.note] if split.note else []
    if MINI_CLIP in backbones and dataset.info.kind == "real" and not dataset.is_imported:
        notes.append(OF_DRAWINGS)
    paths = list(dict.fromkeys(item.path for item in (*split.train, *split.val, *split.test)))
    digests = shared_index().known(dataset.image_root, paths)
    return [*notes, *find_duplicates(split, digests).notes()]


def _with_most_shots(cells: Sequence[Cell]) -> list[Cell]:
    """One cell per dataset and protocol, of those that draw the most images."""
    most: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        place = (cell.dataset, cell.protocol)
        if cell.shots > most.get(place, cell).shots or (cell.shots and place not in most):
            most[place] = cell
    return list(most.values())


def scarce_note(cell: Cell) -> str:
    """What to say of classes with other numbers of training images than the shots; empty where none has."""
    if not cell.shots:
        return ""
    inputs = CellInputs(cell)
    drawn = Counter(item.label for item in inputs.data.train)
    if cell.setting.data.draw != "standard":
        return _uneven_note(cell, [drawn[label] for label in range(len(inputs.class_names("train")))])
    fewer = [count for count in drawn.values() if count < cell.shots]
    if not fewer:
        return ""
    fewest, most = min(fewer), max(fewer)
    counts = str(most) if fewest == most else f"{fewest} to {most}"
    return (
        f"{len(fewer)} of {len(drawn)} classes have fewer than {cell.shots} training images; all {counts} of each are "
        "taken"
    )


def _uneven_note(cell: Cell, counts: Sequence[int]) -> str:
    """What a draw in proportion to the classes is; empty where it is as many of each.

    Args:
        counts: training images of each class.
    """
    if set(counts) == {cell.shots}:
        return ""
    wanted, drawn, lacking = cell.shots * len(counts), sum(counts), counts.count(0)
    total = f"{drawn} training images" + (f" (all there are; {wanted} were asked for)" if drawn < wanted else "")
    none = f"; {lacking} of {len(counts)} classes have none" if lacking else ""
    return (
        f"{cell.setting.data.draw} draw at {cell.shots} shots: {total}, {min(counts)} to {max(counts)} of a class{none}"
    )


def _own_title(setting: Setting) -> MethodTitle | None:
    """What tables call a method that doesn't ship; None for others."""
    if not setting.fits_features or setting.method_name in CATALOGUE:
        return None
    definition = setting.definition.definition
    return MethodTitle(definition.title, definition.short_title, getattr(definition, "group", "adapter"))


def _judging_cells(sweep: LoadedSweep) -> list[Cell]:
    """The cells whose validation accuracy selects."""
    if not sweep.file.searches_shots:
        return list(judged_cells(sweep, sweep.reference))
    return [cell for shots in sweep.file.grid.shots for cell in judged_cells(sweep, sweep.reference, shots)]


def _nothing_to_select_by(cell: Cell) -> UserError:
    if divides(cell.selection):
        return UserError(
            f"search: no class of {cell.dataset} has two training images to divide, and selection {cell.selection} "
            "has nothing to select by; leave it out of search.datasets"
        )
    return UserError(
        f"search: {cell.dataset} has no validation image at {counted(cell.shots, 'shot')}, and nothing to "
        "select by: its split lists none and training takes every image; add images to 'val', search at fewer shots "
        "(search.shots), or leave it out of search.datasets"
    )
