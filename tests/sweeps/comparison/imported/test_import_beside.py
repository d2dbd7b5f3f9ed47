"""Imported rows stand beside ours with their own seeds, labelled, and only where they fit."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison import compare as comparing
from dualpt.sweeps.comparison.compare import comparison_tables
from dualpt.sweeps.comparison.draw import curves_figure, drawn
from dualpt.sweeps.comparison.imported.import_beside import imported_for
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.published import BACKBONE_NAME, BACKBONE_WEIGHTS
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.tables.averages import MEAN_OF_H
from dualpt.sweeps.comparison.tables.table import ComparisonTable
from dualpt.sweeps.report.sections import results_of
from tests.sweeps.comparison.imported.output_folder import write_log

GRID = ("EuroSAT", "DescribableTextures")


def frame(protocol: str = "few-shot", **columns: object) -> pd.DataFrame:
    backbone = {BACKBONE_NAME: "ViT-B-16-quickgelu", BACKBONE_WEIGHTS: "openai"}
    values = {TEST_ACCURACY: 70.0, BASE_ACCURACY: 80.0, NEW_ACCURACY: 60.0, HARMONIC_MEAN: harmonic_mean(80, 60)}
    return pd.DataFrame(
        {"sweep": "s", "trial": "coop", "kind": "baseline", "dataset": dataset, "protocol": protocol, "shots": 16}
        | {"seed": seed, "status": "FINISHED", "key": f"{dataset}{seed}", **values, **backbone, **columns}
        for dataset in GRID
        for seed in (1, 2)
    )


def cells(protocol: str = "few-shot", **columns: object) -> Selection:
    return select({"s": frame(protocol, **columns)})


def tables(selection: Selection, *paths: Path, **options: object) -> list[ComparisonTable]:
    found = comparison_tables(selection, imported=imported_for(selection, paths), **options)  # type: ignore[arg-type]
    return [table for table in found if isinstance(table, ComparisonTable)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Two datasets, three seeds, and one run of another method that was killed."""
    for dataset, first in (("EuroSAT", 80.0), ("DescribableTextures", 60.0)):
        for seed in (1, 2, 3):
            write_log(tmp_path, first + seed, dataset=dataset, seed=seed)
    write_log(tmp_path, 91.0, trainer="MaPLe")
    write_log(tmp_path, None, trainer="MaPLe", dataset="DescribableTextures")
    return tmp_path


def test_a_row_with_its_own_seeds(output: Path) -> None:
    (table,) = tables(cells(), output)
    assert table.methods == ("CoOp (imported)", "MaPLe (imported)", "coop")
    shown = [table.text("CoOp (imported)", column) for column in (*GRID, AVERAGE)]
    assert shown == ["82.0 ± 1.0", "62.0 ± 1.0", "72.0 ± 1.0"]
    entry = table.entries["CoOp (imported)", AVERAGE]
    assert entry is not None
    assert entry.n == 3
    assert [table.text("MaPLe (imported)", column) for column in (*GRID, AVERAGE)] == ["91.0", "–", "–"]
    notes = "\n".join(table.notes())
    assert "n = 2" in notes  # of ours
    assert "imported rows: mean ± standard deviation over their own seeds" in notes
    assert f"CoOp (imported): seeds 1, 2, 3; from {output}" in notes
    assert "not imported, since the log ends before the result on the test images: " in notes


def test_averages_by_shots(output: Path) -> None:
    *_, by_shots = tables(cells(), output, all_shots=True)
    assert by_shots.text("CoOp (imported)", "16") == "72.0 ± 1.0"


def test_an_average_over_different_seeds_has_no_spread(tmp_path: Path) -> None:
    write_log(tmp_path, 80.0, seed=1)
    write_log(tmp_path, 60.0, seed=2, dataset="DescribableTextures")
    (table,) = tables(cells(), tmp_path)
    entry = table.entries["CoOp (imported)", AVERAGE]
    assert entry is not None
    assert (entry.mean, entry.spread, entry.n) == (70.0, None, 0)


def test_base_to_new_is_recomputed(tmp_path: Path) -> None:
    halves = {"EuroSAT": [(90.0, 50.0), (80.0, 60.0)], "DescribableTextures": [(70.0, 60.0), (60.0, 40.0)]}
    for dataset, by_seed in halves.items():
        for seed, (base, new) in enumerate(by_seed, start=1):
            log = write_log(tmp_path, base, dataset=dataset, seed=seed, classes="base")
            write_log(tmp_path, new, dataset=dataset, seed=seed, classes="new", model_dir=str(log.parent))
    *_, averages = tables(cells("base-to-new"), tmp_path)
    row = {column: averages.entries["CoOp (imported)", column] for column in (*comparing.HALVES, MEAN_OF_H)}
    means = {column: entry and (entry.mean, entry.n) for column, entry in row.items()}
    by_seed = [harmonic_mean(80, 55), harmonic_mean(70, 50)]
    each = [harmonic_mean(*pair) for pairs in halves.values() for pair in pairs]
    assert means == {
        BASE_ACCURACY: (75.0, 2),
        NEW_ACCURACY: (52.5, 2),
        HARMONIC_MEAN: (pytest.approx(sum(by_seed) / 2), 2),
        MEAN_OF_H: (pytest.approx(sum(each) / 4), 2),
    }


def test_a_csv_of_means(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("method,shots,EuroSAT,DTD\nMaPLe,16,92.3 ± 0.6,71.4\nCLIP,0,48,44\n")
    (table,) = tables(cells(), path)
    assert [table.text("MaPLe (imported)", column) for column in (*GRID, AVERAGE)] == ["92.3 ± 0.6", "71.4", "81.8"]
    assert table.text("CLIP (imported)", "EuroSAT") == "48.0"  # nothing was trained: it stands at every shot
    assert f"{path} doesn't say its backbone" in table.notes()


FAULTS = {
    "protocol": (cells(), {"classes": "base"}, "protocol found: base-to-new; wanted: few-shot"),
    "transfer": (cells("cross-dataset"), {}, "reads results of few-shot and base-to-new, and these cells are of cross"),
    "dataset": (cells(), {"dataset": "UCF101"}, "datasets found: UCF101; wanted: DescribableTextures, EuroSAT"),
    "shots": (cells(), {"shots": 4}, "shots found: 4; wanted: 16"),
    "backbone": (cells(), {"backbone": "RN50"}, "backbone found: RN50; wanted: ViT-B-16-quickgelu"),
}


@pytest.mark.parametrize(("selection", "log", "said"), FAULTS.values(), ids=FAULTS)
def test_what_does_not_fit_is_refused(selection: Selection, log: dict[str, str], said: str, tmp_path: Path) -> None:
    write_log(tmp_path, 50.0, **log)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said):
        imported_for(selection, [tmp_path])


def test_two_results_of_one_run_are_refused(tmp_path: Path) -> None:
    first, second = write_log(tmp_path / "a", 80.0), write_log(tmp_path / "b", 81.0)
    with pytest.raises(UserError, match=r"two results of CoOp on EuroSAT at 16 shots, seed 1: ") as caught:
        imported_for(cells(), [tmp_path])
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)
    means = tmp_path / "means.csv"
    means.write_text("method,shots,EuroSAT\nCoOp,16,80\n")
    with pytest.raises(UserError, match=r"two results of CoOp on EuroSAT at 16 shots: "):
        imported_for(cells(), [first, means])


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--imported: .*none: no such file or folder"):
        imported_for(cells(), [tmp_path / "none"])


def test_the_command_writes_them_as_imported(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparing, "read_frame", lambda *_: frame())
    console = Console(file=io.StringIO())
    comparing.compare_sweeps(console, ["s"], store="none", imported=[output], form="csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["method"], row["imported"], row["published"]) for row in rows} == {
        ("CoOp (imported)", "True", "False"),
        ("MaPLe (imported)", "True", "False"),
        ("CoOp", "False", "False"),
    }


def test_curves_are_drawn_beside_ours_and_called_imported(output: Path) -> None:
    write_log(output, 75.0, trainer="MaPLe", shots=4, dataset="EuroSAT")
    write_log(output, 55.0, trainer="MaPLe", shots=4, dataset="DescribableTextures")
    selection = select({"s": pd.concat([frame(), frame(shots=4)])})
    figure = curves_figure(selection, None, None, imported_for(selection, [output]))
    lines = {
        (axis.get_title(), container.get_label()): container.lines[0].get_xydata().tolist()
        for axis in figure.axes
        for container in axis.containers
    }
    assert lines["EuroSAT", "CoOp (imported)"] == [[16, 82.0]]
    assert lines["EuroSAT", "MaPLe (imported)"] == [[4, 75.0], [16, 91.0]]
    assert lines["Average", "MaPLe (imported)"] == [[4, 65.0]]
    assert lines["EuroSAT", "CoOp"] == [[4, 70.0], [16, 70.0]]
    own = {label for (_, label) in lines if "imported" not in label}
    assert own == {"CoOp"}


def test_no_figure_but_curves_takes_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--imported: only curves show results of other tools, and 'ranks' uses ours"):
        drawn("ranks", ["s"], imported=[tmp_path], store=f"sqlite:///{tmp_path}/none.db", study="")


def test_a_report_has_them_in_tables_and_curves_but_not_in_statistics(output: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    both = pd.concat([frame(trial=trial, reused_from=None, run_id=trial) for trial in ("coop", "plot", "kgcoop")])
    (results,) = results_of("s", both, lambda runs: dict.fromkeys(runs, ()), folder, [output])
    rows = [row[0].shown for table in results.tables for row in table.rows]
    assert rows.count("CoOp (imported)") == len(results.tables) == 2
    assert not any("imported" in row[0].shown for table in results.statistics for row in table.rows)
    assert results.statistics
    with pytest.raises(UserError, match="no result fits these cells; shots found: 16; wanted: 4"):
        results_of(
            "s", frame(shots=4, reused_from=None, run_id="r"), lambda runs: dict.fromkeys(runs, ()), folder, [output]
        )
