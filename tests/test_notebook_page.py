"""docs/notebook.md and the executed notebook made from it: one text, whose code runs."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.script_of_docs import DOCS, script_of_docs


@pytest.fixture(scope="module")
def making() -> ModuleType:
    return script_of_docs("execute_notebook")


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    return dict(json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8")))


def test_the_notebook_is_the_page(making: ModuleType, notebook: dict[str, Any]) -> None:
    page = making.cells_of((DOCS / "notebook.md").read_text(encoding="utf-8"))
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert cells == page, "run docs/execute_notebook.py"


def test_every_cell_was_executed_in_order_and_small(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code)
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell["outputs"])
    assert (DOCS / "notebook.ipynb").stat().st_size < 200_000


@pytest.mark.cluster
def test_the_code_of_the_page_runs(
    making: ModuleType, notebook: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running_ray: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names: dict[str, Any] = {}
    outputs = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    blocks = [
        text for kind, text in making.cells_of((DOCS / "notebook.md").read_text(encoding="utf-8")) if kind == "code"
    ]
    for block, recorded in zip(blocks, outputs, strict=True):
        tree = ast.parse(block)
        last = tree.body.pop()
        assert isinstance(last, ast.Expr), "each block ends in what it shows"
        exec(compile(tree, "notebook.md", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "notebook.md", "eval"), names)
        (kept,) = [output["data"]["text/plain"] for output in recorded if output["output_type"] == "execute_result"]
        assert shape_of(repr(value)) == shape_of("".join(kept))


def shape_of(text: str) -> list[str]:
    """The words alone: another machine's arithmetic may change the numbers, and the ranks that follow from them."""
    return sorted(word for word in text.split() if not any(letter.isdigit() for letter in word))


def test_importing_the_package_loads_nothing_heavy() -> None:
    check = (
        "import sys, dualpt\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(dualpt.__all__) <= set(dir(dualpt))\n"
        "for name in dualpt.__all__: getattr(dualpt, name)\n"
        "try: dualpt.lod\nexcept AttributeError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent)}
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "module 'dualpt' has no attribute 'lod'"


def test_every_public_name_is_typed_and_documented() -> None:
    import dualpt

    tree = ast.parse((DOCS.parent / "dualpt" / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dualpt.")
        for alias in node.names
    }
    assert typed == set(dualpt.__all__) == set(dualpt._HOMES)
    assert [name for name in dualpt.__all__ if not getattr(dualpt, name).__doc__] == []
