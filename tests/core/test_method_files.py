"""Users' own methods: found, run once, refused with their line, and taken to other processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.core.method_files import (
    MethodFile,
    absolute,
    adopt,
    files_here,
    forget,
    is_file_spec,
    naming_its_line,
    read_definition,
)
from tests.core.own_method import SOURCE


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(SOURCE)
    return path


def test_a_spec_is_a_path_that_may_name_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [is_file_spec(one) for one in ("own.py", "own.py:Own", "gda", "own")] == [True, True, False, False]
    assert absolute("own.py:Own") == f"{tmp_path}/own.py:Own"


def test_the_one_method_of_a_file_is_found(own: Path) -> None:
    definition, file = read_definition(str(own))
    assert definition.name == "pulled"
    assert file == MethodFile(str(own), SOURCE.encode())


FAULTS = {
    "syntax": ("class Own(:\n", ":1: invalid syntax"),
    "a fault when it is run": (
        "\nimport os\nos.nothing()\n",
        ":3: AttributeError: module 'os' has no attribute 'nothing'",
    ),
    "no method": ("x = 1\n", ": defines no subclass of dualpt.core.methods.interface.Method; see docs/own-method.md"),
    "two methods": (
        SOURCE + "\n\nclass Other(Pulled):\n    name = 'other'\n",
        ": defines 2 methods: Pulled (line 10), Other (line 25); name one as own.py:Pulled",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_line_that_names_the_file(own: Path, fault: str) -> None:
    source, said = FAULTS[fault]
    own.write_text(source)
    with pytest.raises(UserError) as caught:
        read_definition(str(own))
    assert str(caught.value) == f"{own}{said}"


def test_what_lies_beside_it_is_not_sent(own: Path) -> None:
    own.write_text("import beside_it\n")
    with pytest.raises(UserError, match=r"No module named 'beside_it'$"):
        read_definition(str(own))
    own.with_name("beside_it.py").write_text("")
    forget()
    with pytest.raises(UserError, match=r"'beside_it'; workers are sent this file alone: copy that code into it"):
        read_definition(str(own))


def test_a_missing_file_names_the_nearest(own: Path) -> None:
    with pytest.raises(UserError, match=r"owm\.py: no such file of a method; did you mean '.*own\.py'"):
        read_definition(str(own.with_name("owm.py")))


def test_of_several_the_one_that_is_named(own: Path) -> None:
    own.write_text(FAULTS["two methods"][0])
    assert read_definition(f"{own}:Other")[0].name == "other"
    with pytest.raises(UserError, match="has no Method subclass 'Othr'; did you mean 'Other'"):
        read_definition(f"{own}:Othr")


def test_a_private_base_is_no_second_method(own: Path) -> None:
    own.write_text(SOURCE.replace("class Pulled(", "class _Base(").replace("\n\n\nclass _Base", "\n\n\nclass _Base"))
    own.write_text(own.read_text() + "\n\nclass Real(_Base):\n    name = 'real'\n")
    assert read_definition(str(own))[0].name == "real"


def test_what_its_code_raises_names_its_line(own: Path) -> None:
    own.write_text(SOURCE.replace("support.scale * weights", "support.nothing * weights"))
    definition, file = read_definition(str(own))
    with pytest.raises(UserError, match=r"own\.py:2\d: AttributeError: 'NoneType'"), naming_its_line(file.path):
        definition().fit(None, [])
    with pytest.raises(MemoryError), naming_its_line(file.path):
        raise MemoryError


def test_faults_of_methods_that_ship_stay_what_they_are() -> None:
    with pytest.raises(KeyError), naming_its_line(None):
        raise KeyError("a")


def test_another_process_needs_no_file(own: Path) -> None:
    """As a worker on a machine without the folder: it is sent the content."""
    read_definition(str(own))
    (file,) = (one for one in files_here() if one.path == str(own))
    own.unlink()
    code = (
        "import sys; from dualpt.core.method_files import MethodFile, adopt; "
        "from dualpt.core.config.activity import active_values; from dualpt.core.config.setting import Setting\n"
        f"adopt([MethodFile({file.path!r}, sys.stdin.buffer.read())])\n"
        f"print(active_values(Setting().with_values({{'method': {file.path!r}}}))['method.source'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input=file.content, capture_output=True, check=True, timeout=120, env=os.environ
    )
    assert run.stdout.decode().strip() == file.sha256
    assert read_definition(str(own))[1] == file  # a file read once is not read again


def test_what_was_sent_counts_and_not_what_lies_here(own: Path) -> None:
    adopt([MethodFile(str(own), SOURCE.replace('"pulled"', '"sent"').encode())])
    assert read_definition(str(own))[0].name == "sent"
