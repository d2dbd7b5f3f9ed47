"""`dualpt import-prompts`: a checkpoint of CoOp's or KgCoOp's as a file of learned prompts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from dualpt.core.learned.coop_checkpoint import import_checkpoint, origin_of
from dualpt.core.learned.prompts import save_prompts
from dualpt.sweeps.outputs import check_file


def import_prompts(
    console: Console,
    checkpoint: Path,
    method: str,
    dataset: str,
    shots: int | None,
    seed: int | None,
    values: Mapping[str, Any],
    file: Path,
) -> None:
    """Check a checkpoint against its dataset and backbone, and write it as a file of learned prompts.

    Raises:
        UserError: anything that doesn't fit, or a file that can't be written; nothing is written then.
    """
    check_file(file, "--out")
    origin = origin_of(checkpoint, dataset, shots, seed)
    prompts = import_checkpoint(checkpoint, method, origin, values)
    save_prompts(file, prompts, {"imported_from": str(checkpoint), "cell_key": prompts.cell_key})
    cell = prompts.cell
    console.print(
        f"{file}: {method} on {cell.dataset}, {cell.protocol}, {cell.shots} shots, seed {cell.seed}; "
        f"{cell.setting.prompt.context_length} context tokens, {len(prompts.class_names)} classes",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"  next: dualpt predict --contexts {file} IMAGES", markup=False, highlight=False, soft_wrap=True)
