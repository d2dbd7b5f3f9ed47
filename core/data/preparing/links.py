"""The fewest links for a dataset's images: one for a folder that corresponds to one of the user's as a whole."""

from collections.abc import Iterable, Mapping


def links_for(files: Mapping[str, str], solid: Iterable[str] = ()) -> dict[str, str]:
    """The fewest links for files: one for a folder where all its files have the same names in one folder.

    Args:
        files: path in the dataset's folder -> absolute path of the file.
        solid: folders that stay folders, and those above them.

    Returns:
        Path of a link -> the file or folder it leads to. A folder's link also shows what else lies there, which no
        split lists.
    """
    top = _Node()
    nodes = {"": top}
    for path, source in files.items():
        above, _, name = path.rpartition("/")
        if (node := nodes.get(above)) is None:
            node = top
            for step in above.split("/"):
                node = node.folders.setdefault(step, _Node())
            nodes[above] = node
        node.files[name] = source
    parts = (path.split("/") for path in solid)
    return _links_below(top, "", frozenset("/".join(each[:n]) for each in parts for n in range(1, len(each) + 1)))


class _Node:
    __slots__ = ("files", "folders")

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.folders: dict[str, _Node] = {}


def _links_below(node: _Node, path: str, solid: frozenset[str]) -> dict[str, str]:
    """Links for what is in a folder, which itself stays one."""
    links = {f"{path}{name}": source for name, source in node.files.items()}
    for name, inner in node.folders.items():
        below = f"{path}{name}"
        source = None if below in solid else _one_folder(inner)
        links |= {below: source} if source is not None else _links_below(inner, f"{below}/", solid)
    return links


def _one_folder(node: _Node) -> str | None:
    """The folder in which everything of a node lies under the same names; None where there is none."""
    found = set()
    for name, source in node.files.items():
        if not source.endswith(f"/{name}"):
            return None
        found.add(source[: -len(name) - 1])
    for name, inner in node.folders.items():
        above, _, last = (_one_folder(inner) or "").rpartition("/")
        if last != name:
            return None
        found.add(above)
    return found.pop() if len(found) == 1 else None
