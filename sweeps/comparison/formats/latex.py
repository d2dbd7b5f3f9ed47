"""Tables as LaTeX: booktabs, bold best, underlined second best, notes beneath. Needs \\usepackage{booktabs}."""

from collections.abc import Sequence

from dualpt.sweeps.comparison.formats.documents import AnyTable, text_rows
from dualpt.sweeps.names import latex as escape

MARKS = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", None: "{}"}

PREAMBLE = r"""\documentclass[a4paper,landscape]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage[margin=1cm]{geometry}
\usepackage{graphicx}
\begin{document}
"""


def to_latex(table: AnyTable) -> str:
    """One `table` environment, scaled down to the text width where it is wider."""
    head, parts = text_rows(table, MARKS, escape)
    groups = [[_group(title, len(head)), *map(_row, rows)] if title else list(map(_row, rows)) for title, rows in parts]
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        _row(head),
        r"\midrule",
        *(r"\midrule" + "\n").join("\n".join(group) + "\n" for group in groups).splitlines(),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\vspace{2pt}\begin{minipage}{\linewidth}\footnotesize",
        *(escape(note) + "." for note in table.notes()),
        r"\end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def to_latex_document(tables: Sequence[AnyTable]) -> str:
    """A document of its own, to look at; papers take the tables of `to_latex` alone."""
    return PREAMBLE + "\n\\clearpage\n".join(map(to_latex, tables)) + "\n\\end{document}\n"


def _group(title: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{title}}}}} \\"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
