"""LaTeX: special characters written out, marks kept, and documents that compile where LaTeX is installed."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from dualpt.core.results import TEST_ACCURACY
from dualpt.sweeps.comparison.compare import comparison_tables
from dualpt.sweeps.comparison.formats.latex import to_latex, to_latex_document
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.names import latex as escape


@pytest.fixture
def selection() -> Selection:
    accuracies = {"coop": 60.0, "n_prompts = 4 & 50% #1": 62.0, "without $ {LLM}": 61.0}
    rows = [
        {"trial": trial, "kind": "variant", "dataset": dataset, "protocol": "few-shot", "shots": 4, "seed": seed}
        | {"status": "FINISHED", "key": f"{trial}{dataset}{seed}", TEST_ACCURACY: accuracy + seed}
        for trial, accuracy in accuracies.items()
        for dataset in ("mini-pets", "mini-cars")
        for seed in (1, 2)
    ]
    return select({"s": pd.DataFrame(rows)})


def test_special_characters_are_written_out() -> None:
    assert escape("a_b & 50% ± <x> \\ {~}") == (
        r"a\_b \& 50\% $\pm$ \textless{}x\textgreater{} \textbackslash{} \{\textasciitilde{}\}"
    )


def test_best_is_bold_and_second_best_underlined(selection: Selection) -> None:
    text = to_latex(comparison_tables(selection)[0])
    assert r"n\_prompts = 4 \& 50\% \#1 & \textbf{63.5 $\pm$ 0.7}" in text
    assert r"without \$ \{LLM\} & \underline{62.5 $\pm$ 0.7}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_plain_tables_are_written_whole() -> None:
    table = PlainTable("effects", ("effect", "p"), (("A × B", "< 0.001"),), ({},), ["n = 2"])
    assert r"A $\times$ B & \textless{} 0.001 \\" in to_latex(table)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_documents_compile(selection: Selection, tmp_path: Path) -> None:
    tables = comparison_tables(selection, baseline="CoOp", all_shots=True)
    (tmp_path / "table.tex").write_text(to_latex_document(tables), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 10_000
    assert "Overfull" not in result.stdout
