"""The files that ship, by name."""

from pathlib import Path

from core.errors import UserError, nearest


def shipped_folder() -> Path:
    """The folder of the sweep files that ship."""
    return Path(__file__).parent


def shipped_or_path(file: str) -> Path:
    """A path as given, or the shipped file of that name.

    Raises:
        UserError: neither exists; the nearest shipped name is given.
    """
    path = Path(file)
    shipped = shipped_folder() / f"{file}.yaml"
    if path.is_file() or not shipped.is_file():
        if not path.is_file():
            names = [p.stem for p in shipped_folder().glob("*.yaml")]
            raise UserError(f"{file}: no such sweep file{nearest(path.stem, names)} (`dualpt spaces` lists what ships)")
        return path
    return shipped
