"""A source that was moved or changed after it was linked to is said in one line."""

import os
import time
from pathlib import Path

import pytest

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.checking.diagnosis import Diagnosis, diagnose
from dualpt.core.data.preparing.manifest import FILE_NAME
from tests.core.data.preparing.miniatures import OTHER_REPOSITORIES, images_of, in_folder, lists_of, write
from tests.core.data.preparing.preparing import fingerprints, prepare

TEXTURES = "DescribableTextures"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Textures as gallop has them, and a data root that links to them."""
    source, root = tmp_path / "source", tmp_path / "root"
    write(source, OTHER_REPOSITORIES[TEXTURES](TEXTURES))
    prepare(TEXTURES, source, root)
    return source, root


def diagnosis(root: Path, name: str = TEXTURES) -> Diagnosis:
    return next(each for each in diagnose(root) if each.dataset == name)


def a_tick_later(root: Path, name: str) -> None:
    """The manifest as old as the newest thing of the source, and the next change is newer: clocks of files tick."""
    info = dataset_info(name)
    seen = [path.stat() for path in info.image_root(root).rglob("*")]
    for folder in (path for path in info.image_root(root).rglob("*") if path.is_symlink()):
        seen += [path.stat() for path in folder.rglob("*")]
    newest = max(max(stat.st_ctime_ns, stat.st_mtime_ns) for stat in seen)
    os.utime(root / info.folder / FILE_NAME, ns=(newest, newest))
    time.sleep(0.05)  # ten ticks of a usual kernel


def test_moved(places: tuple[Path, Path], tmp_path: Path) -> None:
    source, root = places
    before = fingerprints(TEXTURES, root)
    source.rename(tmp_path / "moved")
    found = diagnosis(root)
    gone = f"the link {root}/dtd/images leads to {source}/dtddataset/dtd/images, which is gone"
    assert [cause for cause in found.causes if "link" in cause] == [gone]
    prefix = f"if it was moved, run `dualpt data prepare {TEXTURES} --from WHERE-IT-IS --root {root}`; "
    assert found.remedy.startswith(prefix)
    prepare(TEXTURES, tmp_path / "moved", root)
    assert fingerprints(TEXTURES, root) == before


def test_images_removed(places: tuple[Path, Path]) -> None:
    source, root = places
    images = source / "dtddataset/dtd/images"
    (images / "banded/banded_0002.jpg").unlink()
    assert diagnosis(root).causes == (
        f"1 listed images aren't there: banded/banded_0002.jpg; 1 in {images}, which dtd/images is a link to",
    )


def test_an_image_replaced(places: tuple[Path, Path]) -> None:
    source, root = places
    a_tick_later(root, TEXTURES)
    image = source / "dtddataset/dtd/images/banded/banded_0002.jpg"
    write(image.parent, {"unlisted.jpg": b"?"})
    before = diagnosis(root).notes
    image.write_bytes(b"another")
    os.utime(image, ns=(0, 0))  # as an archive sets the times of what it holds
    found = diagnosis(root)
    assert found.fine
    line = "changed since they were linked, in content, name or permissions: 1 (banded/banded_0002.jpg)"
    assert found.notes == (*before, line)


def test_an_image_removed_or_added_where_folders_decide(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    write(source, in_folder("imagenet-sketch/sketch", images_of("ImageNetSketch")) | lists_of("ImageNetSketch"))
    prepare("ImageNetSketch", source, root)
    a_tick_later(root, "ImageNetSketch")
    assert diagnosis(root, "ImageNetSketch").notes == ()
    one, other = sorted((source / "imagenet-sketch/sketch").iterdir())[:2]
    next(one.iterdir()).unlink()
    write(other, {"new.jpg": b"?"})
    what = f"3 ({other.name}/new.jpg, {one.name}, {other.name})"
    assert diagnosis(root, "ImageNetSketch").notes == (
        f"changed since they were linked, in content, name or permissions: {what}",
    )
