"""Fixtures of all floors: reference material, a data root in miniature, a tiny language model and its server."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat_server import ChatServer
from tests.drawn_once import drawn_once
from tests.miniature_root import build_miniature

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups, then files with long tests: at the end, short ones keep both processes of `make test` busy.

    A file's tests stay together: what its fixtures made is made once.
    """
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.get_closest_marker("xdist_group") is None, item.path not in long))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadgroup` gives a file without a group to one process as well, and keeps the order above."""
    if config.getoption("dist") != "loadgroup":
        return None
    from tests.files_in_turn import FilesInTurn  # needs pytest-xdist

    return FilesInTurn(config, log)


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
def drawn_grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data root of the mini grid that all processes of a test run share; to be completed, not changed."""
    own = tmp_path_factory.getbasetemp()
    run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return run / "mini-grid"


@pytest.fixture(scope="session")
def mini_grid_drawn_once(drawn_grid: Path) -> Iterator[None]:
    """For all processes of a test run."""
    with drawn_once(drawn_grid):
        yield


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny causal LM with a chat template, whose answers are made of letters."""
    from tests.tiny_llm import save_tiny_llm  # loads torch and transformers

    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny-llm")


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A local server of chat completions."""
    with ChatServer() as server:
        yield server


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """A Ray of two CPUs that lasts: starting one takes seconds."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))  # workers import the tests' runners
        patch.setenv("RAY_worker_niceness", "0")  # at its 15 they wait for minutes behind other tests
        head = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield head.address
    head.shutdown()


@pytest.fixture
def running_ray(ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Launches find that Ray by its address, as they find a cluster."""
    monkeypatch.setenv("RAY_ADDRESS", ray_address)
