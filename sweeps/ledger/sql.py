"""Runs of a database store, read in four queries: over 10,000 cells, the milliseconds of MLflow's client add up.

Only stores that are databases are read so; a tracking server is asked through MLflow's client. What is returned has the
shape of MLflow's own runs, as far as `contents` reads it, and a test compares both readings.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, NullPool, TextClause, bindparam, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from dualpt.core.errors import UserError
from dualpt.sweeps import records
from dualpt.sweeps.stores import StoreUnavailable, is_outage, masked

MOST_NAMED = 500
"""Runs named in one query."""
DIALECTS = ("sqlite", "postgresql", "mysql", "mssql")

OF_LEVEL = "runs r JOIN tags level ON level.run_uuid = r.run_uuid AND level.key = :level_key AND level.value = :level"
CHILDREN = " JOIN tags parent ON parent.run_uuid = r.run_uuid AND parent.key = :parent_key AND parent.value = :parent"
LISTS = ("experiments", "runs", "tags", "params")
"""Names of the bound values that are lists."""


@dataclass
class StoredInfo:
    run_id: str
    experiment_id: str
    status: str
    start_time: int
    end_time: int | None


@dataclass
class StoredData:
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class StoredRun:
    """What is read of a run, in the shape of `mlflow.entities.Run`."""

    info: StoredInfo
    data: StoredData = field(default_factory=StoredData)


@dataclass(frozen=True)
class StoredExperiment:
    experiment_id: str
    name: str
    active: bool
    """False where it was deleted in MLflow."""
    description: str


def is_readable_by_sql(uri: str) -> bool:
    """Whether a tracking store can be read by SQL."""
    return uri.partition(":")[0].partition("+")[0] in DIALECTS


def read_experiments(uri: str) -> list[StoredExperiment]:
    """All experiments, deleted ones included.

    Raises:
        UserError: as in `read_runs`.
    """
    query = (
        "SELECT e.experiment_id, e.name, e.lifecycle_stage, t.value FROM experiments e "
        "LEFT JOIN experiment_tags t ON t.experiment_id = e.experiment_id AND t.key = :note"
    )
    with _connected(uri) as connection:
        found = connection.execute(text(query), {"note": records.NOTE_TAG}).all()
    return [StoredExperiment(str(number), name, stage == "active", note or "") for number, name, stage, note in found]


def read_runs(
    uri: str,
    experiment_ids: Sequence[str],
    level: str = "cell",
    *,
    finished_only: bool = False,
    params: Sequence[str] | None = None,
    beneath: str | None = None,
) -> list[StoredRun]:
    """The active runs of one level (`sweep`, `trial` or `cell`) in some experiments, the earliest first.

    Args:
        params: parameters to read; None is all, which are most of what there is to read.
        beneath: the run whose children alone are read; None is all.

    Raises:
        StoreUnavailable: the database does not answer.
        UserError: it cannot be read, or its tables are not as MLflow lays them out.
    """
    if not experiment_ids:
        return []
    tables, where = OF_LEVEL, "r.experiment_id IN :experiments"
    if finished_only:
        where += " AND r.status = 'FINISHED'"
    experiments = [int(number) for number in experiment_ids]
    given: dict[str, Any] = {"level_key": records.LEVEL_TAG, "level": level, "experiments": experiments}
    if beneath is not None:
        tables += CHILDREN
        given |= {"parent_key": records.PARENT_TAG, "parent": beneath}
    with _connected(uri) as connection:
        return _read(connection, tables, where, given, params)


def read_named(uri: str, run_ids: Sequence[str], params: Sequence[str]) -> list[StoredRun]:
    """The active runs of these ids. However many the store holds, this takes the same time: no tags are searched.

    Args:
        params: parameters to read.

    Raises:
        UserError: as in `read_runs`.
    """
    found = []
    with _connected(uri) as connection:
        for some in _batches(run_ids):
            found += _read(connection, "runs r", "r.run_uuid IN :runs", {"runs": some}, params)
    return found


def read_deleted(uri: str, experiment_ids: Sequence[str], level: str) -> frozenset[str]:
    """Ids of the runs of one level that were deleted in MLflow.

    Raises:
        UserError: as in `read_runs`.
    """
    query = text(
        "SELECT r.run_uuid FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = :key AND t.value = :level "
        "WHERE r.experiment_id IN :experiments AND r.lifecycle_stage <> 'active'"
    ).bindparams(bindparam("experiments", expanding=True))
    if not experiment_ids:
        return frozenset()
    given = {"key": records.LEVEL_TAG, "level": level, "experiments": [int(number) for number in experiment_ids]}
    with _connected(uri) as connection:
        return frozenset(run_id for (run_id,) in connection.execute(query, given))


def read_histories(uri: str, run_ids: Sequence[str], metric: str) -> dict[str, list[tuple[int, float]]]:
    """Run -> (step, value) of one metric, finite ones alone, in no order.

    Raises:
        UserError: as in `read_runs`.
    """
    query = text(
        "SELECT run_uuid, step, value FROM metrics WHERE key = :metric AND is_nan = :no AND run_uuid IN :runs"
    ).bindparams(bindparam("runs", expanding=True))
    found: dict[str, list[tuple[int, float]]] = {}
    with _connected(uri) as connection:
        for some in _batches(run_ids):
            for run_id, step, value in connection.execute(query, {"metric": metric, "no": False, "runs": some}):
                found.setdefault(run_id, []).append((step, value))
    return found


def read_params(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Run -> its parameters by name; a run without any is left out.

    Raises:
        UserError: as in `read_runs`.
    """
    query = text("SELECT run_uuid, key, value FROM params WHERE run_uuid IN :runs").bindparams(
        bindparam("runs", expanding=True)
    )
    found: dict[str, dict[str, str]] = {}
    with _connected(uri) as connection:
        for some in _batches(run_ids):
            for run_id, key, value in connection.execute(query, {"runs": some}):
                found.setdefault(run_id, {})[key] = value
    return found


def _batches(run_ids: Sequence[str]) -> Iterator[list[str]]:
    """Ids in lists that one query may name."""
    for start in range(0, len(run_ids), MOST_NAMED):
        yield list(run_ids[start : start + MOST_NAMED])


@contextlib.contextmanager
def _connected(uri: str) -> Iterator[Connection]:
    try:
        engine = _engine(uri)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise UserError(
            f"tracking store: the address cannot be used ({str(error).splitlines()[0]}); see --store"
        ) from None
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        reason = masked(str(error).strip().splitlines()[0])
        if is_outage(error):
            raise StoreUnavailable(f"tracking store {masked(uri)}: {reason}") from None
        raise UserError(
            f"tracking store {masked(uri)}: its tables cannot be read ({reason}); serve it with `mlflow server` and "
            "name the server instead"
        ) from None


@functools.lru_cache(maxsize=4)
def _engine(uri: str) -> Engine:
    """Made once, since that takes longer than a small query; it holds no connection between two uses."""
    return create_engine(uri, poolclass=NullPool)


def _read(
    connection: Connection, tables: str, where: str, values: Mapping[str, Any], params: Sequence[str] | None
) -> list[StoredRun]:
    """The active ones of the runs `r` of some tables.

    Args:
        values: those that `tables` and `where` name.
    """

    def ask(columns: str, join: str = "", more: Mapping[str, Any] | None = None, order: str = "") -> Any:
        query: TextClause = text(
            f"SELECT {columns} FROM {tables} {join} WHERE {where} AND r.lifecycle_stage = 'active' {order}"
        )
        given = {**values, **(more or {})}
        lists: list[BindParameter[Any]] = [bindparam(name, expanding=True) for name in LISTS if name in given]
        return connection.execute(query.bindparams(*lists), given).all()

    own = "r.run_uuid, r.experiment_id, r.status, r.start_time, r.end_time"
    runs = {
        run_id: StoredRun(StoredInfo(run_id, str(experiment), status, start, end))
        for run_id, experiment, status, start, end in ask(own, order="ORDER BY r.start_time, r.run_uuid")
    }
    tags = "JOIN tags t ON t.run_uuid = r.run_uuid AND (t.key LIKE 'dualpt.%' OR t.key IN :tags)"
    for run_id, key, value in ask("t.run_uuid, t.key, t.value", tags, {"tags": [records.PARENT_TAG]}):
        if run_id in runs:  # a run may be added between two queries
            runs[run_id].data.tags[key] = value
    chosen, named = ("", {}) if params is None else (" AND p.key IN :params", {"params": list(params)})
    join = f"JOIN params p ON p.run_uuid = r.run_uuid{chosen}"
    for run_id, key, value in ask("p.run_uuid, p.key, p.value", join, named):
        if run_id in runs:
            runs[run_id].data.params[key] = value
    metrics = ask("m.run_uuid, m.key, m.value, m.is_nan", "JOIN latest_metrics m ON m.run_uuid = r.run_uuid")
    for run_id, key, value, is_nan in metrics:
        if run_id in runs:
            runs[run_id].data.metrics[key] = float("nan") if is_nan else value
    return list(runs.values())
