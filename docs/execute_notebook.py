"""Makes docs/notebook.ipynb from docs/notebook.md and executes it (`pip install nbclient ipykernel` first).

The page's Python blocks are the notebook's code cells, what stands between them its text. A test holds the two together
and runs the cells.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("notebook.md")
NOTEBOOK = PAGE.with_suffix(".ipynb")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def cells_of(page: str) -> list[tuple[str, str]]:
    """The page in order: (`markdown` or `code`, text)."""
    parts = BLOCK.split(page)
    kinds = ("markdown", "code")
    return [(kinds[place % 2], part.strip()) for place, part in enumerate(parts) if part.strip()]


def notebook_of(page: str) -> Any:
    """The page as a notebook that has not run; cell ids are their places, so a new run changes outputs alone."""
    import nbformat

    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    cells = [make[kind](text, id=f"cell-{place}") for place, (kind, text) in enumerate(cells_of(page))]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def main() -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = notebook_of(PAGE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which would change with every run
        if cell.cell_type == "code":  # what Ray and progress write on stderr says nothing of the results
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
