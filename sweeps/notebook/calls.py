"""Training and sweeping by a call: what `dualpt train` and `dualpt sweep` do, with results as objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.method_catalog import read_files_again
from dualpt.core.selection_rules import SelectionRule
from dualpt.sweeps.console import without_telemetry
from dualpt.sweeps.notebook.arguments import naming_arguments
from dualpt.sweeps.notebook.classifying import Classifier, dotted
from dualpt.sweeps.notebook.recorded import RecordedSweep, load

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellResult


@naming_arguments
def train(
    dataset: str,
    *,
    method: str | None = None,
    start_from: str | None = None,
    store: str | None = None,
    shots: int = 16,
    seeds: Sequence[int] = (1,),
    protocol: str = "few-shot",
    targets: Sequence[str] | None = None,
    selection: SelectionRule = "validation",
    progress: bool = False,
    **settings: Any,
) -> "Trained":
    """Train and judge one setting on one dataset, in this process; nothing is recorded.

    Args:
        dataset: `mini-pets`, `DescribableTextures`, …
        method: a published method: the starting point of the setting; `dualpt` by default.
        start_from: in place of `method`: `SWEEP`, what that sweep selected, or `SWEEP/TRIAL`.
        store: where that sweep is; by default that of $MLFLOW_TRACKING_URI, or `sqlite:///mlflow.db`.
        shots: training images per class.
        seeds: trained together, as replicas of the same steps.
        protocol: few-shot, base-to-new, cross-dataset or domain-generalization.
        targets: datasets that cross-dataset tests on; the rest of the grid by default.
        selection: by which images it is judged: validation, support-holdout, support-cv or none.
        progress: whether a bar is shown.
        settings: keys of the setting with `__` for the dot, `optim__epochs=40`, or as `**{"optim.epochs": 40}`.

    Raises:
        UserError: any fault of the setting or of its data, before training; or every seed failed.
    """
    from dualpt.search_spaces.sweep import Run
    from dualpt.sweeps.ledger.trial_settings import trial_setting
    from dualpt.sweeps.tools.train import cells_for, selection_rule, train_cells

    if not 0 < shots == int(shots):
        raise UserError(f"shots: expected a whole number from 1 on, found {shots}")
    read_files_again()  # a notebook's kernel outlives edits of a method of one's own
    if start_from is not None and method is not None:
        raise UserError(f"method={method!r}: start_from={start_from!r} brings its own; give one of them")
    named = "dualpt" if method is None else method
    start = named if start_from is None else trial_setting(store or Run().tracking_uri, start_from)
    rule = selection_rule(selection, "selection")
    cells = cells_for(dataset, shots, seeds, start, protocol, targets, dotted(settings), rule)
    results = train_cells(cells, Console(), quiet=not progress)
    if all(result.failure for result in results):
        raise UserError(f"{dataset}: all {len(results)} seeds failed: {results[0].failure}")
    return Trained(results)


@dataclass(frozen=True, repr=False)
class Trained:
    """What training left, one result per seed. Accuracies are in percent."""

    results: "Sequence[CellResult]"

    def __repr__(self) -> str:
        cell = self.results[0].cell
        seeds = ", ".join(str(result.cell.seed) for result in self.results)
        return f"<trained on {cell.dataset}, {cell.protocol}, {cell.shots} shots, seeds {seeds}>"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per seed: `dataset`, `protocol`, `shots`, `seed`, `failure`, and one column per metric."""
        rows = [{**_place(found), "failure": found.failure, **found.metrics.by_name()} for found in self.results]
        return pd.DataFrame(rows)

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """`seed`, `test_set` (test, base, new, target/…), `class`, `accuracy`."""
        rows = [
            (result.cell.seed, test_set, name, accuracy)
            for result in self.results
            for test_set, classes in result.per_class.items()
            for name, accuracy in classes.items()
        ]
        return pd.DataFrame(rows, columns=["seed", "test_set", "class", "accuracy"])

    @cached_property
    def losses(self) -> pd.DataFrame:
        """Training losses: `seed`, `epoch`, `loss`."""
        rows = [(r.cell.seed, epoch, loss) for r in self.results for epoch, loss in enumerate(r.loss_curve, start=1)]
        return pd.DataFrame(rows, columns=["seed", "epoch", "loss"])

    def classifier(self, seed: int | None = None, *, classes: Sequence[str] | None = None) -> Classifier:
        """The classifier of one seed, the first by default.

        Raises:
            UserError: no such seed, or it learned nothing.
        """
        chosen = [result for result in self.results if seed in (None, result.cell.seed)]
        if not chosen:
            trained = ", ".join(str(result.cell.seed) for result in self.results)
            raise UserError(f"seed {seed} was not trained (trained: {trained})")
        if (learned := chosen[0].prompts or chosen[0].learned) is None:
            raise UserError("these cells learned nothing: they failed, or the method is zero-shot")
        return Classifier(learned, classes=classes)

    def save(self, folder: str | Path) -> list[Path]:
        """Write contexts and metrics as `dualpt train --save` does; `dualpt.load_classifier` reads the contexts.

        Returns:
            The files.

        Raises:
            UserError: the folder cannot be written.
        """
        from dualpt.sweeps.outputs import writable_folder
        from dualpt.sweeps.tools.train import save_result

        place = Path(folder)
        writable_folder(place, "save")
        return [file for result in self.results for file in save_result(result, place)]


@naming_arguments
def sweep(file: str | Path, *, progress: bool = False, only_failed: bool = False, **overrides: Any) -> RecordedSweep:
    """Run a sweep file, or what is missing of it, and read what is then on record.

    Ray is started here and stopped at the end, unless $RAY_ADDRESS names a cluster. Interrupting finishes the packs in
    training; `outcome` says so. A kernel can't outlive a Ray that dies: then the process ends, as that of the command
    does, and the same call goes on where it was.

    Args:
        file: a sweep file, or the name of one that ships (`demo`, `mini-grid`, …).
        progress: whether progress and the closing lines are printed.
        only_failed: train only the cells that are on record as failed.
        overrides: values over the file's, with `__` for the dot: `trials=4`, `optim__epochs=10`, `run__max_hours=2`.

    Returns:
        The sweep on record; `outcome` counts what was trained, failed, or left by an interrupt or the budget.

    Raises:
        UserError: anything that the user can fix, found before the first cell is trained where that is possible.
    """
    from dualpt.search_spaces.shipped import shipped_or_path
    from dualpt.search_spaces.sweep_file import load_sweep
    from dualpt.sweeps.launching.before_training import draw_mini_datasets
    from dualpt.sweeps.launching.launch import launch

    without_telemetry()
    read_files_again()
    loaded = load_sweep(shipped_or_path(str(file)), dotted(overrides))
    console = Console(quiet=not progress)
    draw_mini_datasets(loaded, console=console, progress=progress)
    outcome = launch(loaded, console=console, progress=progress, only_failed=only_failed)
    run = loaded.file.run
    recorded = load(loaded.file.name, store=run.tracking_uri, study=run.study_storage)
    return replace(recorded, outcome=outcome)


def _place(result: "CellResult") -> Mapping[str, object]:
    cell = result.cell
    return {"dataset": cell.dataset, "protocol": cell.protocol, "shots": cell.shots, "seed": cell.seed}
