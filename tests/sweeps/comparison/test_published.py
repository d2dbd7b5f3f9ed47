"""Published rows: they recompute to the printed averages, and stand only where they may."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from dualpt.core.data.catalog import REAL_GRID
from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.compare import comparison_tables
from dualpt.sweeps.comparison.formats.documents import to_markdown
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.published import BACKBONE_NAME, BACKBONE_WEIGHTS, load_published, published_for
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.tables import MEAN_OF_H, ComparisonTable

SHARED = Path(__file__).parents[4] / "shared" / "data" / "published"


def cells(protocol: str = "few-shot", grid: tuple[str, ...] = REAL_GRID, **columns: object) -> Selection:
    backbone = {BACKBONE_NAME: "ViT-B-16-quickgelu", BACKBONE_WEIGHTS: "openai"}
    values = {TEST_ACCURACY: 70.0, BASE_ACCURACY: 80.0, NEW_ACCURACY: 60.0, HARMONIC_MEAN: harmonic_mean(80, 60)}
    rows = [
        {"sweep": "s", "trial": "coop", "kind": "baseline", "dataset": dataset, "protocol": protocol, "shots": 16}
        | {"seed": seed, "status": "FINISHED", "key": f"{dataset}{seed}", **values, **backbone, **columns}
        for dataset in grid
        for seed in (1, 2)
    ]
    return select({"s": pd.DataFrame(rows)})


def beside(selection: Selection, **options: object) -> list[ComparisonTable]:
    tables = comparison_tables(selection, published=published_for(selection), **options)  # type: ignore[arg-type]
    return [table for table in tables if isinstance(table, ComparisonTable)]


def test_few_shot_averages_are_the_printed_ones() -> None:
    (table,) = beside(cells())
    shown = {method: table.text(method, AVERAGE) for method in table.methods}
    assert shown == {
        "CLIP, hand-written prompt (published)": "63.9",
        "CoOp (published)": "79.9",
        "PLOT++ (published)": "82.1",
        "PromptSRC (published)": "82.9",
        "ProVP-Ref (published)": "83.1",
        "APE-T (published)": "82.5",
        "AWT (published)": "84.6",
        "coop": "70.0 ± 0.0",
    }
    assert any("tabulated by MCG-NJU/AWT" in note and "AWT arXiv 2407.04603" in note for note in table.notes())
    assert "**84.6**" in to_markdown(table)


# H of averaged base and new, and base and new, as the methods' papers print them.
PRINTED = {
    "CLIP": (69.34, 74.22, 71.70),
    "CoOp": (82.69, 63.22, 71.66),
    "CoCoOp": (80.47, 71.69, 75.83),
    "MaPLe": (82.28, 75.14, 78.55),
    "PromptSRC": (84.26, 76.10, 79.97),
}


def test_base_to_new_averages_are_the_printed_ones() -> None:
    averages = beside(cells("base-to-new"))[-1]
    for method, printed in PRINTED.items():
        found = [averages.entries[f"{method} (published)", c] for c in (BASE_ACCURACY, NEW_ACCURACY, HARMONIC_MEAN)]
        assert [entry and entry.mean for entry in found] == pytest.approx(printed, abs=0.011), method
    src = averages.entries["PromptSRC (published)", MEAN_OF_H]
    assert src is not None
    assert src.mean == pytest.approx(79.77, abs=0.06)  # the other average, which some papers report
    assert any("PromptKD: printed H" in note for note in averages.notes())


def test_averages_by_shots_and_over_a_part_of_the_grid() -> None:
    part = cells(grid=("EuroSAT", "DescribableTextures"))
    by_shots = beside(part, all_shots=True)[-1]
    assert by_shots.text("CoOp (published)", "16") == f"{(84.93 + 69.87) / 2:.1f}"


REFUSED = [
    (cells(grid=("mini-pets", "mini-cars")), "no published number belongs beside mini-pets, mini-cars"),
    (cells(grid=("EuroSAT", "mini-cars")), "beside mini-cars"),
    (cells("cross-dataset"), "no published table of cross-dataset ships"),
    (cells(**{BACKBONE_NAME: "ViT-B-32"}), "published with ViT-B-16, and these cells with ViT-B-32"),
    (cells(**{BACKBONE_WEIGHTS: "random"}), "random backbone"),
]


@pytest.mark.parametrize(("selection", "said"), REFUSED, ids=[said[:25] for _, said in REFUSED])
def test_published_rows_are_refused_where_they_do_not_belong(selection: Selection, said: str) -> None:
    with pytest.raises(UserError, match=f"--published: .*{said}"):
        published_for(selection)


def test_no_figure_of_dualpt_is_quoted() -> None:
    titles = [method.title for table in load_published() for method in table.methods]
    assert not any("dual" in title.casefold() for title in titles)
    assert all(method.paper.startswith("arXiv ") for table in load_published() for method in table.methods)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the tables as downloaded are not on this machine")
def test_every_number_is_that_of_the_tables_as_downloaded() -> None:
    names = {"Flowers102": "OxfordFlowers", "DTD": "DescribableTextures"}
    few, halves = sorted(load_published(), key=lambda table: table.protocol, reverse=True)
    methods = {method.title: method for method in few.methods}
    for row in csv.DictReader((SHARED / "few_shot_vit_b16.csv").open()):
        title, _, shots = row.pop("Method").partition(", shots=")
        row.pop("Average")
        method = methods.get(title) or methods["CLIP, hand-written prompt"]
        expected = {names.get(name, name): float(value) for name, value in row.items()}
        assert method.at(TEST_ACCURACY, int(shots or 0)) == expected
    methods = {method.title: method for method in halves.methods}
    for row in csv.DictReader((SHARED / "base_to_new_vit_b16_16shot.csv").open()):
        method, dataset = methods[row["method"]], names.get(row["dataset"], row["dataset"])
        assert method.at(BASE_ACCURACY, 16)[dataset] == float(row["base"])
        assert method.at(NEW_ACCURACY, 16)[dataset] == float(row["new"])
