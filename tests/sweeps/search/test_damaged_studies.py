"""Studies that a kill, a full disk or a hand has damaged: nothing is appended behind the damage."""

import contextlib
import logging
import re
import resource
import sqlite3
from pathlib import Path

import optuna
import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.search.studies import open_storage
from dualpt.sweeps.stores import StoreUnavailable, is_outage


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(f"journal:///{path}"), study_name="s")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    return path


@pytest.mark.parametrize("tail", [b'{"op_code":4,"wor', b"\0\0\0\0", b"{"])
def test_half_a_line_is_cut_away_and_kept(journal: Path, tail: bytes, caplog: pytest.LogCaptureFixture) -> None:
    sound = journal.read_bytes()
    journal.write_bytes(sound + tail)
    uri = f"journal:///{journal}"
    reading = optuna.load_study(study_name="s", storage=open_storage(uri, to_write=False))
    assert (len(reading.trials), journal.read_bytes()) == (1, sound + tail), "reading changes nothing"
    with caplog.at_level(logging.WARNING):
        study = optuna.load_study(study_name="s", storage=open_storage(uri))
    assert journal.read_bytes() == sound
    (kept,) = journal.parent.glob("study.log.cut-*")
    assert kept.read_bytes() == tail
    assert str(kept) in caplog.text
    study.add_trial(optuna.trial.create_trial(value=2.0))
    assert len(optuna.load_study(study_name="s", storage=open_storage(uri)).trials) == 2


def test_a_damaged_line_is_refused_and_left(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[1] = b'{"op_code":4,"wor' + lines[1]
    journal.write_bytes(b"".join(lines))
    content = journal.read_bytes()
    for to_write in (True, False):
        with pytest.raises(UserError, match=r"line 2 is damaged; .*head -n 1") as caught:
            open_storage(f"journal:///{journal}", to_write=to_write)
        assert "\n" not in str(caught.value)
    assert journal.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        (b'"study_id"', b'"stxdy_id"'),
        (b'"op_code":4', b'"op_code":44'),
        (b'"op_code":4', b'"op_cxde":4'),
    ],
)
def test_a_record_that_optuna_cannot_read_is_one_line(journal: Path, change: tuple[bytes, bytes]) -> None:
    content = journal.read_bytes().replace(*change)
    assert content != journal.read_bytes()
    journal.write_bytes(content)
    for to_write in (True, False):
        with pytest.raises(UserError, match=r"is damaged") as caught:
            open_storage(f"journal:///{journal}", to_write=to_write)
        assert "\n" not in str(caught.value)
    assert journal.read_bytes() == content


def test_a_journal_that_was_cut_off_in_its_first_record_begins_again(tmp_path: Path) -> None:
    (path := tmp_path / "study.log").write_bytes(half := b'{"op_code":0,"worker_id"')
    uri = f"journal:///{path}"
    assert optuna.get_all_study_names(open_storage(uri, to_write=False)) == []
    optuna.create_study(storage=open_storage(uri), study_name="s")
    assert optuna.get_all_study_names(open_storage(uri)) == ["s"]
    (kept,) = tmp_path.glob("study.log.cut-*")
    assert kept.read_bytes() == half


def test_a_record_that_the_disk_takes_in_part_is_taken_back(journal: Path) -> None:
    study = optuna.load_study(study_name="s", storage=open_storage(f"journal:///{journal}"))
    whole = journal.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limits[1]))
    try:
        with pytest.raises(StoreUnavailable, match=rf"{journal} cannot be written .*make room") as caught:
            study.ask()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_outage(caught.value), "a launch waits, as it does for a database"
    assert journal.read_bytes() == whole
    study.tell(study.ask(), 2.0)
    again = optuna.load_study(study_name="s", storage=open_storage(f"journal:///{journal}"))
    assert [trial.value for trial in again.trials] == [1.0, 2.0]


def test_half_a_first_line_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    (path := tmp_path / "notes.log").write_text("notes of mine")
    with pytest.raises(UserError, match="not an Optuna journal"):
        open_storage(f"journal:///{path}")
    assert path.read_text() == "notes of mine"


def test_a_storage_that_was_cut_off_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    open_storage(f"sqlite:///{path}")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(UserError, match=r"run\.study_storage: .*truncated.*recover"):
        open_storage(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("ALTER TABLE trials DROP COLUMN datetime_complete", "trials.datetime_complete"),
        ("ALTER TABLE trial_values RENAME COLUMN value TO result", "trial_values.value"),
    ],
)
def test_an_edited_database_is_one_line_that_names_what_it_lacks(tmp_path: Path, edit: str, named: str) -> None:
    uri = f"sqlite:///{tmp_path / 'optuna.db'}"
    open_storage(uri)
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        connection.execute(edit)
    with pytest.raises(UserError, match=rf"was damaged or edited: it lacks {re.escape(named)}; restore a copy"):
        open_storage(uri)
