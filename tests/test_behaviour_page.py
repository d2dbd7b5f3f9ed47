"""Every row of docs/behaviour.md names a test that exists."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "behaviour.md"
COLUMNS = ["what happens", "version", "how seen", "what the product does", "test"]


def rows() -> list[list[str]]:
    """The cells of every line of a table, headings included; `\\|` is no border."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


ROWS = [row for row in rows() if row != COLUMNS and not set("".join(row)) <= {"-"}]


def test_the_page_has_rows() -> None:
    assert len(ROWS) >= 25
    assert [row[0] for row in ROWS if len(row) != len(COLUMNS) or not all(row)] == []
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[-1].strip("`").rpartition("::")[2])
def test_a_row_names_a_test_that_exists(row: list[str]) -> None:
    place, *names = row[-1].strip("`").split("::")
    found: ast.AST | None = ast.parse((TESTS / place).read_text(encoding="utf-8"))
    for name in names:
        assert isinstance(found, ast.Module | ast.ClassDef)
        kind = ast.FunctionDef if name.startswith("test_") else ast.ClassDef
        found = next((part for part in found.body if isinstance(part, kind) and part.name == name), None)
    assert isinstance(found, ast.FunctionDef), f"{row[-1]} is not a test"
