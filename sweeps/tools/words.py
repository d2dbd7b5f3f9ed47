"""The words of a `dualpt data` command: names of datasets, and `data.root=FOLDER` as every other command takes it."""

from collections.abc import Sequence
from pathlib import Path

from dualpt.core.errors import UserError, nearest
from dualpt.search_spaces.overrides import parse_overrides

ROOT = "data.root"


def names_and_root(words: Sequence[str] | None, root: Path | None) -> tuple[list[str], Path | None]:
    """Tell datasets from the data root.

    Args:
        words: names, which hold no `=`, and `data.root=FOLDER`.
        root: the value of `--root`.

    Raises:
        UserError: another key, a data root that isn't text, or one that differs from `--root`.
    """
    names = [word for word in words or () if "=" not in word]
    values = parse_overrides([word for word in words or () if "=" in word])
    for key in values:
        if key != ROOT:
            raise UserError(f"{key} means nothing here, only {ROOT} does{nearest(key, [ROOT])}")
    if ROOT not in values:
        return names, root
    if not isinstance(values[ROOT], str | int | float) or values[ROOT] == "":
        raise UserError(f"{ROOT}: expected a folder, found {values[ROOT]!r:.60}")
    given = Path(str(values[ROOT]))
    if root is not None and root != given:
        raise UserError(f"--root {root} and {ROOT}={given} differ; give one of them")
    return names, given


def dataset_and_root(words: Sequence[str] | None, root: Path | None) -> tuple[str | None, Path | None]:
    """The one dataset, if any, and the data root.

    Raises:
        UserError: several datasets, or any fault of `names_and_root`.
    """
    names, root = names_and_root(words, root)
    if len(names) > 1:
        raise UserError(f"{' and '.join(names)}: this command takes one dataset")
    return (names[0] if names else None), root
