"""The few-shot draw is the field's to the image, and base and new divide its classes."""

import json
import random
from pathlib import Path

import pytest

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.readers import read_split
from dualpt.core.data.sampling import base_to_new, draw_few_shot, folds, held_out, n_base_classes
from dualpt.core.data.splits import Item, Split, make_split

PUBLISHED = {"dtd": "DescribableTextures", "eurosat": "EuroSAT", "oxford_pets": "OxfordPets"}


def items(part: str, labels: str) -> list[Item]:
    return [Item(f"{part}/{place}.png", int(label), f"class {label}") for place, label in enumerate(labels)]


def split_of(train: str, val: str = "0011") -> Split:
    return make_split(
        {"train": items("train", train), "val": items("val", val), "test": items("test", "01")}, Path("x.json")
    )


@pytest.fixture(scope="module")
def real_splits(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Split]:
    root = tmp_path_factory.mktemp("root")
    splits = {}
    for folder, name in PUBLISHED.items():
        info = dataset_info(name)
        info.image_root(root).mkdir(parents=True)
        content = (shared_data / "splits" / info.split_file).read_text()
        (root / info.folder / info.split_file).write_text(content)
        splits[folder] = read_split(info, root)
    return splits


@pytest.mark.parametrize("folder", PUBLISHED)
@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_draw_behind_published_numbers(
    shared_data: Path, real_splits: dict[str, Split], folder: str, shots: int, seed: int
):
    file = shared_data / "fewshot_indices" / folder / f"shot_{shots}-seed_{seed}.json"
    expected = json.loads(file.read_text())
    sample = draw_few_shot(real_splits[folder], shots, seed)
    image_folder = f"./data/{dataset_info(PUBLISHED[folder]).image_root(Path())}/"
    for part, drawn in (("train", sample.train), ("val", sample.val)):
        wanted = [(entry["impath"], entry["label"], entry["classname"]) for entry in expected[part]["data"]]
        assert [(image_folder + item.path, item.label, item.class_name) for item in drawn] == wanted


def test_a_class_with_fewer_images_than_shots_gives_all_and_draws_nothing() -> None:
    sample = draw_few_shot(split_of("0101111"), shots=4, seed=1)
    assert [item.path for item in sample.train[:2]] == ["train/0.png", "train/2.png"]
    assert len(sample.train) == 2 + 4
    generator = random.Random(1)  # class 0 must not have touched it
    assert list(sample.train[2:]) == generator.sample([i for i in items("train", "0101111") if i.label], 4)


def test_classes_are_drawn_in_order_of_first_appearance() -> None:
    sample = draw_few_shot(split_of("2021011"), shots=1, seed=1)
    assert [item.label for item in sample.train] == [2, 0, 1]


def test_the_global_generator_is_left_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    draw_few_shot(split_of("0011"), 1, 3)
    assert random.random() == expected


def test_at_most_four_validation_shots() -> None:
    sample = draw_few_shot(split_of("0" * 9 + "1" * 9, val="0" * 9 + "1" * 9), shots=8, seed=1)
    assert len(sample.train) == 16
    assert len(sample.val) == 8


def test_without_a_validation_split_shots_come_from_the_rest_of_train() -> None:
    with_val, without = split_of("0" * 9 + "1" * 9), split_of("0" * 9 + "1" * 9, val="")
    sample = draw_few_shot(without, shots=4, seed=2)
    assert sample.train == draw_few_shot(with_val, shots=4, seed=2).train
    assert len(sample.val) == 8
    assert not set(sample.val) & set(sample.train)
    assert set(sample.val) <= set(without.train)


def test_the_sample_has_its_own_fingerprint() -> None:
    split = split_of("0" * 9 + "1" * 9)
    prints = {draw_few_shot(split, shots, seed).fingerprint for shots in (1, 2) for seed in (1, 2, 3)}
    assert len(prints) == 6
    assert draw_few_shot(split, 2, 3).fingerprint == draw_few_shot(split, 2, 3).fingerprint


def test_one_image_of_every_class_is_held_out_and_an_only_one_stays() -> None:
    support = items("train", "0001112")
    kept, held = held_out(support, seed=1)
    assert sorted(item.label for item in held) == [0, 1]
    assert [item for item in support if item not in held] == list(kept)
    assert held_out(support, seed=1) == (kept, held)
    assert len({held_out(support, seed)[1] for seed in range(20)}) > 3


@pytest.mark.parametrize(("labels", "count"), [("0011", 2), ("000111", 3), ("0" * 16 + "1" * 16, 4), ("0000011", 4)])
def test_folds_hold_every_image_out_once(labels: str, count: int) -> None:
    support = items("train", labels)
    found = folds(support, seed=3)
    assert len(found) == count
    assert sorted(item for _, held in found for item in held) == sorted(support)
    for kept, held in found:
        assert set(kept) | set(held) == set(support)
        assert not set(kept) & set(held)
        assert {item.label for item in kept} == {item.label for item in support}
        most = {label: labels.count(label) for label in set(labels)}
        assert all(sum(i.label == int(label) for i in held) <= -(-n // count) for label, n in most.items())


def test_an_only_image_is_never_held_out() -> None:
    assert folds(items("train", "0123"), seed=1) == []
    assert held_out(items("train", "012"), seed=1)[1] == ()
    assert all(item.label == 0 for _, held in folds(items("train", "001"), seed=1) for item in held)


@pytest.mark.parametrize(("n_classes", "n_base"), [(10, 5), (47, 24), (37, 19), (2, 1), (1, 1)])
def test_base_is_the_larger_half(n_classes: int, n_base: int) -> None:
    assert n_base_classes(n_classes) == n_base


def test_base_and_new_are_relabelled_from_zero() -> None:
    base, new = base_to_new(items("test", "4102343"), 5)
    assert [(item.label, item.class_name) for item in base] == [(1, "class 1"), (0, "class 0"), (2, "class 2")]
    assert [(item.label, item.class_name) for item in new] == [
        (1, "class 4"),
        (0, "class 3"),
        (1, "class 4"),
        (0, "class 3"),
    ]
