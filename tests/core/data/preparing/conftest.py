"""What several tests of `dualpt data prepare` begin with."""

from pathlib import Path

import pytest

from tests.core.data.preparing.miniatures import OTHER_REPOSITORIES, write, write_direct
from tests.core.data.preparing.preparing import TEXTURES


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Textures as gallop has them, a data root that isn't there yet, and the direct layout to compare with."""
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write(source, OTHER_REPOSITORIES[TEXTURES](TEXTURES))
    write_direct(direct, TEXTURES)
    return source, root, direct
