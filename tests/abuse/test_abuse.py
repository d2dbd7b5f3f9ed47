"""Bad inputs by kind, each refused in one line: no traceback, no hang, no silent misreading, nothing written."""

import os
from pathlib import Path

import pytest

from tests.abuse import edge_numbers, odd_files, stores_and_outputs, sweep_files, words
from tests.abuse.refusals import SECONDS, Bad, answer, contents, hold

KINDS = (edge_numbers, sweep_files, odd_files, stores_and_outputs, words)
EVERY = int(os.environ.get("ABUSE_EVERY", 4))
"""One input in so many is tried; `make abuse` tries all."""
INPUTS = [
    pytest.param(case, id=f"{kind.__name__.rpartition('.')[2]}-{n}-{case.title}")
    for kind in KINDS
    for n, case in enumerate(kind.INPUTS)
]


@pytest.mark.timeout(SECONDS, func_only=True)
@pytest.mark.parametrize("case", INPUTS[::EVERY])
def test_a_bad_input_is_refused_in_one_line(
    case: Bad, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, cache = tmp_path / "here", tmp_path / "cache"
    here.mkdir()
    cache.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("DUALPT_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")
    hold(case, here, cache, stage)


def test_a_dry_run_leaves_empty_stores_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mlflow.db", "optuna.db"):
        (tmp_path / name).touch()
    before = contents(tmp_path)
    assert answer(("sweep", "demo", "datasets=[mini-tiles]", "trials=1", "--dry-run")).code == 0
    assert contents(tmp_path) == before
