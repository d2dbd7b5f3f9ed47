"""Runs between MLflow and the archive. With `dualpt.sweeps.ledger.mlflow`, all that speaks to MLflow."""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.tracking import MlflowClient

from dualpt.core.results import CellMetrics
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import LOSS, SETTING_FILE
from dualpt.sweeps.ledger.mlflow.artifact_places import ArtifactPlaces
from dualpt.sweeps.ledger.mlflow.errors import artifacts_in_one_line
from dualpt.sweeps.moving.archive import ArchivedRun, artifact_files

LEVELS = ("sweep", "trial", "cell")
"""In the order in which runs are created: parents first."""
MLFLOW_OWN = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit", "mlflow.runName")
"""Tags that MLflow sets itself and that say nothing of the sweep."""
SINGLE = frozenset(field.alias for field in CellMetrics.model_fields.values()) - {LOSS}
"""A cell's metrics that have one value and no history."""
CONTEXT_TAG = "mlflow.data.context"
PAGE = 1000
BATCH, PARAMS = 1000, 100
"""Metrics and parameters that MLflow takes in one call."""


def runs_of(client: MlflowClient, experiment_id: str) -> list[Run]:
    """The sweep's runs, its trials' and their cells', in this order; cells that others were copied from come first."""
    found: list[Run] = []
    for level in LEVELS:
        query, token = f"tags.`{records.LEVEL_TAG}` = '{level}'", None
        while True:
            order = ["attributes.start_time ASC"]
            page = client.search_runs([experiment_id], query, max_results=PAGE, page_token=token, order_by=order)
            found += page
            token = page.token
            if not token:
                break
    return sorted(
        found, key=lambda run: (LEVELS.index(run.data.tags[records.LEVEL_TAG]), records.REUSED_TAG in run.data.tags)
    )


def with_parents(runs: Sequence[Run]) -> list[Run]:
    """The runs whose trial is among them; sweeps and trials stand on their own."""
    known = {run.info.run_id for run in runs}
    return [
        run
        for run in runs
        if run.data.tags[records.LEVEL_TAG] != "cell" or run.data.tags.get(records.PARENT_TAG) in known
    ]


def archived(client: MlflowClient, run: Run, files: Mapping[str, Path]) -> ArchivedRun:
    """A run as the archive holds it; one call for each metric that has a history."""
    info, data = run.info, run.data
    ended = info.end_time or info.start_time
    is_cell = data.tags.get(records.LEVEL_TAG) == "cell"
    metrics = {
        name: [(value, ended, 0)]
        if is_cell and name in SINGLE
        else [(point.value, point.timestamp, point.step) for point in client.get_metric_history(info.run_id, name)]
        for name, value in data.metrics.items()
    }
    return ArchivedRun(
        id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        start_ms=info.start_time,
        end_ms=info.end_time,
        tags={key: value for key, value in data.tags.items() if key not in MLFLOW_OWN},
        params=dict(data.params),
        metrics=metrics,
        inputs=[_input(given) for given in run.inputs.dataset_inputs] if run.inputs else [],
        artifacts=list(files),
    )


def missing_files(client: MlflowClient, run: Run, holder: str, found: Collection[str]) -> list[str]:
    """Files that a run was given when it was recorded and that are not found; a killed launch leaves some runs bare.

    Args:
        holder: the run whose artifacts they are: this one, or the one that it was copied from.
    """
    tags = (run if holder == run.info.run_id else client.get_run(holder)).data.tags
    level, noted = run.data.tags[records.LEVEL_TAG], tags.get(records.FILES_TAG, SETTING_FILE)
    given = bool(run.data.params) if level == "trial" else level == "cell" and run.info.status == "FINISHED"
    return [name for name in noted.split(",") if name not in found] if given else []


@contextmanager
def artifacts(client: MlflowClient, places: ArtifactPlaces, run_id: str) -> Iterator[dict[str, Path]]:
    """A run's artifacts by path: its own files where they are local, else copies that last as long as the context.

    Raises:
        ArtifactsRefused: the artifact store does not give them.
    """
    if folders := places.to_read(client.get_run(run_id)):
        yield {place: file for folder in reversed(folders) for place, file in artifact_files(folder)}
        return
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        with artifacts_in_one_line(f"of run {run_id}"):
            client.download_artifacts(run_id, "", folder)
        yield dict(artifact_files(Path(folder)))


def create(
    client: MlflowClient,
    places: ArtifactPlaces,
    experiment_id: str,
    run: ArchivedRun,
    tags: Mapping[str, str],
    unpack: Callable[[ArchivedRun, Path], None],
) -> str:
    """Write an archived run, all but its end, in as few calls as MLflow takes: each is a transaction.

    Args:
        tags: its tags in this store.
        unpack: writes the run's artifacts into a folder.

    Returns:
        The id of the new run.

    Raises:
        ArtifactsRefused: the artifact store does not take them.
    """
    created = client.create_run(experiment_id, run.start_ms, dict(tags), run.name)
    run_id = str(created.info.run_id)
    metrics = [Metric(name, *point) for name, points in run.metrics.items() for point in points]
    params = [Param(key, value) for key, value in run.params.items()]
    for batch in range(max(-(-len(metrics) // BATCH), -(-len(params) // PARAMS))):
        own = params[batch * PARAMS : (batch + 1) * PARAMS]
        client.log_batch(run_id, metrics[batch * BATCH : (batch + 1) * BATCH], own)
    if run.inputs:
        client.log_inputs(run_id, [_dataset(given) for given in run.inputs])
    if not run.artifacts:
        return run_id
    with artifacts_in_one_line(str(created.info.artifact_uri)):
        if (own_folder := places.to_write(created)) is not None:
            unpack(run, own_folder)
            return run_id
        with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
            unpack(run, Path(folder))
            client.log_artifacts(run_id, folder)
    return run_id


def _input(given: DatasetInput) -> dict[str, Any]:
    dataset = given.dataset
    context = next((tag.value for tag in given.tags if tag.key == CONTEXT_TAG), None)
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
        "context": context,
    }


def _dataset(given: Mapping[str, Any]) -> DatasetInput:
    dataset = Dataset(given["name"], given["digest"], given["source_type"], given["source"])
    return DatasetInput(dataset, [InputTag(CONTEXT_TAG, given["context"])] if given["context"] else [])
