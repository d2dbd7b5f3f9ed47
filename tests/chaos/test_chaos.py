"""A short round of the chaos runner; `make chaos ROUNDS=20` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeps.services import POSTGRES_MISSING, has_postgres

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.skipif(not has_postgres(), reason=POSTGRES_MISSING)
def test_two_kills_lose_nothing() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--rounds", "2", "--seed", "5", "--seconds", "0.2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "lost 0" in done.stdout
    assert "left running 0" in done.stdout
