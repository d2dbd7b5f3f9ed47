"""Tables as documents: Markdown, CSV and JSON. LaTeX is in `latex`, terminals in `terminal`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from dualpt.sweeps.comparison.labels import method_title
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.tables.table import ComparisonTable
from dualpt.sweeps.names import markdown

AnyTable = ComparisonTable | PlainTable

MARKS = {1: "**{}**", 2: "<u>{}</u>", None: "{}"}
"""How the best and the second best of a column are marked."""


def to_frame(table: ComparisonTable) -> pd.DataFrame:
    """The long form: one row an entry, for CSV and JSON."""
    rows = [
        {
            "table": table.title,
            "method": method_title(method),
            "column": table.head(column),
            "key": column,
            "metric": table.metric,
            "mean": None if entry is None else entry.mean,
            "spread": None if entry is None else entry.spread,
            "n": 0 if entry is None else entry.n,
            "place": table.place(method, column),
            "published": method in table.published,
            "imported": method in table.imported,
            "shots": int(column) if table.shots is None else table.shots,
            "seeds": " ".join(map(str, table.seeds)),
        }
        for (method, column), entry in table.entries.items()
    ]
    # Differences to the only method there is have no rows.
    return pd.DataFrame(rows).astype({"place": "Int64"}) if rows else pd.DataFrame()


def to_csv(tables: Sequence[AnyTable]) -> str:
    """All entries of the tables, one row each; statistics, whose columns are others, in a part of their own."""
    entries = [to_frame(table) for table in tables if isinstance(table, ComparisonTable)]
    plain = [pd.json_normalize(list(map(dict, t.records))) for t in tables if isinstance(t, PlainTable)]
    records = [part.convert_dtypes() for part in plain]  # whole numbers stay so beside a blank
    parts = ([pd.concat(entries)] if entries else []) + records
    return "\n".join(part.to_csv(index=False) for part in parts)


def to_document(table: AnyTable) -> dict[str, Any]:
    """One table for programs: its rows, what is missing, and what a reader must know."""
    if isinstance(table, PlainTable):
        return {"title": table.title, "rows": list(map(dict, table.records)), "notes": table.notes()}
    rows = json.loads(to_frame(table).to_json(orient="records"))
    missing = {method_title(method): count for method, count in table.missing.items()}
    return {"title": table.title, "rows": rows, "missing": missing, "notes": table.notes()}


def to_markdown(table: AnyTable) -> str:
    """A Markdown table with its notes; the best mean of each column bold, the second best underlined."""
    head, parts = text_rows(table, MARKS, markdown)
    rows = []
    for title, of_group in parts:
        rows += [[f"*{title}*", *[""] * (len(head) - 1)], *of_group] if title else of_group
    lines = [f"**{markdown(table.title)}**", "", _row(head), "|---" * len(head) + "|", *map(_row, rows)]
    return "\n".join([*lines, "", *(f"*{markdown(note)}*" + "  " for note in table.notes())])


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def text_rows(
    table: AnyTable, marks: Mapping[int | None, str], safe: Callable[[str], str]
) -> tuple[list[str], list[tuple[str, list[list[str]]]]]:
    """The head, and the rows as text by titled groups (see `ComparisonTable.sections`), the best and second best marked
    by formats; whatever the kind of table.

    Args:
        safe: makes a text safe for the document (`dualpt.sweeps.names`); the marks stay as they are.
    """
    if isinstance(table, PlainTable):
        return list(map(safe, table.head)), [("", [list(map(safe, row)) for row in table.rows])]

    def row(method: str) -> list[str]:
        shown = [marks[table.place(method, c)].format(safe(table.text(method, c))) for c in table.columns]
        return [safe(method_title(method)), *shown]

    parts = [(safe(title), list(map(row, methods))) for title, methods in table.sections]
    return ["method", *(safe(table.head(column)) for column in table.columns)], parts
