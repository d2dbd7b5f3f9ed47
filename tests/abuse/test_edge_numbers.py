"""Each key with each number at the edges: refused by its name, or taken for what was typed."""

import math
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import load_sweep
from tests.abuse.edge_numbers import EDGES, SECTION_KEYS, SETTING_KEYS

SWEEP = """\
name: edges
grid: {datasets: [mini-tiles, mini-cars], shots: [1], seeds: [1]}
search: {trials: 2, racing: RACING, space: {prompt.class_token_position: {choice: [end, front]}}}
"""
RACING = {"search.race_datasets": "asha", "search.race_reduction": "asha", "search.race_confidence": "statistical"}
MEANT = {
    ".inf": math.inf,
    "-.inf": -math.inf,
    ".nan": math.nan,
    "-1": -1,
    "0": 0,
    "9" * 30: int("9" * 30),
    "true": True,
    "[1]": [1],
}
"""What is typed, as YAML means it; all else is a float."""


def expected(edge: str) -> object:
    return MEANT[edge] if edge in MEANT else float(edge)


def value_of(sweep: LoadedSweep, key: str) -> object:
    if key in SETTING_KEYS:
        return sweep.reference.flat()[key]
    section, _, name = key.partition(".")
    return getattr(getattr(sweep.file, section), name)


def _read(file: Path, word: str) -> LoadedSweep | str:
    """The sweep with an override, or why it is refused."""
    try:
        return load_sweep(file, parse_overrides([word]))
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("key", [*SETTING_KEYS, *SECTION_KEYS])
def test_an_edge_is_the_value_or_refused_by_its_key(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "edges.yaml"
    file.write_text(SWEEP.replace("RACING", RACING.get(key, "none")))
    for edge in EDGES:
        word = f"{key}={edge}"
        checked = _read(file, word)
        if isinstance(checked, str):
            assert len(checked.splitlines()) == 1, word
            assert key.split(".")[-1] in checked, checked
            continue
        given = value_of(checked, key)
        wanted = [expected(edge)] if isinstance(given, list) and edge != "[1]" else expected(edge)
        assert given == (float(wanted) if isinstance(given, float) else wanted), word
        assert not isinstance(given, bool) or edge == "true", word
        assert given not in (math.inf, -math.inf), word
    assert [path.name for path in tmp_path.iterdir()] == ["edges.yaml"]
