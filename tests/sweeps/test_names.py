"""Names that users give, in every place where they are shown or kept."""

import ast
import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from rich.console import Console

from dualpt.core.learned.image_classifier import ClassScore
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY
from dualpt.sweeps.comparison import draw
from dualpt.sweeps.comparison.compare import FORMATS, comparison_tables, rendered, show_tables
from dualpt.sweeps.comparison.figures.style import save
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.console import progress_bar
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.inspecting.cell_tables import TextTable, print_tables
from dualpt.sweeps.launching.status import SweepStatus, detailed
from dualpt.sweeps.names import figure_text, file_name, latex, markdown, markdown_code
from dualpt.sweeps.tools.predict import Prediction, print_predictions

SWEEPS = Path(__file__).parents[2] / "sweeps"
ODD_NAMES = ("ViT-B/16", "costs $5 or $6_{", "_hidden", "*starred*", "{0} <b> & | ~", "ä" * 200, "a \\[/bold] b")


@pytest.mark.parametrize("name", [*ODD_NAMES, "", ".", "..", "a\0b", "-x", "x" * 300, "\ud800"])
def test_a_file_name_can_be_made_from_any_name(name: str, tmp_path: Path) -> None:
    made = file_name(name)
    (tmp_path / made).write_text("")
    assert [path.name for path in tmp_path.iterdir()] == [made]
    assert len(made.encode()) <= 80
    assert not made.startswith(("-", "."))


def test_plain_names_stay_and_names_that_differ_keep_apart() -> None:
    assert file_name("n_prompts=4.best-1") == "n_prompts=4.best-1"
    assert len({file_name(name) for name in ("a/b", "a-b", "a b", "a\\b", "ä", "ö", "x" * 200, "x" * 201)}) == 8


def test_special_characters_are_written_out_in_documents() -> None:
    assert latex("[x] *y*") == "{[}x] {*}y{*}"
    assert markdown("a|b*c_d") == r"a\|b\*c\_d"
    assert markdown_code("a 'shots=[4]'|b_c") == r"`a 'shots=[4]'\|b_c`"
    assert markdown_code("a `b` c") == "`` a `b` c ``"
    assert figure_text("$a$") == r"\$a\$"


@pytest.fixture(scope="module")
def selection() -> Selection:
    rows = [
        {"trial": trial, "kind": "variant", "dataset": dataset, "protocol": "base-to-new", "shots": shots, "seed": seed}
        | {"status": "FINISHED", "key": f"{trial}{dataset}{shots}{seed}", "run_id": "r", "reused_from": None}
        | {BASE_ACCURACY: 60.0 + n + seed, NEW_ACCURACY: 50.0 + n, HARMONIC_MEAN: 55.0 + n, TEST_ACCURACY: 60.0 + n}
        for n, trial in enumerate(ODD_NAMES)
        for dataset in ("mini-pets", "mini-cars", "mini-food")
        for shots in (4, 16)
        for seed in (1, 2)
    ]
    return select({"s": pd.DataFrame(rows)})


@pytest.mark.parametrize("kind", draw.COMPARISONS)
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_figures_show_any_name(kind: str, suffix: str, selection: Selection, tmp_path: Path) -> None:
    figure = draw.COMPARISONS[kind](selection, None, None)
    shown = "".join(text.get_text() for text in figure.findobj(plt.Text)) + "".join(
        text.get_text() for legend in figure.legends for text in legend.get_texts()
    )
    assert "hidden" in shown
    assert r"\$5" in shown
    save(figure, tmp_path / f"figure{suffix}")
    assert (tmp_path / f"figure{suffix}").stat().st_size > 1000


@pytest.mark.parametrize("width", [40, 300])
def test_terminals_show_any_name(width: int, selection: Selection) -> None:
    console = Console(file=io.StringIO(), width=width)
    show_tables(console, comparison_tables(selection), form="table", output=None)
    shown = "".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert width < 300 or all("".join(name.split())[:20] in shown for name in ODD_NAMES)


@pytest.mark.parametrize("name", ["[/x]", "[red]", "a[/]", "[bold]b[/bold]", "c\\"])
def test_terminals_show_classes_and_paths_as_they_are_called(name: str) -> None:
    console = Console(file=io.StringIO(), width=200)
    print_predictions([Prediction(Path(f"{name}.png"), [ClassScore(name, 0, 0.5)])], console)
    print_tables([TextTable(name, ("class",), [(name,)], name)], console)
    with progress_bar(console, quiet=False) as bar:
        bar.add_task(name, total=1)
    shown = SweepProgress(console, enabled=True)
    shown.failure(name, name)
    trials = {name: {"mini-pets": {"FINISHED": 1, "FAILED": 1}}}
    status = SweepStatus(name, "FINISHED", 1, 1, 0, trials=trials, pruned=[name], reasons={name: 1})
    console.print(detailed(status, console))
    assert console.file.getvalue().count(name) >= 10  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "table"])
def test_documents_hold_any_name(form: str, selection: Selection) -> None:
    assert rendered(comparison_tables(selection), form)


def _prints(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "print":
            yield node


def _texts(given: ast.AST) -> Iterator[ast.expr]:
    """What stands in the f-strings of an argument and is not given a format, as numbers are."""
    if isinstance(given, ast.FormattedValue):
        if given.format_spec is None:
            yield given.value
    elif not (isinstance(given, ast.Call) and isinstance(given.func, ast.Name) and given.func.id == "escape"):
        for part in ast.iter_child_nodes(given):
            yield from _texts(part)


OURS = {"done", "word", "what", "kind", "known", "failed", "title"}
"""Variables whose texts are chosen in the code, next to where they are printed."""
COUNTS = {"trained"}


def _is_safe(value: ast.expr) -> bool:
    """Whether what stands in a text cannot be markup by chance: escaped, a number, or chosen here."""
    match value:
        case ast.Call(func=ast.Name(id="escape" | "len" | "counted")):
            return True
        case ast.Name(id=name):
            return name in OURS
        case ast.Attribute(attr=name):
            return name in COUNTS
        case ast.BinOp(left=left, right=right):
            return _is_safe(left) and _is_safe(right)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_safe(body) and _is_safe(orelse)
        case ast.Constant():
            return True
    return False


def test_no_text_of_a_user_is_printed_as_markup() -> None:
    """`print` of a console takes `[…]` for markup unless it is told otherwise."""
    found = []
    for path in sorted(SWEEPS.rglob("*.py")):
        for call in _prints(ast.parse(path.read_text(encoding="utf-8"))):
            if any(keyword.arg == "markup" for keyword in call.keywords):
                continue
            if not all(_is_safe(value) for given in call.args for value in _texts(given)):
                found.append(f"{path.relative_to(SWEEPS)}:{call.lineno}: {ast.unparse(call)[:100]}")
    assert not found, "\n".join(found)
