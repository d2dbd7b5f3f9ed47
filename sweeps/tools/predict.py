"""`dualpt predict`: learned prompts and classifiers on any images."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from rich.console import Console
from rich.markup import escape

from dualpt.core.errors import UserError, nearest
from dualpt.core.files.regular import check_regular
from dualpt.sweeps.comparison.frames import open_ledger
from dualpt.sweeps.console import counted, progress_bar, say_whole
from dualpt.sweeps.ledger.cell_names import find_cell, learned_of
from dualpt.sweeps.outputs import STDOUT, check_file, write_document
from dualpt.sweeps.records import MOVABLE
from dualpt.sweeps.word_table import WordTable

if TYPE_CHECKING:
    from dualpt.core.learned.fitted import LearnedClassifier
    from dualpt.core.learned.image_classifier import ClassScore, ImageClassifier
    from dualpt.core.learned.prompts import LearnedPrompts

FORMATS = ("table", "csv", "json")
ALL_READ, SOME_UNREADABLE = 0, 3
"""Exit codes."""


@dataclass(frozen=True)
class Prediction:
    """One image's most probable classes, best first, or why it has none."""

    image: Path
    classes: "Sequence[ClassScore]"
    fault: str | None = None


def predict(
    console: Console,
    images: Sequence[Path],
    *,
    cell: str | None,
    contexts: Path | None,
    store: str,
    overrides: Mapping[str, Any],
    classes: Path | None,
    top: int,
    form: str,
    output: Path | None,
) -> int:
    """Classify image files, and those in folders, and print or write the predictions.

    Args:
        cell: a recorded cell, as `dualpt.sweeps.ledger.cell_names.find_cell` understands it; or
        contexts: a file of learned prompts or of a classifier, as `dualpt train --save` writes it.
        classes: a file with other class names, one per line.

    Returns:
        0, or 3 where some image could not be read: it is listed.

    Raises:
        UserError: anything that can be told before the first image is classified, or no image that can be read.
    """
    if form not in FORMATS:
        raise UserError(f"--format: unknown format '{form}'{nearest(form, FORMATS)} (known: {', '.join(FORMATS)})")
    files, others = image_files(images)
    if output is not None:
        check_file(output, "--output")
    learned = learned_by(cell, contexts, store, overrides)
    classifier = classifier_of(learned, None if classes is None else _class_names(classes))
    predictions = []
    with progress_bar(console, quiet=form != "table" or not console.is_terminal) as bar:
        task = bar.add_task("classifying", total=len(files))
        for file, scored in classifier.score_files(files, lambda done, _: bar.update(task, completed=done)):
            if isinstance(scored, UserError):
                predictions.append(Prediction(file, (), str(scored)))
            else:
                predictions.append(Prediction(file, classifier.best(scored, top)))
    faults = [prediction for prediction in predictions if prediction.fault is not None]
    if len(faults) == len(files):
        which = "the image cannot" if len(files) == 1 else f"none of the {len(files)} images can"
        raise UserError(f"{which} be read: {faults[0].fault}")
    _show(predictions, form, output, console)
    if form == "table" or output is not None:
        for prediction in faults:
            say_whole(console, f"left out: {prediction.fault}", "yellow")
        if others:
            console.print(
                f"  {others} other files in the folders are not images by their names", style="dim", markup=False
            )
    return SOME_UNREADABLE if faults else ALL_READ


def image_files(given: Iterable[Path]) -> tuple[list[Path], int]:
    """The files, and the images in the folders and below them, in order; and how many other files lie there.

    In folders a file is an image by its suffix; a file that is named is tried whatever it is called.

    Raises:
        UserError: a path that does not exist, or no image at all.
    """
    suffixes = Image.registered_extensions()
    files: dict[Path, None] = {}
    others = 0
    for path in given:
        if path.is_file():
            files[path] = None
        elif path.is_dir():
            below = sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
            found = [file for file in below if file.suffix.lower() in suffixes]
            others += len(below) - len(found)
            files |= dict.fromkeys(found)
        else:
            raise UserError(f"{path}: no such image or folder")
    if not files:
        raise UserError(f"{', '.join(map(str, given))}: no image in there (by the files' suffixes)")
    return list(files), others


def learned_by(
    cell: str | None, contexts: Path | None, store: str, overrides: Mapping[str, Any]
) -> "LearnedPrompts | LearnedClassifier":
    """What a recorded cell learned, or what a file holds; exactly one of them is given.

    Raises:
        UserError: none or both are given, no such cell or file, or an override of what it was learned with.
    """
    if (cell is None) == (contexts is None):
        raise UserError("give the prompts once: --cell ID from a store, or --contexts FILE from `dualpt train --save`")
    if cell is not None:
        ledger = open_ledger(store)
        return learned_of(ledger, find_cell(ledger, cell), overrides)
    assert contexts is not None
    return learned_in(contexts, overrides)


def learned_in(file: Path, overrides: Mapping[str, Any]) -> "LearnedPrompts | LearnedClassifier":
    """The prompts or the classifier of a file, with places on this machine in `overrides`.

    Raises:
        UserError: not such a file, or an override of what it was learned with.
    """
    from dualpt.core.learned.fitted import holds_classifier, load_classifier
    from dualpt.core.learned.prompts import load_prompts

    learned = load_classifier(file) if holds_classifier(file) else load_prompts(file)
    for key in overrides:
        if key not in MOVABLE:
            raise UserError(f"{key}: what was learned keeps its setting; only {', '.join(MOVABLE)} may be given")
    setting = learned.cell.setting.with_values(overrides)
    return replace(learned, cell=replace(learned.cell, setting=setting))


def classifier_of(
    learned: "LearnedPrompts | LearnedClassifier", names: Sequence[str] | None, device: str = "auto"
) -> "ImageClassifier":
    """What classifies images by it; arguments and errors as for either kind."""
    from dualpt.core.learned.classifier import PromptClassifier
    from dualpt.core.learned.feature_classifier import FeatureClassifier
    from dualpt.core.learned.prompts import LearnedPrompts

    if isinstance(learned, LearnedPrompts):
        return PromptClassifier(learned, class_names=names, device=device)
    return FeatureClassifier(learned, class_names=names, device=device)


def _class_names(path: Path) -> list[str]:
    check_regular(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--classes: {path} cannot be read ({error})") from None
    return [line.strip() for line in lines if line.strip()]


def _show(predictions: Sequence[Prediction], form: str, output: Path | None, console: Console) -> None:
    if form == "table" and output is None:
        print_predictions(predictions, console)
        return
    text = _json(predictions) if form == "json" else _csv(predictions)
    if write_document(text, output or STDOUT, "--output"):
        say_whole(console, f"{counted(len(predictions), 'image')}: {output}")


def print_predictions(predictions: Sequence[Prediction], console: Console) -> None:
    most = max(len(prediction.classes) for prediction in predictions)
    table = WordTable("image", *("class" if n == 0 else f"class {n + 1}" for n in range(most)))
    for prediction in predictions:
        if prediction.fault is None:
            texts = [f"{escape(score.name)} [dim]{score.probability:.1%}[/]" for score in prediction.classes]
            table.add_row(escape(str(prediction.image)), *texts)
    table.show(console)


def _json(predictions: Sequence[Prediction]) -> str:
    rows = [
        {
            "image": str(prediction.image),
            "predictions": [{"class": s.name, "probability": s.probability} for s in prediction.classes],
            "error": prediction.fault,
        }
        for prediction in predictions
    ]
    return json.dumps(rows, indent=1) + "\n"


def _csv(predictions: Sequence[Prediction]) -> str:
    most = max(len(prediction.classes) for prediction in predictions)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["image", *(f"{part}_{n}" for n in range(1, most + 1) for part in ("class", "probability")), "error"]
    )
    for prediction in predictions:
        cells = [text for s in prediction.classes for text in (s.name, f"{s.probability:.6f}")]
        writer.writerow([prediction.image, *cells, *[""] * (2 * most - len(cells)), prediction.fault or ""])
    return text.getvalue()
