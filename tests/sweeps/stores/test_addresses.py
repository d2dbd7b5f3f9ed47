"""Every form in which a store may be named, and how one is shown."""

from pathlib import Path

import pytest

from dualpt.sweeps.stores import absolute_uri, is_new, journal_path, masked, sqlite_path


@pytest.mark.parametrize(
    ("given", "spelled", "file"),
    [
        ("sqlite:///a.db", "sqlite:///{here}/a.db", "{here}/a.db"),
        ("sqlite:////t/a.db", "sqlite:////t/a.db", "/t/a.db"),
        ("sqlite+pysqlite:////t/a.db", "sqlite:////t/a.db", "/t/a.db"),
        ("sqlite:///file:a%20b.db?uri=true", "sqlite:///{here}/a b.db", "{here}/a b.db"),
        ("sqlite:///file:/t/x.db?uri=true", "sqlite:////t/x.db", "/t/x.db"),
        ("sqlite:///file:///t/x.db?uri=true", "sqlite:////t/x.db", "/t/x.db"),
        ("sqlite:///file:x?mode=memory&uri=true", "sqlite:///file:x?mode=memory&uri=true", None),
        ("sqlite://", "sqlite://", None),
        ("sqlite:///", "sqlite:///", None),
        ("sqlite:///:memory:", "sqlite:///:memory:", None),
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d", None),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d", None),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg2://u@h/d", None),
        ("http://h:5000", "http://h:5000", None),
        ("databricks", "databricks", None),
    ],
)
def test_a_store_has_one_spelling(
    given: str, spelled: str, file: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri(given) == spelled.format(here=tmp_path)
    assert absolute_uri(absolute_uri(given)) == absolute_uri(given)
    assert sqlite_path(given) == (None if file is None else Path(file.format(here=tmp_path)))


def test_a_journal_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("journal:///j.log") == f"journal:///{tmp_path}/j.log"
    assert journal_path("journal:///") is None
    assert is_new("journal:///j.log")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@h:5000/x", "http://me:***@h:5000/x"),
        ("http://me:s@cret@h:5000", "http://me:***@h:5000"),
        ("redis://:secret@h/0", "redis://:***@h/0"),
        (
            "postgresql+psycopg://u:secret@h/d?sslpassword=hidden&x=1",
            "postgresql+psycopg://u:***@h/d?sslpassword=***&x=1",
        ),
        ("request to http://me:secret@1.2.3.4/api failed: x@y", "request to http://me:***@1.2.3.4/api failed: x@y"),
        ("mysql+pymysql://u:hun/ter2@h/o", "mysql+pymysql://u:***@h/o"),
        ("'postgresql://u:12/it's#?@h:5432/o' is away", "'postgresql://u:***@h:5432/o' is away"),
        ("http://me:sec/ret@h:5000", "http://me:***@h:5000"),
        ('{"a":"http://u:p@h","b":"x@y"}', '{"a":"http://u:***@h","b":"x@y"}'),
        ("http://h:5000/x,redis://u:p/q@h2", "http://h:5000/x,redis://u:***@h2"),
        ("http://me@h/x", "http://me@h/x"),
        ("http://h:50/a@b", "http://h:50/a@b"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
    ],
)
def test_passwords_are_never_shown(text: str, shown: str) -> None:
    assert masked(text) == shown
