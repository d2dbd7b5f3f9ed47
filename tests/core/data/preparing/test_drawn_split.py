"""A split of our own: CoOp's class names, the same on every machine, and labelled in every table."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.preparing.drawn_split import drawn_split
from dualpt.core.data.preparing.execution import carry_out
from dualpt.core.data.preparing.planner import look_around, plan_datasets
from dualpt.core.data.preparing.sources.survey import survey
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import PARTS, Split
from tests.core.data.preparing.miniatures import ARCHIVES, NAMES, TORCHVISION, images_of, in_folder, write

SAID_BY_PATHS = ("Caltech101", "OxfordPets", "Food101", "SUN397", "DescribableTextures", "EuroSAT", "UCF101")


def prepared(name: str, source: Path, root: Path, seed: int = 1) -> Split:
    (plan,) = plan_datasets(look_around([source], [], root), root, [name], seed)
    assert plan.state == "ready", plan.remedy
    carry_out(plan, root, copy=False, progress=lambda done: None)
    return read_split(dataset_info(name), root)


@pytest.mark.parametrize("layout", [TORCHVISION, ARCHIVES])
@pytest.mark.parametrize("name", SAID_BY_PATHS)
def test_it_lists_every_image_under_coops_class_names(
    name: str, layout: Mapping[str, Callable[[str], dict[str, bytes]]], tmp_path: Path
) -> None:
    write(tmp_path / "source", layout[name](name))
    split = prepared(name, tmp_path / "source", tmp_path / "root")
    classes = {path: each for each, paths in NAMES[name].items() for path in paths}
    assert {item.path: item.class_name for part in PARTS for item in getattr(split, part)} == classes
    assert split.class_names == tuple(sorted(NAMES[name]))
    assert split.note == "not the field's split (drawn by `dualpt data prepare --make-split 1`)"


@pytest.mark.parametrize("name", ["StanfordCars", "OxfordFlowers"])
def test_where_paths_do_not_say_the_classes_the_file_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path / "source", TORCHVISION[name](name))
    root = tmp_path / "root"
    (plan,) = plan_datasets(look_around([tmp_path / "source"], [], root), root, [name], 1)
    assert plan.state == "refused"
    assert f"the split file split_zhou_{name}.json is missing" in plan.remedy
    assert "--make-split" not in plan.remedy


def test_shares_and_seeds(tmp_path: Path) -> None:
    images = {f"{kind}/{kind}_{n}.jpg": b"" for kind in ("AnnualCrop", "SeaLake") for n in range(20)}
    write(tmp_path / "a", in_folder("eurosat/2750", images))
    write(tmp_path / "b", in_folder("elsewhere/EuroSAT_RGB", images))

    def drawn(folder: str, seed: int) -> dict[str, object]:
        listing = drawn_split(dataset_info("EuroSAT"), survey([tmp_path / folder], "--from"), seed)
        assert listing is not None
        content = json.loads(listing.texts["split_zhou_EuroSAT.json"])
        return {part: content[part] for part in PARTS}

    first = drawn("a", 1)
    assert {part: len(items) for part, items in first.items()} == {"train": 20, "val": 8, "test": 12}  # type: ignore[arg-type]
    assert drawn("b", 1) == first
    assert drawn("a", 2) != first


def test_categories_that_the_field_leaves_out(tmp_path: Path) -> None:
    others = {"BACKGROUND_Google/image_0001.jpg": b"", "Faces_easy/image_0001.jpg": b""}
    write(tmp_path, in_folder("caltech101/101_ObjectCategories", images_of("Caltech101") | others))
    listing = drawn_split(dataset_info("Caltech101"), survey([tmp_path], "--from"), 0)
    assert listing is not None
    assert listing.split.class_names == ("face", "leopard")
