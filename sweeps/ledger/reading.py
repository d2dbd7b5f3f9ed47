"""What tables, reports and `status` ask of a store: sweeps, their trials, their cells.

Stores that are databases are read by SQL and without MLflow, which takes two seconds to load; a tracking server is
read through the ledger.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from dualpt.core.errors import UserError, nearest
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import LOSS, cell_from_run, loss_curve, sweep_from_run, trial_from_run
from dualpt.sweeps.ledger.readable import rows_of, sweep_of
from dualpt.sweeps.ledger.sql import (
    StoredExperiment,
    read_deleted,
    read_experiments,
    read_histories,
    read_params,
    read_runs,
)
from dualpt.sweeps.records import CellRow, SweepRow, TrialRef, TrialRow, latest
from dualpt.sweeps.stores import absolute_uri, examine, masked

PLACE_PARAMS = (
    records.DATASET_PARAM,
    records.PROTOCOL_PARAM,
    records.SHOTS_PARAM,
    records.SEED_PARAM,
    records.SELECTION_PARAM,
    records.DRAW_PARAM,
)
"""Parameters that say which cell a run is."""


class SweepReader(ABC):
    """A store of sweeps, to be read. `experiment` is the id of a sweep's experiment."""

    uri: str

    @abstractmethod
    def find_experiment(self, name: str) -> str | None:
        """The id of the sweep's experiment, or None where there is none.

        Raises:
            UserError: an experiment of this name was deleted in MLflow.
        """

    @abstractmethod
    def sweeps(self) -> list[str]:
        """Names of the sweeps on record, the latest first."""

    @abstractmethod
    def sweep_row(self, experiment: str) -> SweepRow | None:
        """The run of a sweep, or None where its experiment holds none."""

    @abstractmethod
    def trials(self, experiment: str) -> list[TrialRow]:
        """The trials on record, superseded ones included.

        Raises:
            UserError: they were recorded by a version with another schema.
        """

    @abstractmethod
    def loss_curves(self, run_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """The training losses of cells by epoch; empty where one trained nothing, and where it was reused."""

    @abstractmethod
    def params_of(self, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The parameters of runs; for some cells of a sweep whose rows were read without."""

    @abstractmethod
    def _experiment_ids(self) -> list[str]:
        """All experiments that were not deleted."""

    @abstractmethod
    def _deleted_trials(self, experiments: Sequence[str]) -> frozenset[str]:
        """Run ids of the trials that were deleted in MLflow."""

    @abstractmethod
    def _cell_runs(
        self, experiments: Sequence[str], *, finished_only: bool = False, params: Sequence[str] | None = None
    ) -> Sequence[Any]:
        """Runs of cells, MLflow's or as stored, with the parameters named; None is all."""

    def cells(self, experiment: str, params: Sequence[str] | None = None) -> list[CellRow]:
        """Every recorded attempt at a cell of one experiment, superseded trials included.

        `params` are the parameters that rows must hold, besides those that say which cell it is; None is all.

        Left out are orphans that were cut off before their parameters were written, which do not say which cell they
        are, and the cells of trials that were deleted in MLflow, which keeps the runs beneath them.
        """
        wanted = None if params is None else [*PLACE_PARAMS, *params]
        rows = rows_of(self._cell_runs([experiment], params=wanted), cell_from_run)
        deleted = self._deleted_trials([experiment])
        return [row for row in rows if row.dataset and row.trial_run_id not in deleted]

    def finished_cells(self, params: Sequence[str] = ()) -> dict[str, CellRow]:
        """The finished cells of the whole store by key; of several with the same key, the last recorded."""
        return {row.key: row for row in self.finished_rows(params)}

    def finished_rows(self, params: Sequence[str] = ()) -> list[CellRow]:
        """The finished cells of the whole store in the order recorded, those that took another's numbers included.

        `params` are the parameters that rows must hold, besides the method and those that say which cell it is.

        Left out are those of another schema, which are not results of this version, and those whose trials were
        deleted in MLflow.
        """
        everywhere = self._experiment_ids()
        runs = self._cell_runs(everywhere, finished_only=True, params=[*PLACE_PARAMS, "method", *params])
        deleted = self._deleted_trials(everywhere)
        rows = rows_of((run for run in runs if run.data.tags.get(records.SCHEMA_TAG) == records.SCHEMA), cell_from_run)
        known = [row for row in rows if row.trial_run_id not in deleted]
        return sorted(known, key=lambda row: row.recorded_ms)

    def named_experiment(self, name: str) -> str:
        """The id of a sweep's experiment.

        Raises:
            UserError: there is no such sweep; the line names those on record.
        """
        experiment = self.find_experiment(name)
        if experiment is None:
            known = self.sweeps()
            raise UserError(
                f"no sweep named '{name}' in {masked(self.uri)}{nearest(name, known)} "
                f"(recorded: {', '.join(known) or 'none'})"
            )
        return experiment

    def shown_cells(self, experiment: str, params: Sequence[str] | None = None) -> list[CellRow]:
        """One row per cell of each trial that is not superseded (see `latest`); `params` as in `cells`."""
        hidden = {row.ref.run_id for row in self.trials(experiment) if row.superseded}
        return latest(row for row in self.cells(experiment, params) if row.trial_run_id not in hidden)

    def read_cells(self, name: str, params: Sequence[str] | None = None) -> list[CellRow]:
        """What a table of the sweep shows; `params` as in `cells`.

        Raises:
            UserError: there is no such sweep; the line names those on record.
        """
        return self.shown_cells(self.named_experiment(name), params)

    def read_sweep(self, name: str) -> SweepRow:
        """The run of a sweep.

        Raises:
            UserError: there is no such sweep.
        """
        row = self.sweep_row(self.named_experiment(name))
        if row is None:
            where = f"experiment '{name}' in {masked(self.uri)}"
            raise UserError(f"{where} holds no run of a sweep; run `dualpt sweep` first")
        return row

    def pruned_trials(self, experiment: str) -> list[str]:
        """Names of a sweep's candidates that its race has given up."""
        return [row.ref.name for row in self.trials(experiment) if row.pruned and not row.superseded]

    def stopped_trials(self, experiment: str) -> list[TrialRef]:
        """A sweep's trials that users have stopped."""
        return [row.ref for row in self.trials(experiment) if row.stopped and not row.superseded]


class DatabaseReader(SweepReader):
    """A store that is a database."""

    def __init__(self, uri: str) -> None:
        """
        Raises:
            UserError: one line that says why the store cannot be used, and the remedy.
        """
        self.uri = absolute_uri(uri)
        examine(self.uri)
        self._experiments = {found.name: found for found in read_experiments(self.uri)}

    def find_experiment(self, name: str) -> str | None:
        found = self._experiments.get(name)
        if found is not None and not found.active:
            raise deleted(name, found.experiment_id)
        return None if found is None else found.experiment_id

    def sweeps(self) -> list[str]:
        runs = read_runs(self.uri, self._experiment_ids(), "sweep", params=())
        return list(dict.fromkeys(rows_of(reversed(runs), sweep_of)))

    def sweep_row(self, experiment: str) -> SweepRow | None:
        runs = read_runs(self.uri, [experiment], "sweep", params=())
        description = self._of(experiment).description
        rows = list(rows_of(runs, lambda run: sweep_from_run(run, description)))
        return rows[-1] if rows else None

    def trials(self, experiment: str) -> list[TrialRow]:
        runs = read_runs(self.uri, [experiment], "trial", params=())
        check_schema(runs, self.uri)
        return list(rows_of(runs, trial_from_run))

    def _experiment_ids(self) -> list[str]:
        return [found.experiment_id for found in self._experiments.values() if found.active]

    def _deleted_trials(self, experiments: Sequence[str]) -> frozenset[str]:
        return read_deleted(self.uri, experiments, "trial")

    def _cell_runs(
        self, experiments: Sequence[str], *, finished_only: bool = False, params: Sequence[str] | None = None
    ) -> Sequence[Any]:
        return read_runs(self.uri, experiments, finished_only=finished_only, params=params)

    def loss_curves(self, run_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        histories = read_histories(self.uri, run_ids, LOSS)
        return {run_id: loss_curve(histories.get(run_id, ())) for run_id in run_ids}

    def params_of(self, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        found = read_params(self.uri, run_ids)
        return {run_id: found.get(run_id, {}) for run_id in run_ids}

    def _of(self, experiment: str) -> StoredExperiment:
        return next(found for found in self._experiments.values() if found.experiment_id == experiment)


def deleted(name: str, number: str) -> UserError:
    return UserError(
        f"experiment '{name}' was deleted in MLflow: restore it with "
        f"`mlflow experiments restore --experiment-id {number}`, or choose another name with name=…"
    )


def check_schema(runs: Sequence[Any], uri: str) -> None:
    """Refuse runs, MLflow's or as stored, whose tags and metrics mean something else.

    Raises:
        UserError: runs of another schema.
    """
    for run in runs:
        found = run.data.tags.get(records.SCHEMA_TAG, "none")
        if found != records.SCHEMA:
            raise UserError(
                f"{masked(uri)}: experiment of trial '{run.data.tags.get(records.TRIAL_TAG, run.info.run_id)}' has "
                f"schema {found}, and this version reads {records.SCHEMA}; use the version of dualpt that recorded it, "
                "or run again under another name"
            )
