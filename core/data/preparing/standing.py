"""What a data root holds of a dataset already, and what in it may not be touched."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dualpt.core.data.preparing.manifest import load_manifest
from dualpt.core.data.splits import missing_files


@dataclass(frozen=True)
class Standing:
    """A dataset's folder before anything is done to it."""

    missing: frozenset[str]
    """Images, by path in the folder, that aren't there."""
    linked: Mapping[str, str] = field(default_factory=dict)
    """Images that links of an earlier run show: path in the folder -> the file that the link leads to."""
    folders: tuple[str, ...] = ()
    """Folders in it that are no links."""
    blocked_by: str = ""
    """A link that isn't ours and that what is missing, images or lists, would have to be written through; empty where
    there is none."""


def standing(folder: Path, wanted: frozenset[str]) -> Standing:
    """Look at a dataset's folder.

    Args:
        folder: the dataset's folder; it need not exist.
        wanted: the images that belong into it, by path in it.
    """
    missing = frozenset(missing_files(wanted, folder)) if folder.exists() else wanted
    itself = str(folder) if folder.is_symlink() else ""
    if not missing:
        return Standing(missing, blocked_by=itself)
    ours = our_links(folder)
    folders, foreign = _folders_and_links(folder, ours)
    blocked = itself or next(_in_the_way(folder, foreign, missing), "")
    linked = dict(_linked(wanted, missing, ours))
    return Standing(missing, linked, folders, blocked)


def our_links(folder: Path) -> dict[str, str]:
    """The links that earlier runs made in a dataset's folder and that still lead there: path in it -> target."""
    manifest = load_manifest(folder)
    return {} if manifest is None else {path: to for path, to in manifest.links.items() if _leads(folder / path, to)}


def link_above(path: str, links: Mapping[str, str]) -> str | None:
    """The link among `links` that a path is or lies below; None if it is none of them."""
    while path and path not in links:
        path = path.rpartition("/")[0]
    return path or None


def _leads(link: Path, target: str) -> bool:
    return link.is_symlink() and os.readlink(link) == target


def _folders_and_links(folder: Path, ours: Mapping[str, str]) -> tuple[tuple[str, ...], list[str]]:
    """Folders, and links that no earlier run made, by path in the folder; links aren't followed."""
    folders: list[str] = []
    foreign: list[str] = []
    waiting = [""]
    while waiting:
        above = waiting.pop()
        for entry in _visible(folder / above):
            path = f"{above}/{entry.name}".lstrip("/")
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
                waiting.append(path)
            elif entry.is_symlink() and path not in ours:
                foreign.append(path)
    return tuple(folders), foreign


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:  # no such folder, or one that may not be read
        return []


def _in_the_way(folder: Path, links: Sequence[str], missing: Iterable[str]) -> Iterator[str]:
    """Links that lie where missing images belong, or folders above them: they lead to where those aren't."""
    if not links:
        return iter(())
    parts = [path.split("/") for path in missing]
    wanted = {"/".join(each[:n]) for each in parts for n in range(1, len(each) + 1)}
    return (str(folder / link) for link in links if link in wanted)


def _linked(paths: Iterable[str], missing: frozenset[str], links: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The images that links show, each with the file behind its link."""
    for path in paths:
        if path not in missing and (link := link_above(path, links)) is not None:
            yield path, f"{links[link]}{path[len(link) :]}"
