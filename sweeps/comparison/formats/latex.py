"""Tables as LaTeX: booktabs, bold best, underlined second best, notes beneath. Needs \\usepackage{booktabs}."""

import re
from collections.abc import Sequence

from dualpt.sweeps.comparison.formats.documents import AnyTable, text_rows
from dualpt.sweeps.comparison.plain import PlainTable

MARKS = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", None: "{}"}

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
}
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
    head, rows = text_rows(table, dict.fromkeys(MARKS, "{}"))
    if not isinstance(table, PlainTable):
        _, marked = text_rows(table, MARKS)
        rows = [_marked(plain, mark) for plain, mark in zip(rows, marked, strict=True)]
    else:
        rows = [[escape(text) for text in row] for row in rows]
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        _row([escape(text) for text in head]),
        r"\midrule",
        *map(_row, rows),
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


def escape(text: str) -> str:
    """Text with LaTeX's special characters written out."""
    return re.sub("|".join(map(re.escape, _ESCAPES)), lambda match: _ESCAPES[match[0]], text)


def _marked(plain: list[str], marked: list[str]) -> list[str]:
    """Escape the text and not its marks."""
    return [mark.replace(text, escape(text)) if text else mark for text, mark in zip(plain, marked, strict=True)]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
