"""Fixtures of all floors: reference material, a data root in miniature, a tiny language model and its server."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chat_server import ChatServer
from tests.miniature_root import build_miniature
from tests.tiny_llm import save_tiny_llm

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: at the end, short ones keep both processes of `make test` busy."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Reference material that is not part of the project; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("DUALPT_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("reference material is not at hand; set DUALPT_SHARED to its folder")
    return folder


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


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny causal LM with a chat template, whose answers are made of letters."""
    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny-llm")


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A local server of chat completions."""
    with ChatServer() as server:
        yield server
