"""Images of equal content, against splits whose copies are known."""

from dualpt.core.data.checking.duplicates import NO_DUPLICATES, find_duplicates
from dualpt.core.data.splits import Item, Split

TRAIN = (Item("a/1.jpg", 0, "a"), Item("a/2.jpg", 0, "a"), Item("b/1.jpg", 1, "b"))
VAL = (Item("b/2.jpg", 1, "b"),)
TEST = (Item("a/3.jpg", 0, "a"), Item("b/3.jpg", 1, "b"))
SPLIT = Split(TRAIN, VAL, TEST, ("a", "b"), "")
DISTINCT = {item.path: item.path for item in (*TRAIN, *VAL, *TEST)}


def test_none() -> None:
    assert find_duplicates(SPLIT, DISTINCT) == NO_DUPLICATES
    assert NO_DUPLICATES.notes() == []


def test_a_test_image_in_training_and_one_in_validation() -> None:
    found = find_duplicates(SPLIT, DISTINCT | {"a/3.jpg": "a/1.jpg", "b/3.jpg": "b/2.jpg"})
    assert found.leaked == (("a/1.jpg", "a/3.jpg"), ("b/2.jpg", "b/3.jpg"))
    assert (found.two_labels, found.repeated) == ((), ())
    assert found.notes() == [
        "test images that are also trained or selected on, by content: 2 (a/1.jpg = a/3.jpg, b/2.jpg = b/3.jpg)"
    ]


def test_a_validation_image_in_training() -> None:
    found = find_duplicates(SPLIT, DISTINCT | {"b/2.jpg": "b/1.jpg"})
    assert found.judged == (("b/1.jpg", "b/2.jpg"),)
    assert found.notes() == ["validation images that are also trained on, by content: 1 (b/1.jpg = b/2.jpg)"]


def test_two_labels() -> None:
    found = find_duplicates(SPLIT, DISTINCT | {"b/1.jpg": "a/1.jpg"})
    assert found.two_labels == (("a/1.jpg", "b/1.jpg"),)
    assert (found.leaked, found.repeated) == ((), ())


def test_a_leak_under_another_label_is_both() -> None:
    found = find_duplicates(SPLIT, DISTINCT | {"b/3.jpg": "a/1.jpg"})
    assert found.leaked == found.two_labels == (("a/1.jpg", "b/3.jpg"),)


def test_twice_in_training() -> None:
    found = find_duplicates(SPLIT, DISTINCT | {"a/2.jpg": "a/1.jpg"})
    assert found.repeated == (("a/1.jpg", "a/2.jpg"),)
    assert found.notes() == ["training images that occur twice, by content: 1 (a/1.jpg = a/2.jpg)"]


def test_images_without_a_digest_are_left_out() -> None:
    assert find_duplicates(SPLIT, {"a/1.jpg": "same", "a/2.jpg": "same"}).repeated == (("a/1.jpg", "a/2.jpg"),)
    assert find_duplicates(SPLIT, {}) == NO_DUPLICATES
