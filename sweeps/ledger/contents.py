"""What the runs of cells and trials hold, written and read back: tags, parameters, metrics, files. Knows no MLflow."""

import itertools
import json
import math
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dualpt.core.cell import Cell
from dualpt.core.config.activity import LOCATIONS, METHOD_SOURCE, active_values
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.files.json_reader import read_json
from dualpt.sweeps import records
from dualpt.sweeps.ledger.launch_requests import requests_in
from dualpt.sweeps.records import CellRow, KeyedCell, SweepRow, TrialRef, TrialRow

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellResult

CURVE_POINTS = 100
"""Most points of a recorded loss curve; longer ones are thinned evenly."""
LONGEST_TAG = 5000
"""Characters of a tag that every tracking store keeps whole."""
LONGEST_PARAM = 6000
"""Characters of a parameter that MLflow keeps: it cuts off the rest."""
LOSS = "train/loss"
CONTEXTS_FILE, CLASSIFIER_FILE = "contexts.safetensors", "classifier.safetensors"
SETTING_FILE, CLASSES_FILE = "setting.json", "per_class.json"
FILE_REMEDY = "put a copy in its place, or delete the run in MLflow and launch its sweep again"


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
    if cell.selection != "validation":
        own[records.SELECTION_PARAM] = cell.selection
    return {key: str(value) for key, value in {**active_values(cell.setting), **own}.items()}


def chosen_params(result: "CellResult") -> dict[str, str]:
    """The options that a method chose on the cell's validation images: `chosen.alpha`."""
    chosen = {} if result.learned is None else result.learned.chosen
    return {f"{records.CHOSEN}{option}": str(value) for option, value in chosen.items()}


def cell_points(result: "CellResult") -> list[Point]:
    """The metrics by name; the loss as a curve over epochs, whose last point is the reported loss."""
    curve = _thinned([Point(LOSS, loss, epoch) for epoch, loss in enumerate(result.loss_curve, start=1)])
    scalars = result.metrics.by_name()
    if curve:
        scalars.pop(LOSS, None)
    return [Point(name, value) for name, value in scalars.items()] + curve


def cell_files(keyed: KeyedCell, result: "CellResult") -> dict[str, bytes]:
    """A cell's files by name: the resolved setting, the accuracy of every class, the learned contexts or classifier.

    Made in memory, since a full disk must not cost a trained cell. Never the backbone: contexts are some kilobytes, and
    the frozen towers are named in the setting.
    """
    per_class = {test_set: dict(classes) for test_set, classes in result.per_class.items()}
    files = {**setting_file(keyed.cell.setting), CLASSES_FILE: _json(per_class)}
    if (prompts := result.prompts) is not None:
        from dualpt.core.learned.prompts import prompts_file

        files[CONTEXTS_FILE] = prompts_file(prompts, {"cell_key": keyed.key, **cell_params(keyed.cell)})
    if result.learned is not None:
        from dualpt.core.learned.fitted import classifier_file

        files[CLASSIFIER_FILE] = classifier_file(result.learned, {"cell_key": keyed.key, **cell_params(keyed.cell)})
    return files


def setting_file(setting: Setting) -> dict[str, bytes]:
    """The file of the resolved setting, every key by its dotted name."""
    return {SETTING_FILE: _json(setting.flat())}


def read_setting(path: Path, params: Mapping[str, str]) -> Mapping[str, Any]:
    """The setting that `setting_file` holds, every key by its dotted name.

    Args:
        params: parameters of the run that the file belongs to.

    Raises:
        UserError: the file is damaged, or another run's.
    """
    values = read_json(path, FILE_REMEDY)
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no setting; {FILE_REMEDY}")
    if (said := difference(values, params)) is not None:
        raise UserError(f"{path}: is not its run's: {said}; {FILE_REMEDY}")
    return values


def difference(values: Mapping[str, Any], params: Mapping[str, str]) -> str | None:
    """The first key that a setting's file and the parameters of its run disagree about; None where they agree.

    Places are no matter; nor is where a user's own method lay, of which the runs of cells have the name. A key that was
    added since the file was written has its default, as it has where the file is read.
    """
    passed_over = {*LOCATIONS, *(["method"] if METHOD_SOURCE in params else [])}
    values = {**Setting().flat(), **values}
    for key in records.recorded_keys([params]):
        if key in passed_over or key not in params:
            continue
        if key not in values:
            return f"it lacks {key}"
        if str(values[key])[:LONGEST_PARAM] != params[key]:
            return f"{key} is {values[key]!s:.40} in it and {params[key]:.40} on record"
    return None


def text_tags(tag: str, text: str, known: Collection[str]) -> dict[str, str]:
    """A JSON text of any length in as many tags as it takes.

    Args:
        tag: the tag's name; a long text is in parts, `<tag>.1` and so on, and this tag is empty.
        text: what a launch declared, or has to say of its data.
        known: the run's tags; parts of a longer text are emptied.
    """
    stale = {name: "" for name in known if name.startswith(f"{tag}.")}
    if len(text) <= LONGEST_TAG:
        return {tag: text, **stale}
    parts = [text[start : start + LONGEST_TAG] for start in range(0, len(text), LONGEST_TAG)]
    return {tag: "", **stale, **{f"{tag}.{n}": part for n, part in enumerate(parts, start=1)}}


def declared_in(tags: Mapping[str, str]) -> str:
    """The text of what a sweep's launches declared; nothing where a kill has left a part of it."""
    return _text_in(tags, records.GRID_TAG)


def _text_in(tags: Mapping[str, str], tag: str) -> str:
    """What `text_tags` wrote; nothing where a kill has left a part of it."""
    parts = itertools.takewhile(bool, (tags.get(f"{tag}.{n}", "") for n in itertools.count(1)))
    text = tags.get(tag, "") or "".join(parts)
    try:
        json.loads(text)
    except ValueError:
        return ""
    return text


def noted_in(tags: Mapping[str, str]) -> str:
    """What users have noted of a run, in one line: the text, then their tags in brackets; or nothing."""
    prefix = f"{records.USER_TAG}."
    own = [f"{name.removeprefix(prefix)}={value}" for name, value in sorted(tags.items()) if name.startswith(prefix)]
    return " ".join(filter(None, (tags.get(records.NOTED_TAG, ""), f"[{', '.join(own)}]" if own else "")))


def sweep_from_run(run: Any, description: str) -> SweepRow:
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
        data_notes=_text_in(tags, records.DATA_TAG),
        fixed=tags.get(records.FIXED_TAG, ""),
        launched=_text_in(tags, records.LAUNCHED_TAG),
        search=tags.get(records.SEARCH_TAG, ""),
        renaming=tags.get(records.RENAMING_TAG, ""),
        noted=noted_in(tags),
        queued=sum(asked.verb == "clone" and not asked.answer for asked in requests_in(tags)),
    )


def trial_from_run(run: Any) -> TrialRow:
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
        stopped=records.STOPPED_TAG in tags,
        noted=noted_in(tags),
        aside=tags.get(records.SUPERSEDED_TAG, "").replace("true", "before"),
    )


def number_from(stored: float) -> float:
    """A metric as it was before MLflow stored it: its databases keep an infinity as the largest float there is."""
    return math.copysign(math.inf, stored) if abs(stored) >= sys.float_info.max else stored


def loss_curve(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """A cell's losses by epoch, from all stored points of the metric: the finite ones, in order."""
    return sorted((step, value) for step, value in points if step > 0 and math.isfinite(number_from(value)))


def one_per_step(points: Iterable[Point]) -> tuple[Point, ...]:
    """One value per metric and step, the last one, unless an earlier one is not finite: that says what went wrong.

    MLflow would take all of them, and of two at one step and time show the larger, with NaN as 0.
    """
    kept: dict[tuple[str, int], Point] = {}
    for point in points:
        before = kept.get((point.name, point.step))
        if before is None or math.isfinite(before.value):
            kept[point.name, point.step] = point
    return tuple(kept.values())


def cell_from_run(run: Any) -> CellRow:
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
        metrics={name: number_from(value) for name, value in run.data.metrics.items()},
        params=params,
        seconds=((info.end_time or info.start_time) - info.start_time) / 1000,
        recorded_ms=info.end_time or info.start_time,
        failure=tags.get(records.FAILURE_TAG),
        reused_from=tags.get(records.REUSED_TAG),
        origin={name: tags[name] for name in records.ORIGIN_TAGS if name in tags},
        artifacts_wait=tags.get(records.ARTIFACTS_TAG),
        noted=noted_in(tags),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _thinned(points: list[Point]) -> list[Point]:
    """At most `CURVE_POINTS` of the points, evenly spaced, the last included."""
    stride = max(1, -(-len(points) // CURVE_POINTS))
    return points[::-1][::stride][::-1]
