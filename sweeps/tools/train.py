"""`dualpt train`: one setting on one dataset, in this process, without Ray or MLflow."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from rich.console import Console

from dualpt.core.cell import Cell, check_serves, selection_of
from dualpt.core.config.activity import check_read
from dualpt.core.config.sections import Protocol
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.imported_split import find_import
from dualpt.core.data.protocols import TARGET, targets_of
from dualpt.core.errors import UserError, nearest
from dualpt.core.presets import check_no_preset, method_setting
from dualpt.core.results import measure_of
from dualpt.core.seeds import parse_seeds
from dualpt.core.selection_rules import SelectionRule
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.sweeps.console import say_whole, showing_progress
from dualpt.sweeps.outputs import writable_folder
from dualpt.sweeps.planning.data_notes import scarce_note
from dualpt.sweeps.records import SELECTION_PARAM
from dualpt.sweeps.word_table import WordTable

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellResult

SHOTS = 16
"""Training images per class, where neither `--shots` nor `data.shots` says."""


def train_once(console: Console, cells: Sequence[Cell], *, save: Path | None, as_json: bool) -> None:
    """Train the seeds of one setting as replicas (`cells_of`), print the results, and keep them where `save` says.

    Args:
        save: folder for metrics and what was learned; None keeps nothing.

    Raises:
        UserError: any fault of the data or of the folder, before training; a seed that failed, after it.
    """
    if save is not None:
        writable_folder(save, "--save")
    results = train_cells(cells, console, quiet=as_json or not console.is_terminal)
    if save is not None:
        for result in results:
            save_result(result, save)
    said = Console(stderr=True) if as_json else console
    if scarce := scarce_note(cells[0]):
        say_whole(said, f"note: {cells[0].dataset}: {scarce}")
    if as_json:
        print(json.dumps([_summary(result) for result in results], allow_nan=False))
    else:
        _print(console, results, save)
    failures = [result.failure for result in results if result.failure]
    if failures:
        raise UserError(f"{len(failures)} of {len(results)} seeds failed: {failures[0]}")


def train_cells(cells: Sequence[Cell], console: Console, *, quiet: bool) -> "list[CellResult]":
    """Train the seeds of one setting as replicas, and judge them.

    Raises:
        UserError: any fault of the setting or of its data, before training.
    """
    from dualpt.core.running.cell_runner import CellRunner

    runner = CellRunner()
    with showing_progress(console, quiet, "drawing") as show:
        runner.parts.prepare_data(cells, show)  # `check` would draw mini datasets silently
        runner.check(cells)
        runner.prepare(cells, show)
        show(0, None, "training")
        return runner.run(cells, lambda progress: show(progress.epoch, progress.epochs, "training"))


def cells_of(
    dataset: str,
    shots: int | None,
    seeds: str,
    method: str | Setting,
    protocol: str,
    targets: str | None,
    overrides: list[str],
    selection: str | None = None,
) -> list[Cell]:
    """The cells of one setting on one dataset, one per seed, as the command line gives them.

    Raises:
        UserError: any fault of the words.
    """
    values = parse_overrides(overrides)
    if "features" in values:  # as `dualpt sweep` takes it
        values["data.features"] = values.pop("features")
    n_shots = _shots(shots, values.pop("data.shots", None))
    rule = _selection(selection, values.pop(SELECTION_PARAM, None))
    return cells_for(dataset, n_shots, seeds_of(seeds), method, protocol, _words(targets), values, rule)


def cells_for(
    dataset: str,
    shots: int,
    seeds: Sequence[int],
    method: str | Setting,
    protocol: str,
    targets: Sequence[str] | None,
    values: Mapping[str, Any],
    selection: SelectionRule = "validation",
) -> list[Cell]:
    """The cells of one setting on one dataset, one per seed.

    Args:
        method: a published one, or a setting to start from.
        values: keys of the setting over the method's.
        selection: by which images they are judged.

    Raises:
        UserError: any fault of the values.
    """
    if protocol not in get_args(Protocol):
        raise UserError(f"--protocol: unknown protocol '{protocol}'{nearest(protocol, get_args(Protocol))}")
    numbers = list(dict.fromkeys(seeds))
    if not numbers:
        raise UserError("--seeds: give at least one")
    if min(numbers) < 0:  # Python's generators take a seed's absolute value: -1 would draw the sample of 1
        raise UserError(f"--seeds: seeds are 0 or larger, found {min(numbers)}")
    start = method if isinstance(method, Setting) else method_setting(method, protocol=cast(Protocol, protocol))
    check_no_preset(values.get("method"), "method", "name it as --method")
    setting = start.with_values(values, source="override")
    check_read(setting, values, "override")
    if not setting.trains:
        shots, numbers = 0, [0]
    rule = selection_of(setting, selection, searched=True)
    check_serves(setting, cast(Protocol, protocol), [shots], rule)
    name = dataset_info(dataset, setting.data.folder).name
    tested = targets_of(cast(Protocol, protocol), name, targets, setting.data.folder)
    return [Cell(setting, name, cast(Protocol, protocol), shots, seed, tested, rule) for seed in numbers]


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def seeds_of(text: str) -> list[int]:
    """What an option `--seeds` says.

    Raises:
        UserError: no list of seeds.
    """
    try:
        return parse_seeds(text)
    except ValueError as fault:
        raise UserError(f"--seeds: {fault}") from None


def _shots(option: int | None, override: Any) -> int:
    """What `--shots` or the override `data.shots`, the name in the ledger, says."""
    if override is None:
        return SHOTS if option is None else option
    if type(override) is not int or override < 1:
        raise UserError(f"data.shots: expected a whole number from 1 on, found '{override}'")
    if option is not None and option != override:
        raise UserError(f"--shots {option} and data.shots={override} differ; give one of them")
    return override


def selection_rule(word: object, place: str) -> SelectionRule:
    """A rule by its name; the default for None.

    Raises:
        UserError: there is no such rule; `place` is where it was given.
    """
    known = get_args(SelectionRule)
    if word is not None and word not in known:
        raise UserError(f"{place}: unknown rule '{word}'{nearest(str(word), known)} (known: {', '.join(known)})")
    return cast(SelectionRule, word or "validation")


def _selection(option: str | None, override: Any) -> SelectionRule:
    """What `--selection` or the override `data.selection`, the name in the ledger, says."""
    if option is not None and override is not None and option != override:
        raise UserError(f"--selection {option} and {SELECTION_PARAM}={override} differ; give one of them")
    return selection_rule(option, "--selection") if override is None else selection_rule(override, SELECTION_PARAM)


def _summary(result: "CellResult") -> dict[str, object]:
    cell = result.cell
    return {
        "dataset": cell.dataset,
        "protocol": cell.protocol,
        "shots": cell.shots,
        "seed": cell.seed,
        "selection": cell.selection,
        "cell_key": result.key,
        "sample_fingerprint": result.sample_fingerprint,
        "targets": list(cell.targets),
        **_finite(result.metrics.by_name()),
        "per_class": {test: _finite(accuracies) for test, accuracies in result.per_class.items()},
        "failure": result.failure,
    }


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values as JSON can hold them: a class without an image has no accuracy, and a diverged loss no value."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def save_result(result: "CellResult", folder: Path) -> list[Path]:
    """Write a cell's metrics and setting as JSON and its contexts, if it learned any; the files are returned."""
    from dualpt.core.learned.fitted import save_classifier
    from dualpt.core.learned.prompts import save_prompts

    cell = result.cell
    stem = f"{cell.dataset}-{cell.protocol}-{cell.shots}shot-seed{cell.seed}"
    document = {**_summary(result), "setting": cell.setting.flat()}
    files = [folder / f"{stem}.json"]
    files[0].write_text(json.dumps(document, indent=1, allow_nan=False))
    if (prompts := result.prompts) is not None:
        files.append(folder / f"{stem}.safetensors")
        save_prompts(files[1], prompts, {"cell_key": result.key})
    if result.learned is not None:
        files.append(folder / f"{stem}.safetensors")
        save_classifier(files[1], result.learned, {"cell_key": result.key})
    return files


def _print(console: Console, results: "Sequence[CellResult]", save: Path | None) -> None:
    seeds = [f"seed {result.cell.seed}" for result in results]
    spread = [f"mean ± sd (n={len(results)})"] if len(results) > 1 else []
    table = WordTable("", *seeds, *spread)
    metrics = [result.metrics.by_name() for result in results]
    for name in dict.fromkeys(name for of_seed in metrics for name in of_seed):
        digits = _digits(name)
        shown = [f"{of_seed[name]:.{digits}f}" if name in of_seed else "–" for of_seed in metrics]
        table.add_row(name, *shown, *[_spread([m[name] for m in metrics if name in m], digits) for _ in spread])
    table.show(console, markup=False)
    if spread and _share_a_draw(results[0].cell):
        say_whole(console, "one draw serves all seeds, so nothing is known of its spread")
    for name, per_class in results[0].per_class.items():
        if not name.startswith(TARGET):
            ranked = sorted((value, label) for label, value in per_class.items() if value == value)
            weakest = ", ".join(f"{label} {value:.0f}" for value, label in ranked[:3])
            line = f"  {name}: weakest classes (seed {results[0].cell.seed}): {weakest}"
            console.print(line, highlight=False, markup=False)
    if save is not None:
        say_whole(console, f"what was learned, and metrics, in {save}/")


def _share_a_draw(cell: Cell) -> bool:
    """Whether every seed trains on the same images: at its own number of shots, features of a single draw."""
    if cell.setting.data.features is None or not cell.shots:
        return False
    about = find_import(Path(cell.setting.data.features), cell.dataset)
    return not about.complete and cell.shots == about.largest.shots


def _digits(name: str) -> int:
    """As many as the tables of `dualpt compare` show; two of what says how training went."""
    return 2 if name.startswith(("train/", "plan_")) else measure_of(name).digits


def _spread(values: Sequence[float], digits: int) -> str:
    if len(values) < 2:
        return "–"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"
