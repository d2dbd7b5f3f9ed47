"""Tables as documents: Markdown, CSV and JSON. LaTeX is in `latex`, terminals in `terminal`."""

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from sweeps.comparison.labels import method_title
from sweeps.comparison.tables import ComparisonTable

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
        }
        for (method, column), entry in table.entries.items()
    ]
    return pd.DataFrame(rows).astype({"place": "Int64"})


def to_csv(tables: Iterable[ComparisonTable]) -> str:
    """All entries of the tables, one row each."""
    return pd.concat([to_frame(table) for table in tables]).to_csv(index=False)


def to_document(table: ComparisonTable) -> dict[str, Any]:
    """One table for programs: its rows, what is missing, and what a reader must know."""
    rows = json.loads(to_frame(table).to_json(orient="records"))
    missing = {method_title(method): count for method, count in table.missing.items()}
    return {"title": table.title, "rows": rows, "missing": missing, "notes": table.notes()}


def to_markdown(table: ComparisonTable) -> str:
    """A Markdown table with its notes; the best mean of each column bold, the second best underlined."""
    head = ["method", *map(table.head, table.columns)]
    lines = [f"**{table.title}**", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for method in table.methods:
        shown = [MARKS[table.place(method, c)].format(table.text(method, c)) for c in table.columns]
        lines.append("| " + " | ".join([method_title(method), *shown]) + " |")
    return "\n".join([*lines, "", *(f"*{note}*" + "  " for note in table.notes())])
