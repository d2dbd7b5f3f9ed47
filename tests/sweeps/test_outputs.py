"""Where documents go, and in which format: what is said, else what the file's name means; `-` is stdout."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.outputs import STDOUT, check_file, form_of, write_document


@pytest.mark.parametrize(
    ("given", "as_json", "output", "form"),
    [
        (None, False, None, "table"),
        (None, False, "t.csv", "csv"),
        (None, False, "t.TEX", "latex"),
        (None, False, "t.json", "json"),
        (None, False, "t.txt", "table"),
        (None, False, "-", "table"),
        (None, True, "t.csv", "json"),
        ("latex-document", False, "t.csv", "latex-document"),
        ("json", True, None, "json"),
    ],
)
def test_the_format_is_what_is_said_or_what_the_suffix_means(
    given: str | None, as_json: bool, output: str | None, form: str
) -> None:
    assert form_of(given, None if output is None else Path(output), default="table", as_json=as_json) == form


def test_a_suffix_that_means_no_format_is_refused_unless_one_is_given() -> None:
    with pytest.raises(UserError, match=r"--output: t\.xls: '\.xls' means no format \(\.md, \.tex, \.csv, \.json\)"):
        form_of(None, Path("t.xls"), default="table")
    assert form_of("csv", Path("t.xls"), default="table") == "csv"


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UserError, match="--format csv: contradicts --json"):
        form_of("csv", None, default="table", as_json=True)


def test_a_dash_is_stdout_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    check_file(STDOUT, "--output")
    assert not write_document("a table\n", STDOUT, "--output")
    assert capsys.readouterr().out == "a table\n"
    assert list(tmp_path.iterdir()) == []
    assert write_document("a table", Path("new/t.md"), "--output")
    assert Path("new/t.md").read_text() == "a table\n"
    with pytest.raises(UserError, match="--output: new cannot be written"):
        write_document("a table", Path("new"), "--output")
