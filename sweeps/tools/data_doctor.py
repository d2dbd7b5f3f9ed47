"""`dualpt data doctor`: what is wrong with a data root, one dataset after the other."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.checking.diagnosis import Diagnosis, diagnose
from dualpt.core.errors import UserError


def diagnose_root(console: Console, words: Sequence[str], root: Path | None) -> bool:
    """Print what is wrong with a data root; whether everything that is there is fine.

    Args:
        console: where lines go.
        words: the data root, if it isn't given by `root`.
        root: the data root.

    Raises:
        UserError: no data root, or two.
    """
    given = [*map(Path, words), *([root] if root is not None else [])]
    if len(given) != 1:
        raise UserError("give the data root, one FOLDER: dualpt data doctor FOLDER")
    folder = given[0].expanduser()
    if not folder.is_dir():
        raise UserError(f"--root: no folder '{folder}'")
    diagnoses = diagnose(folder.absolute())
    there = [each for each in diagnoses if each.found]
    for each in there:
        _print_one(console, each)
    if absent := [f"{dataset_info(each.dataset).folder}/" for each in diagnoses if not each.found]:
        console.print(f"nothing of {', '.join(absent)}", markup=False, highlight=False, soft_wrap=True)
    return bool(there) and all(each.fine for each in there)


def _print_one(console: Console, diagnosis: Diagnosis) -> None:
    word = "[green]fine[/]" if diagnosis.fine else "[red]fault[/]"
    console.print(f"{word} {escape(diagnosis.dataset)}", highlight=False)
    lines = [*diagnosis.causes, *([f"→ {diagnosis.remedy}"] if diagnosis.remedy else [])]
    lines += [f"note: {note}" for note in diagnosis.notes]
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
