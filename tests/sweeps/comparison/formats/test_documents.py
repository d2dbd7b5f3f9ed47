"""Documents say what a table's title does, and show tables of many methods by groups."""

import csv
import io

import pandas as pd

from dualpt.sweeps.comparison.compare import comparison_tables
from dualpt.sweeps.comparison.formats.documents import to_csv, to_document, to_markdown
from dualpt.sweeps.comparison.formats.latex import to_latex
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.comparison.tables.table import ComparisonTable, Entry
from tests.sweeps.comparison.many_methods import many_methods

ENTRY = Entry(61.25, 1.5, 2)
GROUPS = ["zero-shot", "training-free", "adapters", "learned prompts", "settings of this sweep"]


def table(frame: pd.DataFrame) -> ComparisonTable:
    (found, *_) = comparison_tables(select({"s": frame}))
    assert isinstance(found, ComparisonTable)
    return found


def test_groups_have_rows_of_their_own() -> None:
    lines = to_markdown(table(many_methods("best"))).splitlines()
    heads = [line for line in lines if line.startswith("| *")]
    assert heads == [f"| *{group}* |  |  |  |" for group in GROUPS]
    following = [lines[lines.index(head) + 1].split("|")[1].strip() for head in heads]
    assert following == ["zero-shot CLIP", "Nearest class mean", "Linear probe", "CoOp", "best of the sweep"]
    assert {line.count("|") for line in lines if line.startswith("|")} == {5}


def test_few_methods_have_no_groups() -> None:
    frame = many_methods()
    few = frame[frame["trial"].isin(["zero-shot", "gda", "coop"])]
    assert "*training-free*" not in to_markdown(table(few))
    assert r"\multicolumn" not in to_latex(table(few))


def test_latex_has_a_rule_between_groups() -> None:
    text = to_latex(table(many_methods("best")))
    assert text.count(r"\midrule") == len(GROUPS)
    assert r"\multicolumn{4}{l}{\emph{learned prompts}} \\" in text


def test_every_row_has_its_shots_and_the_seeds() -> None:
    entries = {("coop", "mini-pets"): ENTRY}
    one = ComparisonTable(
        "t", "test/accuracy", ("coop",), ("mini-pets",), entries, {}, frozenset(), shots=4, seeds=(1, 2)
    )
    by_shots = ComparisonTable(
        "t", "test/accuracy", ("coop",), ("4", "16"), {("coop", k): ENTRY for k in ("4", "16")}, {}, frozenset()
    )
    rows = list(csv.DictReader(io.StringIO(to_csv([one, by_shots]))))
    assert [row["shots"] for row in rows] == ["4", "4", "16"]
    assert rows[0]["seeds"] == "1 2"
    assert to_document(one)["rows"][0]["shots"] == 4
