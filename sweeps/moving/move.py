"""`dualpt export` and `dualpt import`: a sweep with its runs and artifacts between stores that never meet.

Importing twice adds nothing: a run says which run it was imported from, and a finished cell that the sweep has already
is kept as it is. What an import that was cut off left is removed and written again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dualpt.core.errors import UserError
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import SETTING_FILE, cell_from_run, trial_from_run
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.readable import rows_of
from dualpt.sweeps.moving.archive import Archive, ArchivedRun, write_archive
from dualpt.sweeps.moving.checks import fault_of_files, fault_of_run, refuse_damaged, title
from dualpt.sweeps.moving.runs import archived, artifacts, create, missing_files, runs_of, with_parents
from dualpt.sweeps.records import TrialRef
from dualpt.sweeps.stores import only_launch

IMPORTED_TAG = "dualpt.imported_from"
"""Run of another store that a run is a copy of; set last, when the copy is whole."""
IMPORTING_TAG = "dualpt.importing"
"""Set first: a run that has it and not the other is what a broken import left."""

OF_A_STORE = (records.PARENT_TAG, IMPORTED_TAG, IMPORTING_TAG)
"""Tags that mean something in the store alone that a run is exported from."""

Progress = Callable[[int, int], None]
"""Called with runs done and runs in all."""


@dataclass(frozen=True)
class Exported:
    """What went into an archive."""

    sweep: str
    cells: int
    runs: int
    artifacts: int


@dataclass(frozen=True)
class Imported:
    """What became of an archive's cells, and of its trials."""

    sweep: str
    added: int
    """Cells that are new in this store."""
    known: int
    """Cells imported before."""
    kept: int
    """Cells that the sweep had finished itself."""
    superseded: int
    """Trials whose name another setting has in this store: recorded, and not shown."""

    def summary(self) -> dict[str, Any]:
        return asdict(self)


def export_sweep(
    ledger: Ledger, name: str, path: Path, progress: Progress | None = None, *, without_files: bool = False
) -> Exported:
    """Write a sweep to an archive.

    Artifacts of cells that were reused from another sweep travel with them. Cells of trials that were deleted in
    MLflow, which keeps them, do not.

    Args:
        without_files: write the numbers alone.

    Raises:
        UserError: no such sweep, runs that are damaged or whose files are missing, or a file that cannot be written.
    """
    experiment_id = ledger.named_experiment(name)
    with ledger.calls() as client:
        runs = with_parents(runs_of(client, experiment_id))
        description = client.get_experiment(experiment_id).tags.get(records.NOTE_TAG, "")
        own = {run.info.run_id for run in runs}

        def travelling() -> Iterator[tuple[ArchivedRun, Mapping[str, Path]]]:
            for done, run in enumerate(runs, start=1):
                source = run.data.tags.get(records.REUSED_TAG)
                holder = run.info.run_id if source is None or source in own else source
                none: AbstractContextManager[dict[str, Path]] = nullcontext({})
                with none if without_files else _files(client, ledger.places, run, holder) as files:
                    checked = not without_files and source not in own
                    if checked and (lacking := missing_files(client, run, holder, files)):
                        raise _files_missing(ledger, run.info.run_name, holder, lacking)
                    leaving = archived(client, run, files)
                    if (fault := fault_of_run(name, leaving)) is not None:
                        raise _damaged(leaving, fault)
                    if (fault := fault_of_files(leaving, files)) is not None:
                        raise _damaged(leaving, fault, "; or export the numbers alone with --without-files")
                    yield leaving, files
                if progress is not None:
                    progress(done, len(runs))

        manifest = write_archive(path, name, description, travelling())
    cells = sum(run.data.tags[records.LEVEL_TAG] == "cell" for run in runs)
    return Exported(name, cells, manifest.runs, manifest.artifacts)


@contextmanager
def _files(client: Any, places: Any, run: Any, holder: str) -> Iterator[dict[str, Path]]:
    """What travels with a run: its files, or those of the run of another sweep that it is a copy of.

    A copy takes its own trial's setting along: the other run's may be spelt differently, and give the same numbers.
    """
    with artifacts(client, places, holder) as files:
        if holder == run.info.run_id or not files:
            yield files
            return
        with artifacts(client, places, run.data.tags[records.PARENT_TAG]) as of_trial:
            yield files | {name: file for name, file in of_trial.items() if name == SETTING_FILE}


def _damaged(run: ArchivedRun, fault: str, otherwise: str = "") -> UserError:
    """Said now: when the archive is imported, the store that it comes from may be gone."""
    return UserError(
        f"{title(run)} {fault}: no archive is written; delete it with `mlflow runs delete --run-id {run.id}`, and the "
        f"next launch trains its cell again{otherwise}"
    )


def _files_missing(ledger: Ledger, name: str, holder: str, lacking: Sequence[str]) -> UserError:
    return UserError(
        f"files of '{name}' (run {holder}) are missing ({', '.join(lacking)}): {ledger.whereabouts(holder)}; or "
        "export the numbers alone with --without-files"
    )


def import_archive(path: Path, store: str, progress: Progress | None = None) -> Imported:
    """Add an archived sweep to a store, under its own name. The archive is checked before the store is opened.

    Raises:
        UserError: an archive that is damaged or of another version, a sweep that is being run or was deleted here, or
            a store that cannot be used.
    """
    with Archive(path) as archive:
        refuse_damaged(archive)
        with only_launch(store, archive.manifest.sweep):
            return _Import(Ledger(store), archive).run(progress)


class _Import:
    """One import: what the store has, and where each archived run is or goes."""

    def __init__(self, ledger: Ledger, archive: Archive) -> None:
        self._ledger, self._archive = ledger, archive
        self._name = archive.manifest.sweep
        self._experiment = ledger.experiment(self._name, archive.manifest.description)
        self._archived_trials = {run.id: run for run in archive.runs if run.tags[records.LEVEL_TAG] == "trial"}
        self._here: dict[str, str] = {}
        """Archived run id -> run id in this store."""
        self._copied: dict[str, str] = {}
        """The same, of those imported before."""
        self._sweep_run: str | None = None
        self._trials: dict[tuple[str, str], str] = {}
        """Name and setting hash of the trials that are shown -> run id."""
        self._finished: dict[tuple[str, str], str] = {}
        """Trial run and key of the finished cells -> run id."""
        self._before: dict[str, TrialRef] = {}
        """Trials that were here before, by run id."""
        self._grown: dict[str, TrialRef] = {}
        """Those that gained cells: their aggregates are written again."""
        self._tally: Counter[str] = Counter()
        self._survey()

    def run(self, progress: Progress | None) -> Imported:
        for done, run in enumerate(self._archive.runs, start=1):
            self._bring(run)
            if progress is not None:
                progress(done, len(self._archive.runs))
        for trial in self._grown.values():
            self._ledger.close_trial(trial, "FINISHED")
        tally = self._tally
        return Imported(self._name, tally["added"], tally["known"], tally["kept"], tally["superseded"])

    def _survey(self) -> None:
        """Read what the store holds of the sweep, and remove what a broken import left."""
        with self._ledger.calls() as client:
            for run in runs_of(client, self._experiment):
                tags, run_id = run.data.tags, run.info.run_id
                if IMPORTING_TAG in tags and IMPORTED_TAG not in tags:
                    client.delete_run(run_id)
                    continue
                if source := tags.get(IMPORTED_TAG):
                    self._copied[source] = run_id
                self._note(run)

    def _note(self, run: Any) -> None:
        """Remember a run of the store by what archived runs are compared with."""
        run_id, level = run.info.run_id, run.data.tags[records.LEVEL_TAG]
        if level == "sweep":
            self._sweep_run = self._sweep_run or run_id
        elif level == "trial":
            for trial in rows_of([run], trial_from_run):
                if not trial.superseded:
                    self._trials[trial.ref.name, trial.ref.setting] = run_id
                    self._before[run_id] = trial.ref
        else:
            for cell in rows_of([run], cell_from_run):
                if cell.finished:
                    self._finished[cell.trial_run_id, cell.key] = run_id

    def _bring(self, run: ArchivedRun) -> None:
        level = run.tags[records.LEVEL_TAG]
        parent = self._here.get(run.tags.get(records.PARENT_TAG, ""))
        if level == "cell" and parent is None:
            return  # of a trial that had been deleted in MLflow
        if (existing := self._existing(run, level, parent)) is not None:
            self._here[run.id] = existing
            return
        tags = {key: value for key, value in run.tags.items() if key not in OF_A_STORE}
        if parent is not None:
            tags[records.PARENT_TAG] = parent
        if level == "trial" and run.tags[records.TRIAL_TAG] in {name for name, _ in self._trials}:
            tags[records.SUPERSEDED_TAG] = "true"  # its own label might be that of another one here
            self._tally["superseded"] += 1
        if source := tags.pop(records.REUSED_TAG, None):
            tags |= {records.REUSED_TAG: self._here[source]} if source in self._here else {}
        self._here[run.id] = self._write(run, {**tags, IMPORTING_TAG: run.id})
        if level == "cell":
            self._tally["added"] += 1
            if parent in self._before:
                self._grown[parent] = self._before[parent]

    def _existing(self, run: ArchivedRun, level: str, parent: str | None) -> str | None:
        """The run of this store that stands for an archived one."""
        if run.id in self._copied:
            self._tally["known"] += level == "cell"
            return self._copied[run.id]
        if level == "sweep":
            return self._sweep_run
        if level == "trial":
            return self._trials.get((run.tags[records.TRIAL_TAG], run.tags[records.SETTING_TAG]))
        finished = self._finished.get((parent or "", run.tags[records.KEY_TAG]))
        self._tally["kept"] += finished is not None
        return finished

    def _write(self, run: ArchivedRun, tags: Mapping[str, str]) -> str:
        with self._ledger.calls() as client:
            run_id = create(client, self._ledger.places, self._experiment, run, tags, self._unpack)
            # A run that was RUNNING when it was exported is not running here.
            client.set_terminated(run_id, "KILLED" if run.status == "RUNNING" else run.status, run.end_ms)
            client.set_tag(run_id, IMPORTED_TAG, run.id)
        return run_id

    def _unpack(self, run: ArchivedRun, folder: Path) -> None:
        """Write a run's files; a copy gets its own trial's setting: before 0.2 it took along that of its original."""
        self._archive.unpack(run, folder)
        if records.REUSED_TAG not in run.tags or SETTING_FILE not in run.artifacts:
            return
        trial = self._archived_trials.get(run.tags.get(records.PARENT_TAG, ""))
        if trial is not None and SETTING_FILE in trial.artifacts:
            self._archive.unpack_one(trial, SETTING_FILE, folder / SETTING_FILE)
