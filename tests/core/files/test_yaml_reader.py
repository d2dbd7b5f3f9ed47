"""YAML is read as researchers write it, or refused: never as something else."""

import math
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.core.files.yaml_reader import read_yaml


def read(folder: Path, text: str) -> object:
    path = folder / "file.yaml"
    path.write_text(text)
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("5E+2", 500.0),
        (".5", 0.5),
        ("-3", -3),
        ("0", 0),
        ("0.10", 0.1),
        (".inf", math.inf),
        ("2026-11-28", "2026-11-28"),
        ("ViT-B-16", "ViT-B-16"),
        ("'010'", "010"),
        ("~", None),
        ("true", True),
        ("12abc", "12abc"),
        ("1.2.3", "1.2.3"),
        ("localhost:8000", "localhost:8000"),
    ],
)
def test_a_value(tmp_path: Path, text: str, value: object) -> None:
    assert read(tmp_path, f"key: {text}") == {"key": value}


@pytest.mark.parametrize("text", ["1:30", "1:30:00", "010", "-07", "007", "1_0", "1_000.5", "0x10", "0b11", "0o17"])
def test_a_number_that_can_be_read_in_several_ways_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=rf"file\.yaml:1: '{text}' can be read as several numbers"):
        read(tmp_path, f"key: {text}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\na: 2", "file.yaml:2: key 'a' is given twice"),
        ("1: 2", "file.yaml:1: a key must be a word, found 1"),
        ("? [a]\n: 1", "file.yaml:1: a key must be a word, found a sequence"),
        ("- a", "file.yaml: expected a mapping of keys, found list"),
        ("", "file.yaml: expected a mapping of keys, found NoneType"),
        ("a: &a [*a]", "file.yaml: not a YAML text file (nested more than 32 levels deep, or contains itself)"),
        ("a: " + "[" * 40 + "]" * 40, "nested more than 32 levels deep, or contains itself"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("\tkey: 1", "file.yaml:1"),
    ],
)
def test_what_is_not_a_plain_mapping_is_refused_in_one_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(UserError) as refused:
        read(tmp_path, text)
    assert fault in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(UserError, match="more than 100,000 values"):
        read(tmp_path, "\n".join(lines))
