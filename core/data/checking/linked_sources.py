"""What became of the folders that `dualpt data prepare` linked to: moved, incomplete, or changed since."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.preparing.manifest import FILE_NAME
from dualpt.core.data.preparing.standing import link_above, our_links
from dualpt.core.data.splits import listing


def gone(folder: Path) -> Iterator[str]:
    """A line where links in a dataset's folder lead nowhere, as after a disk was unmounted or a source moved."""
    links = [path for path in _below(folder) if path.is_symlink() and not path.exists()]
    if links:
        more = f" and {len(links) - 1} more" if len(links) > 1 else ""
        yield f"the link {links[0]}{more} leads to {os.readlink(links[0])}, which is gone"


def incomplete(info: DatasetInfo, root: Path, missing: Iterable[str]) -> Iterator[str]:
    """The end of a line about missing images: which linked folders, that are there, lack them.

    Args:
        info: the dataset.
        root: the data root.
        missing: listed images that aren't there, by path under the image folder.
    """
    links = our_links(root / info.folder)
    above = Counter(link_above(_in_folder(info, path), links) for path in missing)
    for link, n_images in sorted((link, n) for link, n in above.items() if link is not None):
        if os.path.isdir(links[link]):
            yield f"; {n_images} in {links[link]}, which {info.folder}/{link} is a link to"


def changed(info: DatasetInfo, root: Path, paths: Sequence[str]) -> Iterator[str]:
    """A line where images, or the class folders of a dataset without a list, have changed since they were linked.

    Times tell: of an image that of its last change of any kind, which no tool can set back; of a class folder when a
    file was last added or removed.

    Args:
        info: the dataset.
        root: the data root.
        paths: its images under the image folder.
    """
    links = our_links(root / info.folder)
    if not links:
        return
    made = (root / info.folder / FILE_NAME).stat().st_mtime_ns
    image_root = info.image_root(root)
    linked = [path for path in dict.fromkeys(paths) if link_above(_in_folder(info, path), links) is not None]
    later = [path for path in linked if os.stat(image_root / path).st_ctime_ns > made]
    if info.layout not in ("split file", "aircraft"):
        folders = dict.fromkeys(path.rpartition("/")[0] for path in linked)
        later += [folder for folder in folders if os.stat(image_root / folder).st_mtime_ns > made]
    if later:
        yield f"changed since they were linked, in content, name or permissions: {len(later)} ({listing(later)})"


def _in_folder(info: DatasetInfo, path: str) -> str:
    """An image's path in the dataset's folder."""
    return f"{info.image_folder}/{path}" if info.image_folder else path


def _below(folder: Path) -> Iterator[Path]:
    for above, folders, files in os.walk(folder):
        yield from (Path(above, name) for name in (*folders, *files))
