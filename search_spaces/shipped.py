"""The files that ship, by name: sweeps, and ablations in a folder of their own."""

from pathlib import Path

from dualpt.core.errors import UserError, nearest
from dualpt.core.files.regular import check_regular


def shipped_folder() -> Path:
    """The folder of the sweep files that ship."""
    return Path(__file__).parent


def shipped_ablations() -> Path:
    """The folder of the ablation files that ship."""
    return shipped_folder() / "ablations"


def shipped_or_path(file: str) -> Path:
    """A path as given, or the shipped sweep file of that name.

    Raises:
        UserError: neither exists; the nearest shipped name is given.
    """
    return _find(file, shipped_folder(), "sweep")


def shipped_ablation_or_path(file: str) -> Path:
    """A path as given, or the shipped ablation file of that name.

    Raises:
        UserError: neither exists; the nearest shipped name is given.
    """
    return _find(file, shipped_ablations(), "ablation")


def _find(file: str, folder: Path, kind: str) -> Path:
    path, shipped = Path(file), folder / f"{file}.yaml"
    if path.is_file():
        return path
    if shipped.is_file():
        return shipped
    check_regular(path, f"give a {kind} file")
    names = [p.stem for p in folder.glob("*.yaml")]
    raise UserError(f"{file}: no such {kind} file{nearest(path.stem, names)} (`dualpt spaces` lists what ships)")
