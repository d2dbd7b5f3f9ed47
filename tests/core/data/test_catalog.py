"""The catalogue knows both grids, in the field's order of columns, and loads nothing heavy."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dualpt.core.data.catalog import IMAGENET_VARIANTS, MINI_GRID, REAL_GRID, dataset_info, expand_datasets
from dualpt.core.errors import UserError

TEMPLATES = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a photo of {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
}


def test_the_grids_are_eleven_and_eleven_in_the_fields_order() -> None:
    assert " ".join(REAL_GRID) == (
        "ImageNet Caltech101 OxfordPets StanfordCars OxfordFlowers Food101 FGVCAircraft SUN397 DescribableTextures "
        "EuroSAT UCF101"
    )
    assert len(MINI_GRID) == 11
    assert MINI_GRID[0] == "mini-objects"


@pytest.mark.parametrize("name", REAL_GRID)
def test_templates_are_the_fields(name: str) -> None:
    assert dataset_info(name).template == TEMPLATES.get(name, "a photo of a {}.")


PROGRAD_TEMPLATES = {
    "OxfordPets": "a type of pet, a photo of a {}.",
    "OxfordFlowers": "a type of flower, a photo of a {}.",
    "FGVCAircraft": "a type of aircraft, a photo of a {}.",
    "DescribableTextures": "a texture of {}.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a type of food, a photo of {}.",
    "UCF101": "a photo of a person doing {}.",
}


@pytest.mark.parametrize("name", REAL_GRID)
def test_prograds_templates_are_its_authors(name: str) -> None:
    """BeierZhu/Prompt-align@27ddd3b, ProGrad.public/trainers/prograd.py: `CUSTOM_TEMPLATES`."""
    assert dataset_info(name).prograd_template == PROGRAD_TEMPLATES.get(name, "a photo of a {}.")


def test_a_mini_dataset_has_the_prograd_template_of_what_it_stands_for() -> None:
    for mini, real in zip(MINI_GRID, REAL_GRID, strict=True):
        if dataset_info(mini).template == dataset_info(real).template:
            assert dataset_info(mini).prograd_template == dataset_info(real).prograd_template


@pytest.mark.parametrize(
    ("name", "image_root", "split_file"),
    [
        ("ImageNet", "imagenet/images", ""),
        ("Caltech101", "caltech-101/101_ObjectCategories", "split_zhou_Caltech101.json"),
        ("StanfordCars", "stanford_cars", "split_zhou_StanfordCars.json"),
        ("FGVCAircraft", "fgvc_aircraft/images", ""),
        ("UCF101", "ucf101/UCF-101-midframes", "split_zhou_UCF101.json"),
        ("mini-pets", "mini_pets/images", "split_zhou_MiniPets.json"),
    ],
)
def test_layout(name: str, image_root: str, split_file: str) -> None:
    info = dataset_info(name)
    assert info.image_root(Path("root")) == Path("root") / image_root
    assert info.split_file == split_file
    assert info.bank_name == f"{name}.json"


def test_class_and_image_counts_are_the_fields() -> None:
    assert {name: dataset_info(name).n_classes for name in REAL_GRID} == {
        "ImageNet": 1000,
        "Caltech101": 100,
        "OxfordPets": 37,
        "StanfordCars": 196,
        "OxfordFlowers": 102,
        "Food101": 101,
        "FGVCAircraft": 100,
        "SUN397": 397,
        "DescribableTextures": 47,
        "EuroSAT": 10,
        "UCF101": 101,
    }
    assert dataset_info("UCF101").n_images == (7639, 1898, 3783)
    assert dataset_info("mini-tiles").n_images == (160, 64, 320)


def test_imagenets_variants_are_described_and_prompted_as_imagenet() -> None:
    for name in IMAGENET_VARIANTS:
        info = dataset_info(name)
        assert info.tests_only
        assert (info.bank_name, info.template) == ("ImageNet.json", dataset_info("ImageNet").template)
    assert expand_datasets(["imagenet-variants"]) == IMAGENET_VARIANTS
    assert dataset_info("ImageNetA").image_root(Path("root")) == Path("root/imagenet-adversarial/imagenet-a")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("OxfordPet", "unknown dataset 'OxfordPet'; did you mean 'OxfordPets'? (`dualpt data check` lists"),
        ("eurosat", "did you mean 'EuroSAT'?"),
        ("dtd", "did you mean 'DescribableTextures'?"),
        ("oxford_pets", "did you mean 'OxfordPets'?"),
        ("zzz", "unknown dataset 'zzz' (`dualpt data check` lists the mini grid; with --root DATA, the real ones"),
        ("real", "'real' stands for 11 datasets; name one of them, as 'ImageNet'"),
    ],
)
def test_an_unknown_name_gets_a_suggestion_and_no_list(name: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        dataset_info(name)
    assert len(str(caught.value)) < 180


def test_expanding_keeps_first_mention_and_drops_repeats() -> None:
    assert expand_datasets(["EuroSAT", "real"]) == ("EuroSAT", *(name for name in REAL_GRID if name != "EuroSAT"))
    assert expand_datasets(["mini"]) == MINI_GRID
    assert expand_datasets(["mini-pets", "mini-pets"]) == ("mini-pets",)


def test_expanding_refuses_nothing_and_unknown_names() -> None:
    with pytest.raises(UserError, match="no datasets given"):
        expand_datasets([])
    with pytest.raises(UserError, match="did you mean 'mini-pets'"):
        expand_datasets(["mini-pet"])


def test_reading_data_and_banks_loads_no_torch() -> None:
    program = (
        "import sys, dualpt.core.data.protocols, dualpt.core.data.readers, dualpt.core.data.sampling\n"
        "import dualpt.core.descriptions.reading, dualpt.core.clip.weights\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'open_clip') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_checking_and_showing_data_loads_no_torch() -> None:
    program = (
        "import sys, dualpt.core.data.checking.contact_sheet, dualpt.core.data.checking.examination\n"
        "import dualpt.core.inputs.reading\n"
        "print([m for m in ('torch', 'open_clip') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
