"""Figures: what is drawn, what is refused; every kind is written through the command's own function."""

import io
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from rich.console import Console

from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.errors import UserError
from dualpt.core.results import TEST_ACCURACY, VAL_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison import draw
from dualpt.sweeps.comparison.candidate_frame import LOG_KEYS, VALUE, candidates_frame
from dualpt.sweeps.comparison.figures.curves import few_shot_curves
from dualpt.sweeps.comparison.figures.methods import critical_difference, pareto_front, shots_pareto
from dualpt.sweeps.comparison.figures.search import importances, parallel_coordinates, slices
from dualpt.sweeps.comparison.figures.style import MOST_METHODS, axis_label, leading
from dualpt.sweeps.comparison.figures.training import training_curves
from dualpt.sweeps.comparison.labels import method_title
from dualpt.sweeps.comparison.statistics import Ranks
from dualpt.sweeps.comparison.values import Grid
from tests.sweeps.comparison.many_methods import many_methods

DATASETS = ("mini-pets", "mini-cars", "mini-dishes")


def cells(protocol: str = "few-shot") -> pd.DataFrame:
    rows = []
    for number, trial in enumerate(("zero-shot", "coop", "plot", "dualpt")):
        for dataset in DATASETS:
            for shots in (0,) if number == 0 else (1, 4):
                for seed in (0,) if number == 0 else (1, 2):
                    base, new = 60.0 + number + shots + seed / 2, 50.0 - number
                    rows.append(
                        {"sweep": "s", "trial": trial, "kind": "baseline", "dataset": dataset, "protocol": protocol}
                        | {"shots": shots, "seed": seed, "status": "FINISHED", "run_id": "r", "reused_from": None}
                        | {"key": repr((trial, dataset, shots, seed)), TEST_ACCURACY: base, "base/accuracy": base}
                        | {"new/accuracy": new, "harmonic_mean": harmonic_mean(base, new)}
                    )
    return pd.DataFrame(rows)


def candidates() -> pd.DataFrame:
    """Four candidates: two forms, one of which has a parameter of its own; a weight over decades."""
    rows = []
    for number, (form, topk, weight) in enumerate(
        (("topk", "4", "0.1"), ("attention", None, "1.0"), ("topk", "9", "10.0"), ("attention", None, "3.0"))
    ):
        setting = dict.fromkeys(SETTING_KEYS, "1")
        setting |= {"alignment.local_form": form, "alignment.topk": topk, "alignment.llm_weight": weight}
        rows += [
            {"trial": f"trial-{number:03d}", "kind": "search", "status": "FINISHED", "shots": 4, "dataset": dataset}
            | {VAL_ACCURACY: 60.0 + number, **setting}
            for dataset in DATASETS
        ]
    return pd.DataFrame(rows)


def drawn(monkeypatch: pytest.MonkeyPatch, kind: str, frame: pd.DataFrame, path: Path, **options: Any) -> None:
    monkeypatch.setattr(draw, "read_frame", lambda *_: frame)
    monkeypatch.setattr(draw, "searched_by_log", lambda *_: frozenset())
    draw.draw(Console(file=io.StringIO()), kind, ["s"], path, store="none", study="none", **options)


@pytest.mark.parametrize("kind", ["curves", "radar", "pareto", "ranks", "scatter", "parallel", "slices"])
def test_every_kind_is_written(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = candidates() if kind in draw.ONE_SWEEP else cells("base-to-new" if kind == "scatter" else "few-shot")
    drawn(monkeypatch, kind, frame, tmp_path / "new" / f"{kind}.pdf")
    assert (tmp_path / "new" / f"{kind}.pdf").read_bytes().startswith(b"%PDF")
    assert plt.get_fignums() == []


FAULTS = [
    ("curvs", {}, r"unknown figure 'curvs'; did you mean 'curves'\?"),
    ("scatter", {}, "'scatter' shows base against new accuracy, and these cells are of few-shot"),
    ("curves", {"shots": 4}, "--shots: curves show every number of shots"),
    ("radar", {"shots": 2}, r"at 2 shots \(finished shots: \[1, 4\]\)"),
    ("slices", {}, "need at least two judged candidates"),
]


@pytest.mark.parametrize(("kind", "options", "said"), FAULTS, ids=[said[:25] for *_, said in FAULTS])
def test_what_cannot_be_drawn_is_one_line_and_no_file(
    kind: str, options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=said):
        drawn(monkeypatch, kind, cells(), tmp_path / "figure.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"figures are written as \.png, \.pdf or \.svg"):
        draw.draw(Console(), "curves", ["s"], tmp_path / "figure.gif", store="none", study="none")
    with pytest.raises(UserError, match="'slices' shows one sweep; name one of s, t"):
        draw.draw(Console(), "slices", ["s", "t"], tmp_path / "figure.png", store="none", study="none")


def test_candidates_are_a_row_each_with_what_varies() -> None:
    frame = candidates_frame(candidates())
    assert list(frame.columns) == ["alignment.llm_weight", "alignment.local_form", "alignment.topk", VALUE]
    assert frame[VALUE].to_list() == [60, 61, 62, 63]
    assert frame["alignment.topk"].isna().tolist() == [False, True, False, True]
    assert frame["alignment.llm_weight"].to_list() == [0.1, 1.0, 10.0, 3.0]


def test_the_pareto_front_keeps_what_no_fewer_shots_better() -> None:
    assert pareto_front([(4, 65.0), (0, 60.0), (1, 58.0), (16, 65.0), (4, 66.0)]) == [(0, 60.0), (4, 66.0)]


def test_of_errors_the_front_and_the_leading_methods_are_the_lowest() -> None:
    points = [(4, 1.2), (0, 1.5), (1, 1.6), (16, 1.2), (4, 1.1)]
    assert pareto_front(points, lower_is_better=True) == [(0, 1.5), (4, 1.1)]
    averages = {f"method-{i}": float(i) for i in range(MOST_METHODS + 2)}
    assert leading(averages)[-1] == f"method-{MOST_METHODS + 1}"
    assert leading(averages, lower_is_better=True) == list(averages)[:MOST_METHODS]


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("test/accuracy", "test accuracy (%)"),
        ("new/ece", "expected calibration error on new classes (%)"),
        ("target/mean/nll", "negative log-likelihood, mean over targets (nats)"),
        ("target/EuroSAT/balanced_accuracy", "balanced accuracy on EuroSAT (%)"),
    ],
)
def test_every_metric_has_an_axis(metric: str, label: str) -> None:
    assert axis_label(metric) == label


def test_a_kind_with_its_own_metric_refuses_another(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--metric: 'scatter' has its own"):
        draw.draw(Console(), "scatter", ["mine"], tmp_path / "a.png", metric="test/nll", store="none", study="none")


def test_long_names_stay_inside_and_too_many_methods_are_the_leading_ones(tmp_path: Path) -> None:
    frame = pd.concat(
        [cells().assign(trial=f"a variant with a rather long name, which says what it is, {n}") for n in range(20)]
    )
    frame["test/accuracy"] += frame["trial"].str.extract(r"(\d+)$")[0].astype(int)
    for draw_one in (few_shot_curves, shots_pareto):
        figure = draw_one(frame[frame["shots"] > 0], Grid(DATASETS, (1, 2)), metric=TEST_ACCURACY)
        (legend,) = figure.legends
        shown = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
        assert [name for name in shown if name.endswith(("is, 4", "is, 3"))] == [shown[0]]
        assert legend.get_title().get_text() == "the 16 of 20 methods with the best averages"
        figure.draw_without_rendering()
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_a_method_on_the_front_is_shown_whatever_its_average() -> None:
    """Zero-shot is the best at 0 shots, and the last of twenty."""
    frame = pd.concat([cells().query("trial != 'zero-shot'").assign(trial=f"method {n}") for n in range(19)])
    frame = pd.concat([frame, cells().query("trial == 'zero-shot'").assign(**{TEST_ACCURACY: 30.0})])
    figure = shots_pareto(frame, Grid(DATASETS, (1, 2)), metric=TEST_ACCURACY)
    (legend,) = figure.legends
    assert "zero-shot CLIP" in {text.get_text() for text in legend.get_texts()}
    assert legend.get_title().get_text() == "the front and the 16 of 20 methods with the best averages"


def test_ranks_of_many_methods_do_not_run_into_each_other() -> None:
    names = tuple(f"method {n}" for n in range(25))
    figure = critical_difference(Ranks(names, tuple(map(float, range(1, 26))), 11, 9.0, 0.01, 6.0, 0.009, 9.0))
    figure.draw_without_rendering()
    numbers = [text for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert [text.get_text() for text in numbers] == [str(n) for n in range(1, 26, 2)]
    boxes = sorted((text.get_window_extent() for text in numbers), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_training_curves_show_the_best_of_those_that_train() -> None:
    averages = {f"method {n}": float(n) for n in range(20)}
    curves = {(f"method {n}", "mini-pets"): [[(1, 2.0), (2, 1.0)]] for n in range(3)}
    figure = training_curves(curves, averages=averages, title="t")
    assert [line.get_label() for line in figure.axes[0].lines] == ["method 0", "method 1", "method 2"]
    assert figure.legends[0].get_title().get_text() == ""


def test_the_critical_difference_diagram_names_every_method_with_its_rank() -> None:
    ranks = Ranks(("a", "b", "c"), (1.2, 2.6, 2.2), 11, 9.0, 0.01, 6.0, 0.009, 0.9)
    figure = critical_difference(ranks)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"a  1.20", "b  2.60", "c  2.20"} <= texts
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() == 4]
    assert len(bars) == 1  # b and c alone are not told apart


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.89, 0.9])
def test_a_rank_bar_is_no_longer_than_the_critical_difference(spread: float) -> None:
    """Demšar connects methods that differ by less; a bar over the difference would deny itself."""
    ranks = Ranks(("a", "b", "c"), (1.0, 2.0, 2.0 + spread), 11, 9.0, 0.01, 6.0, 0.009, 0.9)
    (bar,) = (line for line in critical_difference(ranks).axes[0].lines if line.get_linewidth() == 4)
    length = float(np.ptp(bar.get_xdata()))
    assert spread - 1e-9 <= length <= 0.9 + 1e-9
    assert bar.get_solid_capstyle() == "butt"


def test_the_selected_setting_is_the_darkest_line_wherever_it_stands() -> None:
    """Eight methods: in the order of the palette, the eighth would be grey."""
    names = [*(f"method {n}" for n in range(7)), "best"]
    frame = pd.concat([cells()[lambda all_: all_["trial"] == "coop"].assign(trial=name) for name in names])
    figure = few_shot_curves(frame, Grid(DATASETS, (1, 2)), metric=TEST_ACCURACY)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    colours = {label: to_rgb(handle[0].get_color()) for label, handle in zip(labels, handles, strict=True)}
    assert len(colours) == len(names)
    assert min(colours, key=lambda label: sum(colours[label])) == method_title("best")


def parallel_labels(column: list[float], log_keys: frozenset[str] = frozenset()) -> tuple[list[str], str]:
    """The labels of the axis of a key, and its head."""
    values = {f"trial-{n}": value for n, value in enumerate(column)}
    frame = pd.DataFrame({"key": values, VALUE: dict(zip(values, range(len(values)), strict=True))})
    frame.attrs[LOG_KEYS] = log_keys
    (axis,) = parallel_coordinates(frame).axes
    return [text.get_text() for text in axis.texts if text.xy[0] < 1], axis.get_xticklabels()[0].get_text()


def test_parallel_axes_label_values_that_candidates_have() -> None:
    assert parallel_labels([1, 2])[0] == ["1", "2"]
    assert parallel_labels([4, 16, 8])[0] == ["4", "8", "16"]
    assert parallel_labels([0.25, 0.5, 1.0])[0] == ["0.25", "0.5", "1"]


def test_keys_that_were_searched_by_log_have_log_axes() -> None:
    log = frozenset({"key"})
    assert parallel_labels([0.001, 0.003, 0.01])[1] == "key"
    assert parallel_labels([0.001, 0.003, 0.01], log)[1] == "key (log)"
    frame = candidates_frame(candidates().assign(**{"optim.learning_rate": ["0.002", "0.004", "0.006", "0.01"] * 3}))
    for declared, scale in ((frozenset[str](), "linear"), (frozenset({"optim.learning_rate"}), "log")):
        frame.attrs[LOG_KEYS] = declared
        panel = next(axis for axis in slices(frame).axes if axis.get_title() == "optim.learning_rate")
        assert panel.get_xscale() == scale


def test_losses_of_several_methods_say_that_heights_do_not_compare() -> None:
    curve = [[(1, 2.0), (2, 1.0)]]
    one = training_curves({("coop", "mini-pets"): curve}, averages={"coop": 60.0}, title="t")
    assert one.get_suptitle() == "t"
    both = {(method, "mini-pets"): curve for method in ("coop", "plot")}
    figure = training_curves(both, averages={"coop": 60.0, "plot": 61.0}, title="t")
    assert figure.get_suptitle().endswith("compare shapes, not heights")


@pytest.mark.parametrize(("form", "start"), [(None, b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_dash_is_stdout(form: str | None, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    drawn(monkeypatch, "ranks", cells(), Path("-"), form=form)
    assert written.getvalue().startswith(start)
    assert list(tmp_path.iterdir()) == [], "no file named -"


def test_a_terminal_is_sent_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(UserError, match="--output -: a terminal can't show a figure"):
        drawn(monkeypatch, "ranks", cells(), Path("-"))
    with pytest.raises(UserError, match=r"--format: unknown format 'pgn'; did you mean 'png'\?"):
        drawn(monkeypatch, "ranks", cells(), tmp_path / "a.png", form="pgn")


def test_training_curves_draw_the_mean_of_seeds() -> None:
    figure = training_curves(
        {("coop", "mini-pets"): [[(1, 2.0), (2, 1.0)], [(1, 4.0), (2, 2.0), (3, 0.0)]]},
        averages={"coop": 60.0},
        title="t",
    )
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[1, 3], [2, 1.5]]
    with pytest.raises(UserError, match="no cell of these shots has recorded a loss curve"):
        training_curves({}, averages={}, title="t")


def test_importances_are_bars_from_most_to_least() -> None:
    figure = importances({"a": 0.7, "b": 0.3}, judged=9)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.3, 0.7]
    assert figure.get_supxlabel() == ""
    figure = importances({"a": 0.7, "b": 0.3}, judged=9, doubtful=["b"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.30 *", "0.70"]
    assert figure.get_supxlabel().startswith("* few candidates")
    with pytest.raises(UserError, match="importances need a search"):
        importances({}, judged=0)


def test_many_methods_have_a_panel_per_group_and_the_best_of_each_on_datasets() -> None:
    frame = many_methods("best")
    figure = few_shot_curves(frame, Grid(("mini-pets", "mini-cars"), (1, 2)), metric=TEST_ACCURACY)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    groups = ["zero-shot", "training-free", "adapters", "learned prompts", "settings of this sweep"]
    assert titles == [*(f"Average: {group}" for group in groups), "mini-pets", "mini-cars"]
    shown = {title: set(axis.get_legend_handles_labels()[1]) for axis in figure.axes if (title := axis.get_title())}
    assert shown["Average: training-free"] == {
        "Nearest class mean",
        "Least-squares probe",
        "Tip-Adapter",
        "GDA",
        "GDA, images alone",
        "ProKeR",
        "SS-Text",
    }
    assert {"ProKeR", "SS-Text", "ProLIP", "DuAl-PT", "best of the sweep"} <= shown["mini-pets"]
    assert len(shown["mini-pets"]) == 9, "two of each group, and the one setting"
    said = figure.legends[0].get_title().get_text()
    assert said == "panels of single datasets show the best 2 methods of each group, by their averages"
    assert set.union(*shown.values()) == {method_title(name) for name in set(frame["trial"])}
