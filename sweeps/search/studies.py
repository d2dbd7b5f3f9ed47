"""Optuna studies: where they are stored, and which sweep, space and judged cells each is bound to."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.results import VAL_ACCURACY
from dualpt.search_spaces.parameters import SHOTS
from dualpt.search_spaces.search_section import Search
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.records import setting_hash
from dualpt.sweeps.search import trial_attributes as attributes
from dualpt.sweeps.search.journals import open_journal
from dualpt.sweeps.search.removed_candidates import complete_removal
from dualpt.sweeps.search.study_mirror import mirrored
from dualpt.sweeps.stores import absolute_uri, examine_study, is_database, is_new, journal_path, masked, sqlite_path
from dualpt.sweeps.stores.server_lock import alone_in
from dualpt.sweeps.stores.sqlite_files import make_if_new

METRIC_NAMES = (VAL_ACCURACY, SHOTS)
"""What studies call their values; the second is there where the shots are searched."""
CONTENT = ("trials", "studies")
"""Tables of a storage that hold what must not be lost."""


@dataclass(frozen=True)
class StudyChange:
    """What a launch will do to the study on record, whose space or judged cells are others."""

    candidates: int
    same_space: bool
    """Whether only the judged cells are others: candidates are then judged again."""
    kept: str
    """The name under which the study will be kept."""


@dataclass(frozen=True)
class OpenedStudy:
    """A study that a launch is to propose with."""

    study: optuna.Study
    write: Callable[[], None]
    """Writes the trial that was begun last to the storage: until then a kill leaves nothing of it."""
    before: tuple[FrozenTrial, ...] = ()
    """Trials of a study with the same space that was set aside: they are to be judged again."""


def open_study(sweep: LoadedSweep, search: Search, judged: str) -> OpenedStudy:
    """Load or create the sweep's study. One with another space is set aside, as is one judged on other cells.

    Args:
        search: the sweep's search section.
        judged: hash of the cells that candidates are judged on.

    Raises:
        UserError: the storage cannot be used.
    """
    storage = open_storage(sweep.file.run.study_storage)
    complete_removal(storage, sweep.file.name)
    space = _space_fingerprint(sweep)
    study = _load(sweep, storage)
    known = study.user_attrs
    if known and (known[attributes.SPACE], known[attributes.JUDGED]) == (space, judged):
        return OpenedStudy(*mirrored(study, storage, search.sampler))
    before: tuple[FrozenTrial, ...] = ()
    if known:
        if known[attributes.SPACE] == space:
            before = tuple(study.get_trials(deepcopy=False))
        _set_aside(study, storage)
        study = _load(sweep, storage)
    study.set_user_attr(attributes.SPACE, space)
    study.set_user_attr(attributes.JUDGED, judged)
    _name_metrics(study)
    return OpenedStudy(*mirrored(study, storage, search.sampler), before)


def study_change(sweep: LoadedSweep, judged: Sequence[str]) -> StudyChange | None:
    """What a launch will set aside; None where there is nothing, or it goes on with the study. Changes nothing.

    Raises:
        UserError: the study's storage cannot be used.
    """
    study = _recorded(sweep)
    if study is None or not study.user_attrs:
        return None
    known = study.user_attrs
    space, cells = _space_fingerprint(sweep), fingerprint(list(judged))
    if (known.get(attributes.SPACE), known.get(attributes.JUDGED)) == (space, cells):
        return None
    trials = study.get_trials(deepcopy=False)
    named = {trial.user_attrs[attributes.NAME] for trial in trials if attributes.NAME in trial.user_attrs}
    if not named:
        return None
    kept = _free_name(study.study_name, open_storage(sweep.file.run.study_storage, to_write=False))
    return StudyChange(len(named), known.get(attributes.SPACE) == space, kept)


def recorded_study(sweep: LoadedSweep, judged: Sequence[str]) -> optuna.Study | None:
    """The study on record if it searched this space on these judged cells; nothing is created.

    Raises:
        UserError: the study's storage cannot be used.
    """
    if (study := _recorded(sweep)) is None:
        return None
    wanted = (_space_fingerprint(sweep), fingerprint(list(judged)))
    known = study.user_attrs
    return study if (known.get(attributes.SPACE), known.get(attributes.JUDGED)) == wanted else None


def _recorded(sweep: LoadedSweep) -> optuna.Study | None:
    """The study of the sweep's name, whatever it searched."""
    if is_new(sweep.file.run.study_storage):
        return None
    try:
        storage = open_storage(sweep.file.run.study_storage, to_write=False)
        return optuna.load_study(study_name=sweep.file.name, storage=storage)
    except KeyError:  # no study of this name
        return None


def open_storage(uri: str, *, to_write: bool = True) -> BaseStorage:
    """Open a study storage: `sqlite:///file`, `journal:///file`, or a database such as `postgresql://…`.

    Args:
        uri: where it is.
        to_write: whether to make it where it is new, and to repair a journal that was cut off in mid-write.

    Raises:
        UserError: it cannot be used; one line says why.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    uri = absolute_uri(uri)
    examine_study(uri)
    try:
        if (journal := journal_path(uri)) is not None:
            return open_journal(journal, to_write=to_write)
        if to_write and (path := sqlite_path(uri)) is not None:
            make_if_new(path, _make, CONTENT)
        if to_write and is_database(uri):
            engine = create_engine(uri)
            with alone_in(engine):
                _make(uri)
            engine.dispose()
        storage = RDBStorage(uri)
        lacks = _lacking(storage)
    except (OSError, SQLAlchemyError, ImportError, RuntimeError, ValueError, optuna.exceptions.OptunaError) as error:
        reason = masked(str(error).strip().splitlines()[0])
        raise UserError(
            f"run.study_storage: {masked(uri)} cannot be used ({reason}); use a file such as sqlite:///optuna.db"
        ) from None
    if lacks:
        raise UserError(
            f"run.study_storage: {masked(uri)} was damaged or edited: it lacks {', '.join(lacks)}; restore a copy, or "
            "name another file, such as sqlite:///optuna.db: candidates are proposed anew, cells on record stay"
        )
    return storage


def _lacking(storage: RDBStorage) -> list[str]:
    """Columns that Optuna reads and the database has not, such as `trials.state`; only whole tables are made anew."""
    from optuna.storages._rdb.models import BaseModel

    found = inspect(storage.engine)
    lacking = []
    for name, table in BaseModel.metadata.tables.items():
        present = {column["name"] for column in found.get_columns(name)}
        lacking += [f"{name}.{column.name}" for column in table.columns if column.name not in present]
    return lacking


def _make(uri: str) -> None:
    storage = RDBStorage(uri)
    storage.remove_session()
    storage.engine.dispose()


def _space_fingerprint(sweep: LoadedSweep) -> str:
    constraints = [constraint.text for constraint in sweep.constraints]
    return fingerprint([setting_hash(sweep.reference), [repr(parameter) for parameter in sweep.space], constraints])


def _load(sweep: LoadedSweep, storage: BaseStorage) -> optuna.Study:
    """With searched shots there are two objectives: no single one may let the search buy accuracy with shots."""
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [up, down] if sweep.file.searches_shots else [up]
    return optuna.create_study(storage=storage, study_name=sweep.file.name, directions=directions, load_if_exists=True)


def _name_metrics(study: optuna.Study) -> None:
    """Say what its values are, for Optuna's figures and dashboard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(METRIC_NAMES[: len(study.directions)]))


def _set_aside(study: optuna.Study, storage: BaseStorage) -> None:
    """Keep a study's history under another name."""
    move_study(study.study_name, _free_name(study.study_name, storage), storage)


def move_study(name: str, to: str, storage: BaseStorage) -> None:
    """Give a study another name. Optuna renames nothing: it is copied, and deleted once the copy is complete."""
    optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=storage, to_study_name=to)
    optuna.delete_study(study_name=name, storage=storage)


def _free_name(name: str, storage: BaseStorage) -> str:
    """Under which a study of this name can be kept: `demo (before 1)`."""
    taken = set(optuna.get_all_study_names(storage))
    number = next(n for n in range(1, len(taken) + 2) if f"{name} (before {n})" not in taken)
    return f"{name} (before {number})"
