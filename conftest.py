"""Every test session has a cache of its own, so that nothing a user has computed helps or harms a test."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def session_cache() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="dualpt-tests-")
    before = os.environ.get("DUALPT_CACHE")
    os.environ["DUALPT_CACHE"] = folder
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.pop("DUALPT_CACHE")
    if before is not None:
        os.environ["DUALPT_CACHE"] = before
