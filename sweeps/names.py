"""Names that users give (variants, datasets, classes, paths), made safe for each place where they are shown or kept.

In a terminal, square brackets are Rich's markup: `rich.markup.escape` is for what stands between markup, and texts
without any are printed with `markup=False`. The others are here.
"""

import hashlib
import re

LONGEST_FILE_NAME = 80
"""Characters, all of them ASCII; the rest of what file systems take (255 bytes) is for what stands around the name."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]+")
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # at the beginning of a row, `[` and `*` would belong to the `\\` of the row before
    "*": "{*}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
}


def file_name(text: str) -> str:
    """A name as a file or folder: short, ASCII, without separators. Names that differ keep apart."""
    plain = _UNSAFE.sub("-", text).strip(".-")
    if plain and plain == text and len(plain) <= LONGEST_FILE_NAME:
        return plain
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain[: LONGEST_FILE_NAME - len(digest) - 1]}-{digest}".lstrip("-")


def figure_text(text: str) -> str:
    """A name in a figure of matplotlib, which reads what stands between two `$` as mathematics."""
    return text.replace("$", r"\$")


def latex(text: str) -> str:
    """A name in LaTeX, its special characters written out."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda match: _LATEX[match[0]], text)


def markdown(text: str) -> str:
    """A name in a Markdown table, its punctuation taken as it stands."""
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", text)


def markdown_code(text: str) -> str:
    """A text of one line in a Markdown table, as code: what is copied from there is what was given."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    escaped = text.replace("|", "\\|")  # even code ends a table's entry there
    return f"{fence}{space}{escaped}{space}{fence}"
