"""Documents for programs carry what a table's title says in words."""

import csv
import io

from dualpt.sweeps.comparison.formats.documents import to_csv, to_document
from dualpt.sweeps.comparison.tables import ComparisonTable, Entry

ENTRY = Entry(61.25, 1.5, 2)


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
