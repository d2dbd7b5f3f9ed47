"""`dualpt data doctor` as it is typed."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dualpt.core.errors import UserError
from dualpt.sweeps.cli import app
from tests.core.data.preparing.miniatures import write_direct


def doctor(*words: object) -> Result:
    """Run the command in this process; its `UserError`, if any, is raised."""
    result = CliRunner(env={"COLUMNS": "220"}).invoke(app, ["data", "doctor", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_faults_remedies_and_what_is_not_there(tmp_path: Path) -> None:
    for name in ("EuroSAT", "OxfordPets"):
        write_direct(tmp_path, name)
    assert doctor(tmp_path).exit_code == 0
    (tmp_path / "eurosat/2750").rename(tmp_path / "eurosat/EuroSAT_RGB")
    for words in ([tmp_path], ["--root", tmp_path], [f"data.root={tmp_path}"]):
        result = doctor(*words)
        lines = result.stdout.splitlines()
        assert result.exit_code == 3
        assert "fine OxfordPets" in lines
        assert "fault EuroSAT" in lines
        assert f"  → run `dualpt data prepare EuroSAT --from {tmp_path} --root {tmp_path}`" in lines
        assert lines[-1].startswith("nothing of imagenet/, caltech-101/, stanford_cars/")


def test_an_empty_root_is_not_fine(tmp_path: Path) -> None:
    assert doctor(tmp_path).exit_code == 3


@pytest.mark.parametrize("words", [(), ("a", "b"), ("nowhere",)])
def test_bad_words_are_one_line(words: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"give the data root, one FOLDER|no folder 'nowhere'"):
        doctor(*words)
