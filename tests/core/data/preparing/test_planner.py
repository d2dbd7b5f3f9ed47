"""Whatever a dataset lies in, the same images and split arrive: eleven datasets from three kinds of sources."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dualpt.core.data.catalog import REAL_GRID
from tests.core.data.preparing.miniatures import (
    ARCHIVES,
    OTHER_REPOSITORIES,
    TORCHVISION,
    lists_of,
    write,
    write_direct,
)
from tests.core.data.preparing.preparing import fingerprints, plan_of, prepare, snapshot

KINDS: Mapping[str, Mapping[str, Callable[[str], dict[str, bytes]]]] = {
    "torchvision": TORCHVISION,
    "other repositories": OTHER_REPOSITORIES,
    "archives": ARCHIVES,
}


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of split files, as a clone has it."""
    folder = tmp_path_factory.mktemp("clone") / "datasets" / "jsons"
    for name in REAL_GRID:
        if name != "FGVCAircraft":
            write(folder, lists_of(name))
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REAL_GRID)
def test_it_arrives_as_from_the_direct_layout(kind: str, name: str, tmp_path: Path, splits: Path) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write_direct(direct, name)
    write(source, KINDS[kind][name](name))
    before = snapshot(source)
    prepare(name, source, root, splits)
    assert fingerprints(name, root) == fingerprints(name, direct)
    assert snapshot(source) == before
    again = plan_of(name, source, root, splits)
    assert again.state == "there"


@pytest.mark.parametrize("name", REAL_GRID)
def test_copies_need_their_source_no_more(name: str, tmp_path: Path, splits: Path) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write_direct(direct, name)
    write(source, TORCHVISION[name](name))
    prepare(name, source, root, splits, copy=True)
    source.rename(tmp_path / "gone")
    assert fingerprints(name, root) == fingerprints(name, direct)
