"""The small sweep as steering finds it."""

from pathlib import Path

import pytest

from tests.sweeps.running import finish
from tests.sweeps.small_sweep import Declare
from tests.sweeps.steering.a_launch import SMALL, declared, opened


@pytest.fixture
def store(declare: Declare, tmp_path: Path, log: Path) -> str:
    """With the smallest sweep, done."""
    sweep = declared(tmp_path, **SMALL)
    finish(opened(sweep), sweep, log)
    return sweep.file.run.tracking_uri
