"""What a report says besides tables of results: what is missing, what failed, what it cost, where numbers come from.

All of it is aggregated here from `CellRow`s, so a page of 5,000 cells stays light. Rows of tables are
`Row = tuple[Text, ...]`: what is shown, and what it is sorted by.
"""

import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from dualpt.core.data.catalog import MINI_GRID, REAL_GRID
from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps import records
from dualpt.sweeps.comparison.labels import column_title, is_selected, method_title
from dualpt.sweeps.comparison.searched.candidate_ranks import searched_keys
from dualpt.sweeps.comparison.selection_basis import SelectionBasis
from dualpt.sweeps.console import counted, readable_seconds
from dualpt.sweeps.ledger.launch_record import record_from
from dualpt.sweeps.planning.declared import MissingCell
from dualpt.sweeps.records import CellRow

Cell = TypeVar("Cell", CellRow, CellRow | MissingCell)


class Text(NamedTuple):
    """One entry of a table."""

    shown: str
    sort: float | str
    """What the page sorts by."""
    share: float | None = None
    """0..1 where the entry is drawn as a bar or tinted, else None."""
    mark: str = ""
    """`best`, `second`, `fault` or empty."""


@dataclass(frozen=True)
class Table:
    """One table of the page."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[Text, ...]]
    notes: tuple[str, ...] = ()
    numeric_from: int = 1
    """The first column of numbers, which stand at the right."""
    filters: bool = False
    """Whether the page offers to filter its rows."""
    kept: int = 1
    """Columns at the left that stay in view: 1 or 2."""


def word(value: object) -> Text:
    return Text(str(value), str(value).casefold())


def number(value: float | None, form: str = "{:.1f}", **more: Any) -> Text:
    """A number as `form` shows it; a dash that sorts below all numbers where there is none."""
    return Text("–", float("-inf")) if value is None else Text(form.format(value), float(value), **more)


def coverage(rows: Sequence[CellRow | MissingCell]) -> Table:
    """Finished of expected cells, methods by datasets; expected is the grid that the cells span.

    Args:
        rows: recorded cells, and declared ones that never began.
    """
    shown = [row for row in rows if row.kind != "search"]
    datasets = _ordered(row.dataset for row in shown)
    expected: dict[str, int] = {}
    for protocol in {row.protocol for row in shown}:
        drawn = [row for row in shown if row.protocol == protocol and row.shots]
        n = len({row.shots for row in drawn}) * len({row.seed for row in drawn})
        expected[protocol] = n
    lines = []
    for (trial, protocol), own in _groups(shown, lambda row: (row.trial, row.protocol)).items():
        done = Counter(row.dataset for row in own if row.finished)
        untrained = not any(row.shots for row in own)
        wanted = 1 if untrained else _spanned(own, expected[protocol])
        entries = [_share(done[dataset], wanted) for dataset in datasets]
        total = _share(sum(done[d] for d in datasets), wanted * len(datasets))
        lines.append((word(_with_protocol(trial, protocol, len(expected) > 1)), total, *entries))
    missing = sum(int(row[1].shown.split("/")[1]) - int(row[1].shown.split("/")[0]) for row in lines)
    note = f"without a finished result: {counted(missing, 'cell')} of the grid" if missing else "every cell is finished"
    heads = ("method", "all", *map(column_title, datasets))
    return Table("Finished cells", heads, lines, (f"finished / expected; {note}",))


def _spanned(own: Sequence[CellRow | MissingCell], grid: int) -> int:
    """Cells a dataset that a trial should have: with searched shots, a selected setting runs at its own shots only."""
    if all(row.kind == "best" and row.trial != "best" for row in own):
        return max(Counter(row.dataset for row in own).values())
    return grid


def _share(done: int, expected: int) -> Text:
    share = min(1.0, done / expected) if expected else 1.0
    return Text(f"{done}/{expected}", share, share, "" if done >= expected else "fault")


UNFINISHED = {"KILLED": "cut off", "RUNNING": "still running, or cut off", "MISSING": "never begun"}
"""Status -> why there is no result, where no reason is recorded."""


def failures(rows: Sequence[CellRow | MissingCell]) -> Table:
    """Cells that did not finish, with the reason, grouped where reason and trial are the same."""
    groups = _groups([row for row in rows if not row.finished], lambda r: (r.trial, r.status, r.failure or ""))
    lines = [
        (
            word(method_title(trial)),
            word(status.lower()),
            number(len(own), "{:.0f}"),
            word(", ".join(column_title(d) for d in _ordered(row.dataset for row in own))),
            word(reason or UNFINISHED.get(status, "no reason")),
        )
        for (trial, status, reason), own in groups.items()
    ]
    return Table("Cells without a result", ("method", "status", "cells", "datasets", "reason"), lines, numeric_from=5)


def costs(rows: Sequence[CellRow]) -> list[Table]:
    """Seconds by dataset and by trial; cells whose numbers were reused cost nothing here."""
    paid = [row for row in rows if row.reused_from is None]
    total = sum(row.seconds for row in paid)
    notes = (
        f"{readable_seconds(total)} of work by all workers; "
        f"{len(rows) - len(paid)} of {len(rows)} cells were reused from other trials and cost nothing",
        "a cell's seconds are its share of the wall time of the pack it was trained in",
    )
    tables = []
    for title, of in (("dataset", lambda row: row.dataset), ("trial", lambda row: row.trial)):
        groups = _groups(paid, of)
        most = max((sum(r.seconds for r in own) for own in groups.values()), default=0.0)
        lines = [
            (
                word(column_title(name) if title == "dataset" else method_title(name)),
                number(len(own), "{:.0f}"),
                number(seconds := sum(r.seconds for r in own), "{:.1f}", share=seconds / most if most else 0.0),
                number(seconds / len(own), "{:.2f}"),
            )
            for name, own in groups.items()
        ]
        lines.sort(key=lambda line: -float(line[2].sort))
        heads = (title, "cells", "seconds", "seconds a cell")
        tables.append(Table(f"Cost by {title}", heads, lines, notes if title == "dataset" else ()))
    return tables


def candidates(
    rows: Sequence[CellRow], selected: str | None, basis: SelectionBasis | None = None, launched: str = ""
) -> Table | None:
    """Candidates by mean validation accuracy, with every searched key. Test accuracy is not shown.

    Args:
        launched: `SweepRow.launched`.
        basis: what the accuracy of the selected one rests on.
    """
    groups = _groups([row for row in rows if row.kind == "search"], lambda row: row.trial)
    if not groups:
        return None
    keys = searched_keys(record_from(launched), {name: own[0].params for name, own in groups.items()})
    most = max(len(own) for own in groups.values())
    lines = []
    for name, own in groups.items():
        value = _mean_over_datasets(own, VAL_ACCURACY)
        mark = "best" if name == selected else ""
        settings = [_setting(own[0].params.get(key)) for key in keys]
        counted = _share(sum(row.finished for row in own), most)._replace(share=None)
        lines.append((Text(name, name, mark=mark), number(value, "{:.1f}", mark=mark), counted, *settings))
    lines.sort(key=lambda line: -float(line[1].sort))
    notes: tuple[str, ...] = (
        "candidates are judged and selected on validation accuracy, in percent, the mean over datasets; test accuracy "
        "takes no part and is not shown",
        "a setting's blank: it does not matter beside the candidate's other values",
    )
    if basis is not None:
        notes += (f"the selected one's accuracy is the {basis}: a maximum, and so likely too high",)
    return Table("Candidates", ("trial", "val/accuracy", "cells", *keys), lines, notes, kept=2)


def varied(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys in which settings differ, in the order of the configuration."""
    keys = (*records.recorded_keys(settings), records.SHOTS_PARAM)
    return [key for key in keys if len({one.get(key) for one in settings}) > 1]


def setting_table(rows: Sequence[CellRow]) -> Table:
    """Every active key of every method over the whole grid."""
    recorded = {row.trial: row.params for row in rows if row.kind != "search"}
    trials = dict(sorted(recorded.items(), key=lambda trial: not is_selected(trial[0])))  # the winner's column first
    known = records.recorded_keys(trials.values())
    keys = [key for key in known if any(key in params for params in trials.values())]
    lines = []
    for key in keys:
        values = {params.get(key, "") for params in trials.values()}
        mark = "best" if len(values) > 1 else ""
        lines.append((Text(key, key, mark=mark), *(_setting(params.get(key)) for params in trials.values())))
    heads = ("key", *map(method_title, trials))
    notes = ("keys in which methods differ are bold; a blank does not matter there",)
    kept = 2 if any(map(is_selected, trials)) else 1
    return Table("Values by method", heads, lines, notes, numeric_from=len(heads), kept=kept)


def provenance(rows: Sequence[CellRow]) -> Table:
    """What the numbers were computed with, and for how many finished cells."""
    titles = {
        records.SOFTWARE_TAG: "software",
        records.DEVICE_TAG: "device",
        records.NUMERICS_TAG: "numerics version",
        records.WEIGHTS_TAG: "weights (SHA-256)",
    }
    finished = [row for row in rows if row.finished]
    lines = []
    for tag, title in titles.items():
        for value, n in Counter(row.origin.get(tag, "not recorded") for row in finished).most_common():
            lines.append((word(title), word(value), number(n, "{:.0f}")))
    mixed = [titles[tag] for tag in titles if len({row.origin.get(tag) for row in finished}) > 1]
    notes = (f"cells differ in {' and '.join(mixed)}: compare them with care",) if mixed else ()
    return Table("Computed with", ("what", "value", "finished cells"), lines, notes, numeric_from=2)


def samples(rows: Sequence[CellRow]) -> Table:
    """The fingerprint of each few-shot sample; two for one place say that the data changed in between."""
    places: dict[tuple[str, str, int, int], set[str]] = defaultdict(set)
    for row in rows:
        if row.finished and (sample := row.origin.get(records.SAMPLE_TAG)):
            places[row.dataset, row.protocol, row.shots, row.seed].add(sample)
    lines = [
        (
            word(column_title(dataset)),
            word(protocol),
            number(shots, "{:.0f}"),
            number(seed, "{:.0f}"),
            Text(", ".join(sorted(found)), ",".join(sorted(found)), mark="fault" if len(found) > 1 else ""),
        )
        for (dataset, protocol, shots, seed), found in sorted(places.items())
    ]
    changed = sum(len(found) > 1 for found in places.values())
    notes = (f"{changed} samples differ between cells of one place: the data changed in between",) if changed else ()
    return Table("Few-shot samples", ("dataset", "protocol", "shots", "seed", "SHA-256 of the draw"), lines, notes, 5)


@dataclass(frozen=True)
class Totals:
    """The figures at the head of the page."""

    cells: int
    finished: int
    failed: int
    unfinished: int
    """Killed or still running."""
    missing: int
    """Declared and never begun; not among `cells`."""
    reused: int
    seconds: float
    datasets: int
    shots: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()


def totals(rows: Sequence[CellRow], missing: Sequence[MissingCell] = ()) -> Totals:
    statuses = Counter(row.status for row in rows)
    drawn = [row for row in rows if row.shots]
    return Totals(
        cells=len(rows),
        finished=statuses["FINISHED"],
        failed=statuses["FAILED"],
        unfinished=statuses["KILLED"] + statuses["RUNNING"],
        missing=len(missing),
        reused=sum(row.reused_from is not None for row in rows),
        seconds=sum(row.seconds for row in rows if row.reused_from is None),
        datasets=len({row.dataset for row in rows} | {cell.dataset for cell in missing}),
        shots=tuple(sorted({row.shots for row in drawn})),
        seeds=tuple(sorted({row.seed for row in drawn})),
    )


def _mean_over_datasets(own: Iterable[CellRow], metric: str) -> float | None:
    by_dataset = _groups([row for row in own if row.finished and metric in row.metrics], lambda row: row.dataset)
    means = [statistics.fmean(row.metrics[metric] for row in cells) for cells in by_dataset.values()]
    return statistics.fmean(means) if means else None


def _setting(value: str | None) -> Text:
    """A value of a setting, sorted as a number where it is one and shown with four digits."""
    if value is None:
        return Text("", "")
    try:
        parsed = float(value)
    except ValueError:
        return word(value)
    return Text(f"{parsed:.4g}", parsed)


def _groups(rows: Iterable[Cell], of: Callable[[Cell], Any]) -> dict[Any, list[Cell]]:
    groups: dict[Any, list[Cell]] = {}
    for row in rows:
        groups.setdefault(of(row), []).append(row)
    return groups


def _ordered(datasets: Iterable[str]) -> list[str]:
    """The field's order of columns, others after it."""
    order = {name: place for place, name in enumerate(itertools.chain(REAL_GRID, MINI_GRID))}
    return sorted(dict.fromkeys(datasets), key=lambda name: order.get(name, len(order)))


def _with_protocol(trial: str, protocol: str, several: bool) -> str:
    return f"{method_title(trial)} ({protocol})" if several else method_title(trial)
