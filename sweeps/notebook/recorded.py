"""A sweep from its store as data frames: its cells, its candidates and their settings, its losses, what it supports."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.errors import UserError
from dualpt.core.results import VAL_ACCURACY
from dualpt.search_spaces.sweep import Run
from dualpt.sweeps.comparison.frames import cells_frame
from dualpt.sweeps.comparison.labels import method_title
from dualpt.sweeps.comparison.searched.candidate_ranks import searched_keys
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.ledger.launch_record import launch_of
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.notebook.arguments import naming_arguments
from dualpt.sweeps.notebook.classifying import Classifier, dotted
from dualpt.sweeps.notebook.side_by_side import Comparison
from dualpt.sweeps.planning.declared import missing_cells
from dualpt.sweeps.records import CellRow, SweepRow, TrialRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dualpt.sweeps.launching.outcome import LaunchOutcome

BASELINE = "coop"
"""What `statistics` are against, where the sweep has it."""


@naming_arguments
def load(name: str, *, store: str | None = None, study: str | None = None) -> "RecordedSweep":
    """Read a sweep or an ablation as it stands, running or finished; call again to see what has come since.

    Args:
        name: the sweep's, as `dualpt status` lists it.
        store: MLflow tracking store; by default that of $MLFLOW_TRACKING_URI, or `sqlite:///mlflow.db`.
        study: Optuna study storage, for the importance of parameters; `sqlite:///optuna.db` by default.

    Raises:
        UserError: the store does not exist, or holds no such sweep (the nearest is named).
    """
    places = Run() if store is None else Run(tracking_uri=store)
    reader = open_reader(places.tracking_uri)
    experiment = reader.named_experiment(name)
    rows, trials = reader.shown_cells(experiment), reader.trials(experiment)
    sweep = reader.sweep_row(experiment)
    return RecordedSweep(name, places.tracking_uri, study or places.study_storage, rows, trials, sweep)


@dataclass(frozen=True, repr=False)
class RecordedSweep:
    """What is on record of a sweep, read at one moment. Accuracies are in percent, durations in seconds."""

    name: str
    store: str
    study: str
    rows: Sequence[CellRow]
    trials: Sequence[TrialRow]
    record: SweepRow | None
    """The sweep's own run; None where a launch was killed before it wrote any."""
    outcome: "LaunchOutcome | None" = None
    """What came of the launch, where `dualpt.sweep` made it."""

    def __repr__(self) -> str:
        done = sum(row.finished for row in self.rows)
        best = f", best {self.best}" if self.best else ""
        return f"<sweep {self.name}: {done} of {len(self.cells)} cells finished, {self.status.lower()}{best}>"

    @property
    def status(self) -> str:
        """How the last launch ended: FINISHED, FAILED, KILLED, or RUNNING while it runs or where it left no word."""
        return "NONE" if self.record is None else self.record.status

    @property
    def best(self) -> str | None:
        """Name of the candidate with the highest mean validation accuracy, once a launch has ended."""
        return None if self.record is None else self.record.best

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell, candidates' included, and one of status `MISSING` per cell that never began.

        Columns: `sweep`, `trial`, `kind`, `dataset`, `protocol`, `shots`, `seed`, `status`, `seconds`, `key`, `run_id`,
        `failure`, `reused_from`, and one per metric (`test/accuracy`, `val/accuracy`, `train/loss`, …).
        """
        declared, notes = ("", "") if self.record is None else (self.record.declared, self.record.data_notes)
        return cells_frame(self.name, self.rows, missing_cells(declared, self.rows), data_notes=notes)

    @cached_property
    def settings(self) -> pd.DataFrame:
        """One row per trial: its settings by dotted key, as numbers where all are; missing where inactive."""
        by_trial = {row.trial: row.params for row in self.rows}
        keys = [key for key in SETTING_KEYS if any(key in params for params in by_trial.values())]
        values = [[params.get(key) for key in keys] for params in by_trial.values()]
        frame = pd.DataFrame(values, index=pd.Index(by_trial, name="trial"), columns=pd.Index(keys), dtype=object)
        return frame.apply(_as_numbers)

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """One row per candidate of the search, the best first; empty where nothing was searched.

        Columns: mean `val/accuracy` over its finished cells, its `standard_error` over them, `cells` begun, of which
        `finished`, whether a race has `pruned` it, it is `selected`, and a user has `stopped` it, and one per searched
        key, missing where it doesn't matter beside the others. Test accuracy takes no part in a search and is in
        `cells` alone.
        """
        own = self.cells[self.cells["kind"] == "search"] if len(self.cells) else self.cells
        if own.empty:
            return pd.DataFrame({VAL_ACCURACY: pd.Series(dtype=float)}, index=pd.Index([], name="trial"))
        done = own[own["status"] == "FINISHED"].reindex(columns=["trial", VAL_ACCURACY]).groupby("trial")[VAL_ACCURACY]
        frame = pd.DataFrame({VAL_ACCURACY: done.mean(), "standard_error": done.sem()})
        frame = frame.reindex(pd.Index(own["trial"].unique(), name="trial"))
        frame["cells"] = own.groupby("trial").size()
        frame["finished"] = done.size().reindex(frame.index, fill_value=0)
        shown = {row.ref.name: row for row in self.trials if row.ref.kind == "search" and not row.superseded}
        frame["pruned"] = [name in shown and shown[name].pruned for name in frame.index]
        frame["selected"] = frame.index == self.best
        frame["stopped"] = [name in shown and shown[name].stopped for name in frame.index]
        recorded = {row.trial: row.params for row in self.rows if row.kind == "search"}
        keys = searched_keys(launch_of(self.record), recorded)
        settings = self.settings.loc[frame.index, [key for key in keys if key in self.settings]]
        return frame.join(settings).sort_values(VAL_ACCURACY, ascending=False, kind="stable")

    @cached_property
    def losses(self) -> pd.DataFrame:
        """Training losses: `trial`, `dataset`, `shots`, `seed`, `epoch`, `loss`; read when first asked for."""
        trained = [row for row in self.rows if row.shots]
        sources = [row.reused_from or row.run_id for row in trained]
        curves = open_reader(self.store).loss_curves(sources)
        columns = ["trial", "dataset", "shots", "seed", "epoch", "loss"]
        points = [
            (row.trial, row.dataset, row.shots, row.seed, epoch, loss)
            for row, source in zip(trained, sources, strict=True)
            for epoch, loss in curves[source]
        ]
        return pd.DataFrame(points, columns=columns)

    @property
    def statistics(self) -> pd.DataFrame:
        """`Comparison.statistics` against CoOp; `compare().statistics(baseline)` takes another.

        Raises:
            UserError: the sweep has no CoOp, or a fault of `Comparison.statistics`.
        """
        if BASELINE not in set(self.cells["trial"]):
            names = ", ".join(self.cells[self.cells["kind"] != "search"]["trial"].unique())
            raise UserError(
                f"sweep '{self.name}' has no {method_title(BASELINE)} to compare methods with; choose a baseline: "
                f"compare().statistics(NAME) (there are: {names or 'none'})"
            )
        return self.compare().statistics(BASELINE)

    @naming_arguments
    def compare(self, protocol: str | None = None) -> Comparison:
        """The sweep's methods against one another; `dualpt.compare` takes several sweeps.

        Raises:
            UserError: no comparable cell yet, or cells of several protocols and none chosen.
        """
        selection = select({self.name: self.cells}, protocol=protocol)
        return Comparison((self.name,), selection, self.store, self.study)

    @naming_arguments
    def figure(self, kind: str = "curves", shots: int | None = None) -> "Figure":
        """A figure as Matplotlib's: see `Comparison.figure`; those of a search need no finished baseline.

        Raises:
            UserError: an unknown kind, or nothing that it could show.
        """
        from dualpt.sweeps.comparison.draw import COMPARISONS, drawn

        if kind in COMPARISONS:
            return self.compare().figure(kind, shots)
        return drawn(kind, [self.name], shots=shots, store=self.store, study=self.study)

    def classifier(self, place: str = "best", *, device: str = "auto", **settings: Any) -> Classifier:
        """The classifier that a finished cell learned.

        Args:
            place: `TRIAL/DATASET/SHOTS/SEED`, or the beginning of it where that leaves one cell.
            device: a torch device, or `auto` for a GPU where there is one.
            settings: where things lie on this machine: `data__root`, `backbone__pretrained`, `descriptions__bank`.

        Raises:
            UserError: no such cell, several, one that learned nothing, or weights that are not here.
        """
        from dualpt.sweeps.comparison.frames import open_ledger
        from dualpt.sweeps.ledger.cell_names import find_cell, learned_of

        ledger = open_ledger(self.store)
        row = find_cell(ledger, f"{self.name}/{place}")
        return Classifier(learned_of(ledger, row, dotted(settings)), device=device)


def _as_numbers(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers where all values that are there are numbers."""
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError):
        return column
