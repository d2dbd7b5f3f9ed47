"""`dualpt import-prompts` and `export-prompts`: learned prompts from and for the code of CoOp, KgCoOp and PLOT."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.files.locations import write_atomically
from dualpt.core.learned.coop_checkpoint import import_checkpoint, origin_of
from dualpt.core.learned.coop_export import checkpoint_file, epochs_of, loading_options, trainer_of
from dualpt.core.learned.prompts import LearnedPrompts, save_prompts
from dualpt.sweeps.outputs import check_file
from dualpt.sweeps.tools.predict import learned_by

MODEL_FOLDER = "prompt_learner"
"""Where that code looks for the file, below what it calls `--model-dir`."""


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


def export_prompts(
    console: Console,
    *,
    cell: str | None,
    contexts: Path | None,
    store: str,
    overrides: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write `FOLDER/prompt_learner/model.pth.tar-<epochs>`, and say how that code loads it.

    Args:
        cell, contexts, store, overrides: whose prompts, as in `predict.learned_by`.
        folder: `--model-dir` of CoOp's `train.py`.

    Raises:
        UserError: no such prompts, prompts by which that code classifies otherwise, or a file that can't be written.
    """
    learned = learned_by(cell, contexts, store, overrides)
    if not isinstance(learned, LearnedPrompts):
        raise UserError(
            f"{learned.cell.setting.method_name}: learned no prompts, and CoOp's code loads nothing else; name a cell "
            "of coop, kgcoop or plot"
        )
    file = folder / MODEL_FOLDER / f"model.pth.tar-{epochs_of(learned)}"
    content = checkpoint_file(learned)
    check_file(file, "--out")
    write_atomically(file, content, "name another folder by --out")
    done = learned.cell
    console.print(
        f"{file}: {done.dataset}, {done.protocol}, {done.shots} shots, seed {done.seed}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    options = " ".join(f"{key} {value}" for key, value in loading_options(learned).items())
    console.print(
        f"  it loads there: python train.py --eval-only --trainer {trainer_of(learned)} --model-dir {folder} "
        f"--load-epoch {epochs_of(learned)} … {options}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
