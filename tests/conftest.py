"""Fixtures of all floors: a data root in miniature."""

import shutil
from pathlib import Path

import pytest
from miniature_root import build_miniature


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All eleven layouts and ImageNet's four variants; to be read only."""
    root = tmp_path_factory.mktemp("miniature") / "data"
    build_miniature(root)
    return root


@pytest.fixture
def miniature_copy(miniature: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    shutil.copytree(miniature, tmp_path / "data")
    return tmp_path / "data"
