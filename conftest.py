"""Every test session has a cache of its own, so that nothing a user has computed helps or harms a test."""

import os
import shutil
import tempfile

import pytest

CACHE = pytest.StashKey[tuple[str, str | None]]()


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:  # shares the cache of the process that started it
        return
    config.stash[CACHE] = (tempfile.mkdtemp(prefix="dualpt-tests-"), os.environ.get("DUALPT_CACHE"))
    os.environ["DUALPT_CACHE"] = config.stash[CACHE][0]


def pytest_unconfigure(config: pytest.Config) -> None:
    folder, before = config.stash.get(CACHE, (None, None))
    if folder is None:
        return
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.pop("DUALPT_CACHE")
    if before is not None:
        os.environ["DUALPT_CACHE"] = before
