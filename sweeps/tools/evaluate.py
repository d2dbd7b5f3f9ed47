"""`dualpt evaluate`: adds the metrics that finished cells lack, from what they learned. Trains nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.inputs.key import numerics_of
from dualpt.core.inputs.reading import CellInputs, data_of
from dualpt.sweeps.comparison.frames import open_ledger
from dualpt.sweeps.console import counted, progress_bar, say_whole
from dualpt.sweeps.ledger.cell_names import cell_of, check_movable, prompts_of
from dualpt.sweeps.records import NUMERICS_TAG, TARGETS_PARAM, CellRow, TrialRow, grid_metrics, latest
from dualpt.sweeps.stores import only_launch

if TYPE_CHECKING:
    from dualpt.core.cell import Cell
    from dualpt.core.running.cell_runner import CellResult, CellRunner
    from dualpt.sweeps.ledger.mlflow import Ledger

ALL_COMPLETE, SOME_REFUSED = 0, 3
"""Exit codes."""
ACCURACY = "/accuracy"
TOLERANCE = 0.1
"""Percentage points by which an accuracy may differ on another device; one image, where that is more."""
TRAINED_ONLY = ("train/",)
"""Beginnings of metrics that only training gives."""


@dataclass
class Filled:
    """What an evaluation came to."""

    complete: int = 0
    """Cells that lacked nothing."""
    added: dict[str, int] = field(default_factory=dict)
    """Metric -> cells that it was added to."""
    refused: dict[str, str] = field(default_factory=dict)
    """Cell -> why it was left as it is."""

    @property
    def exit_code(self) -> int:
        return SOME_REFUSED if self.refused else ALL_COMPLETE


def evaluate_sweep(
    console: Console,
    name: str,
    overrides: Mapping[str, Any],
    *,
    store: str,
    as_json: bool = False,
    runner: "CellRunner | None" = None,
) -> int:
    """Evaluate the finished cells of a sweep, add the metrics that they lack, and return the exit code.

    Args:
        overrides: where data, banks and weights lie on this machine.
        runner: whose feature store is used; a new one by default.

    Raises:
        UserError: no such sweep, one that is running, or an override of what the cells were run with.
    """
    check_movable(overrides)
    ledger = open_ledger(store)
    rows = [row for row in ledger.read_cells(name) if row.finished]
    if not rows:
        raise UserError(f"sweep '{name}' in {ledger.uri} has no finished cells; run it first")
    if runner is None:
        from dualpt.core.running.cell_runner import CellRunner

        runner = CellRunner()
    with only_launch(ledger.uri, name), progress_bar(console, quiet=as_json or not console.is_terminal) as progress:
        task = progress.add_task("evaluating", total=len(rows))
        filled = Filled()
        known: set[tuple[str, str, frozenset[str]]] = set()
        for row in rows:
            _fill(ledger, runner, row, overrides, known, filled)
            progress.advance(task)
        if filled.added:
            for trial in ledger.trials(ledger.named_experiment(name)):
                _aggregate(ledger, trial, filled.added)
    _print(console, name, filled, as_json)
    return filled.exit_code


def _fill(
    ledger: "Ledger",
    runner: "CellRunner",
    row: CellRow,
    overrides: Mapping[str, Any],
    known: set[tuple[str, str, frozenset[str]]],
    filled: Filled,
) -> None:
    """Evaluate one cell and add what it lacks.

    Cells of a trial with the same metrics as one that lacks nothing are not evaluated; `known` remembers them.
    """
    signature = (row.trial_run_id, row.dataset, frozenset(row.metrics))
    if signature in known:
        filled.complete += 1
        return
    try:
        result = _evaluate(ledger, runner, row, overrides)
        _check_reproduced(row, result)
    except UserError as error:
        filled.refused["/".join(map(str, (row.trial, row.dataset, row.shots, row.seed)))] = str(error)
        return
    new = {metric: value for metric, value in _evaluated(result).items() if metric not in row.metrics}
    if new:
        ledger.add_metrics(row.run_id, new)
        for metric in new:
            filled.added[metric] = filled.added.get(metric, 0) + 1
    else:
        known.add(signature)
        filled.complete += 1


def _evaluate(ledger: "Ledger", runner: "CellRunner", row: CellRow, overrides: Mapping[str, Any]) -> "CellResult":
    """The cell's result from its stored contexts; of methods that take seconds, run again.

    Raises:
        UserError: its contexts, data or weights are missing, or not those it was run with.
    """
    cell = _with_targets(cell_of(ledger, row, overrides), row)
    runner.parts.prepare_data([cell])
    runner.check([cell])
    same_numerics = int(row.origin.get(NUMERICS_TAG, 0)) >= numerics_of(CellInputs(cell))
    if same_numerics and runner.key(cell) != row.key:
        raise UserError("its images, descriptions or weights have changed since it was run")
    if not cell.setting.learns_prompts:
        (result,) = runner.run([cell])
        return result
    return runner.evaluate(cell, prompts_of(ledger, row, overrides).contexts)


def _with_targets(cell: "Cell", row: CellRow) -> "Cell":
    targets = row.params.get(TARGETS_PARAM)
    return replace(cell, targets=tuple(targets.split(", "))) if targets else cell


def _evaluated(result: "CellResult") -> dict[str, float]:
    """The metrics that an evaluation gives."""
    return {name: value for name, value in result.metrics.by_name().items() if not name.startswith(TRAINED_ONLY)}


def _check_reproduced(row: CellRow, result: "CellResult") -> None:
    """Refuse a result whose accuracies are not the recorded ones.

    Raises:
        UserError: one differs by more than the tolerance, or none is on record.
    """
    found = {name: value for name, value in _evaluated(result).items() if name.endswith(ACCURACY)}
    shared = found.keys() & row.metrics.keys()
    if not shared:
        raise UserError("no accuracy is on record to check the evaluation by")
    for metric in sorted(shared):
        if abs(found[metric] - row.metrics[metric]) > max(TOLERANCE, _one_image(result.cell, metric)):
            raise UserError(
                f"{metric} is {row.metrics[metric]:.2f} on record and {found[metric]:.2f} now: the data, weights or "
                "numerics have changed"
            )


def _one_image(cell: "Cell", metric: str) -> float:
    """The share of one image, in percent, in the accuracy of an image set; for a mean, of the smallest set."""
    data = data_of(cell)
    sets = {"val": data.val, **data.tests}
    return 100 / len(sets.get(metric.removesuffix(ACCURACY)) or min(filter(None, sets.values()), key=len))


def _aggregate(ledger: "Ledger", trial: TrialRow, added: Mapping[str, int]) -> None:
    """Add a trial's means of the metrics that were added to its cells."""
    means = grid_metrics(latest(ledger.trial_cells(trial.ref)))
    new = {name: value for name, value in means.items() if name.endswith(tuple(f"/{metric}" for metric in added))}
    if trial.pruned:
        new = {name: value for name, value in new.items() if not name.startswith("grid/mean/")}
    if new:
        ledger.add_metrics(trial.ref.run_id, new)


def _print(console: Console, name: str, filled: Filled, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"name": name, "complete": filled.complete, "added": filled.added, "refused": filled.refused}))
        return
    console.print(f"{name}: nothing is lacking in {counted(filled.complete, 'cell')}", highlight=False, markup=False)
    for metric, count in filled.added.items():
        console.print(f"  {metric}: added to {counted(count, 'cell')}", highlight=False, markup=False)
    for cell, reason in filled.refused.items():
        say_whole(console, f"{cell}: left as it is: {reason}")
