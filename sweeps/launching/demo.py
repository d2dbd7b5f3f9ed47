"""`dualpt demo`: the main job in minutes, and what to type next."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dualpt import search_spaces
from dualpt.core.results import TEST_ACCURACY
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.comparison.compare import compare_sweeps
from dualpt.sweeps.launching.before_training import draw_mini_datasets
from dualpt.sweeps.launching.launch import launch

FIGURE = Path("outputs/demo-curves.png")
TABLE = Path("outputs/demo-table.md")

NEXT = """
[bold]Look at it[/]
  mlflow ui --backend-store-uri sqlite:///mlflow.db     sweep, trials, cells
  {figure}                               few-shot curves
  dualpt report demo                                    one HTML page of it all

[bold]What to type next[/]
  dualpt train --dataset mini-pets --seeds 1,2,3        one setting, in seconds
  dualpt ablate components --dry-run                    each alignment left out
  dualpt sweep mini-grid --dry-run                      the full search, planned
  dualpt sweep demo trials=20                           this sweep, extended
  dualpt sweep demo name=mine data.root=DATA datasets=\\[DescribableTextures]
                                                        your own photographs
"""


def run_demo(console: Console) -> int:
    """Run the shipped demo sweep, or what is missing of it; the exit code is the sweep's."""

    sweep = load_sweep(Path(search_spaces.__path__[0]) / "demo.yaml")
    console.print(f"[bold]DuAl-PT demo[/]: {escape(sweep.file.description)}", highlight=False)
    draw_mini_datasets(sweep, console=console)
    outcome = launch(sweep, console=console)
    if outcome.interrupted:
        return outcome.exit_code
    store = sweep.file.run.tracking_uri
    compare_sweeps(console, [sweep.file.name], store=store, metric=TEST_ACCURACY, figure=FIGURE)
    compare_sweeps(console, [sweep.file.name], store=store, form="markdown", output=TABLE)
    console.print(NEXT.format(figure=FIGURE), highlight=False)
    return outcome.exit_code
