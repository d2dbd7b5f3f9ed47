"""How many validation images decide, and which classes have none."""

import pytest

from dualpt.core.data.checking.validation import Validation, validation_of
from dualpt.core.data.protocols import divide
from dualpt.core.data.sampling import draw_few_shot
from dualpt.core.data.splits import Item, make_split


def draw(shots: int, per_class: dict[str, int], val: int = 0) -> Validation:
    """The validation of a split with so many training images in each class, and `val` validation images in each."""
    train, judged, test = [], [], []
    for label, (name, count) in enumerate(per_class.items()):
        train += [Item(f"{name}/{k}.jpg", label, name) for k in range(count)]
        judged += [Item(f"{name}/v{k}.jpg", label, name) for k in range(val)]
        test += [Item(f"{name}/t.jpg", label, name)]
    split = make_split({"train": train, "val": judged, "test": test}, None)  # type: ignore[arg-type]
    return validation_of(divide("few-shot", "leaves", split, draw_few_shot(split, shots, 1), {}))


def test_a_validation_part() -> None:
    assert draw(4, {"oak": 4, "elm": 4}, val=2) == Validation(4, 2, ())


def test_a_class_whose_images_are_all_trained_on() -> None:
    found = draw(4, {"oak": 9, "elm": 4, "ash": 5})
    assert found == Validation(5, 3, (1,))
    assert found.note(("oak", "elm", "ash")) == "no validation image for 1 of 3 classes ('elm'); 5 images decide"


@pytest.mark.parametrize("shots", [4, 16])
def test_no_image_is_left(shots: int) -> None:
    found = draw(shots, {"oak": 4, "elm": 4})
    assert (found.n_images, found.lacking) == (0, (0, 1))


def test_nothing_to_remark() -> None:
    assert draw(2, {"oak": 4, "elm": 4}).note(("oak", "elm")) is None
