"""`dualpt figure`: one kind of figure from the recorded cells of one or several sweeps."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from dualpt.core.errors import UserError, nearest
from dualpt.core.results import BASE_ACCURACY, measure_of
from dualpt.sweeps.comparison.candidate_frame import candidates_frame
from dualpt.sweeps.comparison.claims import paired_results
from dualpt.sweeps.comparison.compare import check_metric, own_metric
from dualpt.sweeps.comparison.figures import curves, methods, search, training
from dualpt.sweeps.comparison.figures.style import check_path, save
from dualpt.sweeps.comparison.frames import finished_shots, read_frame
from dualpt.sweeps.comparison.imported.import_beside import NOTHING_IMPORTED, Imported, imported_for
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.published import BACKBONE_PARAMS
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.statistics import rank_methods
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.comparison.tables.table import shots_text
from dualpt.sweeps.comparison.values import check_finished
from dualpt.sweeps.console import say_whole
from dualpt.sweeps.ledger.launch_record import log_keys
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.outputs import STDOUT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LossCurves = Callable[[Sequence[str]], Mapping[str, Sequence[tuple[int, float]]]]
"""Runs -> their losses by epoch (`SweepReader.loss_curves`)."""
ONE_SWEEP = ("parallel", "slices", "importance", "training")
"""Kinds that show one sweep alone."""


def draw(
    console: Console,
    kind: str,
    names: Sequence[str],
    output: Path,
    *,
    shots: int | None = None,
    metric: str | None = None,
    protocol: str | None = None,
    common: bool = False,
    mix_selections: bool = False,
    imported: Sequence[Path] = (),
    form: str | None = None,
    store: str,
    study: str,
) -> None:
    """Draw a figure and write it, PNG, PDF or SVG by `form` or the suffix; `-` is stdout.

    Raises:
        UserError: an unknown suffix or format, or a fault that `drawn` finds.
    """
    _check_kind(kind)
    check_path(output, "--output", form)
    figure = drawn(
        kind,
        names,
        shots=shots,
        protocol=protocol,
        common=common,
        mix_selections=mix_selections,
        metric=metric,
        imported=imported,
        store=store,
        study=study,
    )
    if save(figure, output, form=form) != STDOUT:
        say_whole(console, f"figure: {output}")


def drawn(
    kind: str,
    names: Sequence[str],
    *,
    shots: int | None = None,
    protocol: str | None = None,
    common: bool = False,
    mix_selections: bool = False,
    metric: str | None = None,
    imported: Sequence[Path] = (),
    store: str,
    study: str,
) -> "Figure":
    """A figure of recorded sweeps.

    Args:
        imported: files and folders of other tools, whose results curves show, too (`imported_for`).

    Raises:
        UserError: an unknown kind, metric, store or sweep, several sweeps where one is shown, a metric where the kind
            has its own, or nothing to draw.
    """
    _check_kind(kind)
    check_metric_of(kind, metric)
    if imported and kind != "curves":
        raise UserError(f"--imported: only curves show results of other tools, and '{kind}' uses ours alone")
    if kind in ONE_SWEEP and len(names) > 1:
        raise UserError(f"'{kind}' shows one sweep; name one of {', '.join(names)}")
    if kind == "importance":
        return _importance(names[0], study)
    if kind in ("parallel", "slices"):
        candidates = candidates_frame(read_frame(names[0], store, None), searched_by_log(names[0], store))
        return (search.parallel_coordinates if kind == "parallel" else search.slices)(candidates)
    params = BACKBONE_PARAMS if imported else ()
    frames = {name: read_frame(name, store, params) for name in dict.fromkeys(names)}
    selection = select(frames, protocol=protocol, common=common, mix_selections=mix_selections)
    if kind == "training":
        return training_figure(selection, open_reader(store).loss_curves, shots)
    if imported:
        return curves_figure(selection, shots, metric, imported_for(selection, imported))
    return COMPARISONS[kind](selection, shots, metric)


def searched_by_log(name: str, store: str) -> frozenset[str]:
    """The keys that a sweep searched on a logarithmic scale."""
    reader = open_reader(store)
    row = reader.sweep_row(reader.named_experiment(name))
    return frozenset() if row is None else log_keys(row.launched)


def check_metric_of(kind: str, metric: str | None) -> None:
    """Refuse a metric that does not exist, and any where the kind of figure has its own.

    Raises:
        UserError: as said, in one line.
    """
    check_metric(metric)
    if metric is not None and kind not in OF_ANY_METRIC:
        raise UserError(f"--metric: '{kind}' has its own; remove it, or draw {', '.join(OF_ANY_METRIC)}")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UserError(f"unknown figure '{kind}'{nearest(kind, KINDS)} (known: {', '.join(KINDS)})")


def _shots_of(selection: Selection, shots: int | None, metric: str) -> int:
    """The shots asked for, or the largest finished number."""
    chosen = shots if shots is not None else max(finished_shots(selection.cells, metric), default=0)
    check_finished(selection.cells, chosen, metric)
    return chosen


def curves_figure(
    selection: Selection, shots: int | None, metric: str | None, imported: Imported = NOTHING_IMPORTED
) -> "Figure":
    """Few-shot curves, with those of other tools."""
    if shots is not None:
        raise UserError("--shots: curves show every number of shots; remove it")
    shown = metric or own_metric(selection.protocol)
    return curves.few_shot_curves(selection.cells, selection.grid, metric=shown, imported=imported)


def _scatter(selection: Selection, shots: int | None, metric: str | None) -> "Figure":
    if selection.protocol != "base-to-new":
        raise UserError(f"'scatter' shows base against new accuracy, and these cells are of {selection.protocol}")
    at = _shots_of(selection, shots, BASE_ACCURACY)
    return methods.base_new_scatter(selection.cells, selection.grid, shots=at)


def _radar(selection: Selection, shots: int | None, metric: str | None) -> "Figure":
    shown = metric or own_metric(selection.protocol)
    at = _shots_of(selection, shots, shown)
    return methods.radar(selection.cells, selection.grid, shots=at, metric=shown)


def _pareto(selection: Selection, shots: int | None, metric: str | None) -> "Figure":
    if shots is not None:
        raise UserError("--shots: the front is over every number of shots; remove it")
    shown = metric or own_metric(selection.protocol)
    return methods.shots_pareto(selection.cells, selection.grid, metric=shown)


def _ranks(selection: Selection, shots: int | None, metric: str | None) -> "Figure":
    shown = metric or own_metric(selection.protocol)
    at = _shots_of(selection, shots, shown)
    results, _ = paired_results(selection.cells, selection.grid, shots=at, metric=shown)
    if len(results) < 3 or len(selection.datasets) < 2:
        raise UserError("ranks need at least three methods without missing cells, on two datasets or more")
    ranks = rank_methods(results, lower_is_better=measure_of(shown).lower_is_better)
    return methods.critical_difference(ranks, title=f"{shown} at {shots_text(at)}")


def training_figure(selection: Selection, loss_curves: LossCurves, shots: int | None = None) -> "Figure":
    """Losses over epochs at a number of shots, the largest finished by default.

    Raises:
        UserError: no finished cell at these shots, or none with a curve.
    """
    metric, cells = own_metric(selection.protocol), selection.cells
    at = _shots_of(selection, shots, metric)
    averages = comparison(cells, selection.grid, shots=at, metric=metric).means(AVERAGE)
    shown = cells[(cells["shots"] == at) & (cells["status"] == "FINISHED")]
    shown = shown.sort_values("dataset", key=lambda names: names.map(selection.datasets.index))
    sources = shown["reused_from"].astype(object).fillna(shown["run_id"]).tolist()  # a column of NaN is of numbers
    curves = loss_curves(sources)
    found: dict[tuple[str, str], list[training.Curve]] = {}
    for method, dataset, source in zip(shown["trial"], shown["dataset"], sources, strict=True):
        if len(curve := curves[source]) > 1:
            found.setdefault((method, dataset), []).append(curve)
    return training.training_curves(
        found, averages=averages, title=f"{shots_text(at)}; means over seeds, bands are their range"
    )


def _importance(name: str, study: str) -> "Figure":
    from dualpt.sweeps.search import parameter_importances

    found = parameter_importances(name, study)
    return search.importances(found.shares, judged=found.judged, doubtful=found.doubtful)


COMPARISONS: dict[str, Callable[[Selection, int | None, str | None], "Figure"]] = {
    "curves": curves_figure,
    "scatter": _scatter,
    "radar": _radar,
    "pareto": _pareto,
    "ranks": _ranks,
}
OF_ANY_METRIC = ("curves", "radar", "pareto", "ranks")
"""Kinds that show whatever metric is asked for."""
KINDS = (*COMPARISONS, *ONE_SWEEP)
