"""What the runs of cells and trials hold, written and read back: tags, parameters, metrics, files. Knows no MLflow."""

import itertools
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dualpt.core.cell import Cell
from dualpt.core.config import Setting
from dualpt.sweeps import records
from dualpt.sweeps.records import CellRow, KeyedCell, SweepRow, TrialRef, TrialRow

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellResult

CURVE_POINTS = 100
"""Most points of a recorded loss curve; longer ones are thinned evenly."""
LONGEST_TAG = 5000
"""Characters of a tag that every tracking store keeps whole."""
LOSS = "train/loss"
CONTEXTS_FILE, SETTING_FILE = "contexts.safetensors", "setting.json"


class Point(NamedTuple):
    """One value of a metric; `step` is the epoch on curves and 0 elsewhere."""

    name: str
    value: float
    step: int = 0


def trial_tags(trial: TrialRef) -> dict[str, str]:
    """Shared by a trial and its cells."""
    return {
        records.SETTING_TAG: trial.setting,
        records.SWEEP_TAG: trial.sweep,
        records.TRIAL_TAG: trial.name,
        records.KIND_TAG: trial.kind,
        records.SCHEMA_TAG: records.SCHEMA,
    }


def cell_tags(trial: TrialRef, keyed: KeyedCell) -> dict[str, str]:
    own = {records.LEVEL_TAG: "cell", records.KEY_TAG: keyed.key, records.PARENT_TAG: trial.run_id}
    return {**trial_tags(trial), **own}


def origin_tags(result: "CellResult") -> dict[str, str]:
    """The sample that was drawn, and what the numbers were computed with."""
    tags = {records.SAMPLE_TAG: result.sample_fingerprint} if result.sample_fingerprint else {}
    if (source := result.provenance) is not None:
        tags |= {
            records.WEIGHTS_TAG: source.weights,
            records.NUMERICS_TAG: str(source.numerics),
            records.SOFTWARE_TAG: source.software,
            records.DEVICE_TAG: source.device,
        }
    return tags


def cell_params(cell: Cell) -> dict[str, str]:
    """The setting's active keys and the cell's own, by dotted name."""
    own: dict[str, str | int] = {
        records.DATASET_PARAM: cell.dataset,
        records.PROTOCOL_PARAM: cell.protocol,
        records.SHOTS_PARAM: cell.shots,
        records.SEED_PARAM: cell.seed,
    }
    if cell.targets:
        own[records.TARGETS_PARAM] = ", ".join(cell.targets)
    return {key: str(value) for key, value in {**cell.setting.active(), **own}.items()}


def cell_points(result: "CellResult") -> list[Point]:
    """The metrics by name; the loss as a curve over epochs, whose last point is the reported loss."""
    curve = _thinned([Point(LOSS, loss, epoch) for epoch, loss in enumerate(result.loss_curve, start=1)])
    scalars = result.metrics.by_name()
    if curve:
        scalars.pop(LOSS, None)
    return [Point(name, value) for name, value in scalars.items()] + curve


def write_cell(folder: Path, keyed: KeyedCell, result: "CellResult") -> None:
    """Write a cell's files: the resolved setting, the accuracy of every class, the learned contexts.

    Never the backbone: contexts are some kilobytes, and the frozen towers are named in the setting.
    """
    write_setting(folder, keyed.cell.setting)
    _write_json(folder / "per_class.json", {test_set: dict(classes) for test_set, classes in result.per_class.items()})
    if (prompts := result.prompts) is not None:
        from dualpt.core.learned.prompts import save_prompts

        described = {"cell_key": keyed.key, **cell_params(keyed.cell)}
        save_prompts(folder / CONTEXTS_FILE, prompts, described)


def write_setting(folder: Path, setting: Setting) -> None:
    """Write the resolved setting, every key by its dotted name."""
    _write_json(folder / SETTING_FILE, setting.flat())


def read_setting(path: Path) -> Mapping[str, Any]:
    """The setting that `write_setting` wrote, every key by its dotted name."""
    return cast(Mapping[str, Any], json.loads(path.read_text(encoding="utf-8")))


def grid_tags(declared: str, known: Collection[str]) -> dict[str, str]:
    """What launches declared (`dualpt.sweeps.planning.declared`), in as many tags as it takes.

    Args:
        known: the run's tags; parts of a longer text are emptied.
    """
    stale = {tag: "" for tag in known if tag.startswith(f"{records.GRID_TAG}.")}
    if len(declared) <= LONGEST_TAG:
        return {records.GRID_TAG: declared, **stale}
    parts = [declared[start : start + LONGEST_TAG] for start in range(0, len(declared), LONGEST_TAG)]
    return {records.GRID_TAG: "", **stale, **{f"{records.GRID_TAG}.{n}": part for n, part in enumerate(parts, start=1)}}


def declared_in(tags: Mapping[str, str]) -> str:
    """What `grid_tags` wrote; nothing where a kill has left a part of it."""
    parts = itertools.takewhile(bool, (tags.get(f"{records.GRID_TAG}.{n}", "") for n in itertools.count(1)))
    text = tags.get(records.GRID_TAG, "") or "".join(parts)
    try:
        json.loads(text)
    except ValueError:
        return ""
    return text


def read_sweep(run: Any, description: str) -> SweepRow:
    """A sweep from its run, as MLflow's client returns it."""
    tags = run.data.tags
    return SweepRow(
        run_id=run.info.run_id,
        name=tags[records.SWEEP_TAG],
        description=description,
        status=run.info.status,
        best=tags.get(records.BEST_TAG),
        best_value=tags.get(records.BEST_VALUE_TAG),
        launch=tags.get(records.LAUNCH_TAG, ""),
        declared=declared_in(tags),
    )


def read_trial(run: Any) -> TrialRow:
    """A trial from its run, as MLflow's client returns it."""
    tags = run.data.tags
    ref = TrialRef(
        experiment_id=run.info.experiment_id,
        run_id=run.info.run_id,
        sweep=tags[records.SWEEP_TAG],
        name=tags[records.TRIAL_TAG],
        kind=cast(records.Kind, tags[records.KIND_TAG]),
        setting=tags[records.SETTING_TAG],
    )
    return TrialRow(
        ref,
        run.info.status,
        superseded=records.SUPERSEDED_TAG in tags,
        pruned=records.PRUNED_TAG in tags,
        selected=records.SELECTED_TAG in tags,
    )


def read_cell(run: Any) -> CellRow:
    """A cell from its run; places are filled with blanks where a foreign run lacks them."""
    tags, params, info = run.data.tags, run.data.params, run.info
    return CellRow(
        run_id=info.run_id,
        trial_run_id=tags.get(records.PARENT_TAG, ""),
        key=tags.get(records.KEY_TAG, ""),
        trial=tags.get(records.TRIAL_TAG, ""),
        kind=tags.get(records.KIND_TAG, ""),
        dataset=params.get(records.DATASET_PARAM, ""),
        protocol=params.get(records.PROTOCOL_PARAM, ""),
        shots=int(params.get(records.SHOTS_PARAM, 0)),
        seed=int(params.get(records.SEED_PARAM, 0)),
        status=info.status,
        metrics=run.data.metrics,
        params=params,
        seconds=((info.end_time or info.start_time) - info.start_time) / 1000,
        recorded_ms=info.end_time or info.start_time,
        failure=tags.get(records.FAILURE_TAG),
        reused_from=tags.get(records.REUSED_TAG),
        origin={name: tags[name] for name in records.ORIGIN_TAGS if name in tags},
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _thinned(points: list[Point]) -> list[Point]:
    """At most `CURVE_POINTS` of the points, evenly spaced, the last included."""
    stride = max(1, -(-len(points) // CURVE_POINTS))
    return points[::-1][::stride][::-1]
