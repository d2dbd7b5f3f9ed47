"""Whether a draw, and every part of it that something is fitted to, has the images of each class that a method needs.

Uneven draws and small classes have fewer than the shots say. No torch.
"""

from collections import Counter
from collections.abc import Sequence

from dualpt.core.cell import chooses, choosing_remedy
from dualpt.core.data.splits import Item, listing
from dualpt.core.errors import UserError
from dualpt.core.inputs.import_limits import crops_read
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.selection_rules import divides


def check_drawn_images(inputs: CellInputs) -> None:
    """Refuse a draw that lacks a class, or has too few images of one, where the method can't do without.

    Nor can a method that chooses options by images do without images to choose by.

    Raises:
        UserError: naming the method and the classes, in one line.
    """
    setting = inputs.cell.setting
    if not setting.fits_features:
        return
    train = inputs.data.train
    if setting.definition.definition.every_class:
        _check_every_class(inputs, train)
    _check_enough(inputs, train, "")
    for division in inputs.judging:
        _check_enough(inputs, division.train, f", of which selection {inputs.cell.selection} holds some out,")
    _check_validation(inputs)


def _check_every_class(inputs: CellInputs, train: Sequence[Item]) -> None:
    setting, drawn = inputs.cell.setting, {item.label for item in train}
    if lacking := [name for label, name in enumerate(inputs.class_names("train")) if label not in drawn]:
        remedy = "data.draw=relaxed has one of each" if setting.data.draw == "realistic" else "leave it out"
        raise UserError(
            f"{setting.definition.name}: needs an image of every class, and {_draw_of(inputs)} has none of "
            f"{listing(lacking)}; {remedy}, or choose other methods"
        )


def _check_enough(inputs: CellInputs, train: Sequence[Item], divided: str) -> None:
    """Images of the classes that were drawn, against the method's shots and rows."""
    setting = inputs.cell.setting
    method, reads = setting.definition.definition, setting.reads
    views = crops_read(setting, inputs.source.imported) if inputs.source.is_imported else reads.views
    for_rows = -(-reads.rows // max(1, views))
    counts = Counter(item.label for item in train)
    if not counts:
        return
    needed, of_any = max(method.min_shots, for_rows), reads.rows_of_one and for_rows > method.min_shots
    label, found = counts.most_common()[0] if of_any else counts.most_common()[-1]
    if found < needed:
        which = "any class" if of_any else f"'{inputs.class_names('train')[label]}'"
        remedy = "raise the shots" if for_rows <= method.min_shots else f"raise the shots or {method.name}.views"
        raise UserError(
            f"{method.name}: needs {needed} images of {'some' if of_any else 'each'} class, and {_draw_of(inputs)}"
            f"{divided} leaves {found} of {which}; {remedy}, or choose other methods"
        )


def _check_validation(inputs: CellInputs) -> None:
    """Refuse a method that chooses options by images where a draw, or its division, leaves none."""
    cell, setting = inputs.cell, inputs.cell.setting
    if not chooses(setting) or inputs.data.val or inputs.judging:
        return
    remedy = choosing_remedy(setting)
    if divides(cell.selection):
        raise UserError(
            f"{setting.method_name}: no class of {cell.dataset} has two training images to divide, and selection "
            f"{cell.selection} has nothing to choose by; {remedy}, or leave the dataset out"
        )
    raise UserError(
        f"{setting.method_name}: {cell.dataset} has no validation image at {cell.shots} shots to choose by; "
        f"{remedy}, or lower the shots"
    )


def _draw_of(inputs: CellInputs) -> str:
    cell = inputs.cell
    return f"the draw at {cell.shots} shots seed {cell.seed} of {cell.dataset}"
