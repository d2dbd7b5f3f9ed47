"""What is known of each dataset's copies: original archives, folders of other tools, and where people get them.

Images are recognised by the names that the split lists (`name_match`); what stands here gives what was found a name,
and says what to get where something is missing. Sources: torchvision's dataset classes, CoOp's DATASETS.md, and the
loaders of CLIP-LoRA, gallop and LDC.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

CLONES = "a clone of github.com/MarcLafon/gallop or github.com/LiShuo1001/LDC has it"
"""Where split files are, for `--splits`."""
MIRROR = "huggingface.co/zhengli97/prompt_learning_dataset"


@dataclass(frozen=True, kw_only=True)
class KnownCopies:
    """The copies of one dataset that people have."""

    archives: tuple[str, ...]
    """Regular expressions of lower-case names of archives."""
    folders: Mapping[str, str]
    """Regular expression of the end of the image folder's lower-case path -> whose layout it is."""
    get: str
    """Where the images are to be had."""
    sorted_into_classes: bool = False
    """Whether a mirror has them in class folders under the published numbers (`sorted_cars`)."""


_COOP, _TV, _LORA, _GALLOP = "CoOp's layout", "torchvision's folder", "CLIP-LoRA's folder", "gallop's folder"
_UNPACKED = "the original archive, unpacked"
BY_NAMES = "a folder with the split's file names"
OXFORD = "robots.ox.ac.uk/~vgg/data"

KNOWN: Mapping[str, KnownCopies] = {
    "Caltech101": KnownCopies(
        archives=(
            r"caltech-?101.*\.zip",
            r"101_objectcategories\.(tar\.gz|tgz)",
            r"caltech.*101.*",
        ),
        folders={
            r"/caltech-101/101_objectcategories": _COOP,
            r"/caltech101/101_objectcategories": f"{_TV} or that of CLIP-LoRA or gallop",
            r"/101_objectcategories": _UNPACKED,
        },
        get="caltech-101.zip from data.caltech.edu/records/mzrjq-6wc02 (links to vision.caltech.edu are dead)",
    ),
    "OxfordPets": KnownCopies(
        archives=(
            r"images\.tar\.gz",
            r"(oxford.*)?pets?.*",
        ),
        folders={
            r"/oxford_pets/images": _COOP,
            r"/oxford-iiit-pet/images": f"{_TV} or gallop's",
            r"/oxfordpets/images": _LORA,
            r"pets?(/[^/]*)?/images": _UNPACKED,
        },
        get=f"images.tar.gz from {OXFORD}/pets",
    ),
    "StanfordCars": KnownCopies(
        archives=(
            r"cars_(train|test)\.(tgz|tar\.gz)",
            r"stanford.?cars.*",
        ),
        folders={
            r"/stanford_cars": f"{_COOP} or torchvision's",
            r"/stanfordcars": _LORA,
            r"/cars_(train|test)": "nested folders of a Kaggle mirror",
            r"/car_data": "class folders of a Kaggle mirror",
        },
        get=f"cars_train and cars_test with five-digit names ({MIRROR}; Stanford's links are dead since 2023)",
        sorted_into_classes=True,
    ),
    "OxfordFlowers": KnownCopies(
        archives=(
            r"102flowers\.(tgz|tar\.gz)",
            r"(oxford.*)?flowers?.?102.*",
            r"oxford_flowers.*",
        ),
        folders={
            r"/oxford_flowers/jpg": _COOP,
            r"/flowers-102/jpg": _TV,
            r"/flower102/jpg": _LORA,
            r"/flowers102(/jpg)?": _GALLOP,
            r"/jpg": _UNPACKED,
        },
        get=f"102flowers.tgz from {OXFORD}/flowers/102",
    ),
    "Food101": KnownCopies(
        archives=(r"food-?101.*",),
        folders={r"/food-101/images": f"{_COOP}, torchvision's or gallop's", r"/food101/images": _LORA},
        get="food-101.tar.gz from data.vision.ee.ethz.ch/cvl/datasets_extra/food-101",
    ),
    "FGVCAircraft": KnownCopies(
        archives=(r"fgvc.?aircraft.*",),
        folders={
            r"/fgvc_aircraft/images": f"{_COOP} or CLIP-LoRA's",
            r"/fgvc-aircraft-2013b/data/images": f"{_TV} or gallop's",
            r"/data/images": _UNPACKED,
        },
        get=f"fgvc-aircraft-2013b.tar.gz from {OXFORD}/fgvc-aircraft",
    ),
    "SUN397": KnownCopies(
        archives=(r"sun397.*",),
        folders={
            r"/sun397/sun397/sun397": "nested folders of a Kaggle mirror",
            r"/sun397/sun397": f"{_COOP} or CLIP-LoRA's",
            r"/sun397": f"{_TV} or gallop's",
        },
        get="SUN397.tar.gz from huggingface.co/zhengli97/SUN397_Dataset (Princeton's link is dead since 2025)",
    ),
    "DescribableTextures": KnownCopies(
        archives=(
            r"dtd.*",
            r"describable.*",
        ),
        folders={
            r"/dtddataset/dtd/images": _GALLOP,
            r"/dtd/dtd/images": _TV,
            r"/dtd/images": f"{_COOP} or CLIP-LoRA's",
        },
        get=f"dtd-r1.0.1.tar.gz from {OXFORD}/dtd",
    ),
    "EuroSAT": KnownCopies(
        archives=(
            r"eurosat_?rgb.*\.zip",
            r"eurosat.*",
        ),
        folders={
            r"/eurosat/2750": f"{_COOP}, torchvision's or CLIP-LoRA's",
            r"/eurosat_rgb": "Zenodo's archive, unpacked, as gallop has it",
            r"/2750": _UNPACKED,
        },
        get="EuroSAT.zip from huggingface.co/datasets/torchgeo/eurosat, or EuroSAT_RGB.zip from zenodo.org (7711810)",
    ),
    "UCF101": KnownCopies(
        archives=(
            r"ucf-?101-midframes.*\.zip",
            r"ucf.?101(?!\.rar).*",  # UCF101.rar holds the videos
        ),
        folders={
            r"/ucf101/ucf-101-midframes": f"{_COOP} or CLIP-LoRA's",
            r"/ucf-101-midframes": f"{_GALLOP} or unpacked",
        },
        get=f"UCF-101-midframes.zip (the link in CoOp's DATASETS.md, or {MIRROR}); videos alone hold no middle frames",
    ),
    "ImageNet": KnownCopies(
        archives=(
            r"ilsvrc2012_img_(train|val).*\.tar",
            r"imagenet-object-localization.*",
        ),
        folders={
            r"/imagenet/images": _COOP,
            r"/ilsvrc/data/cls-loc": "Kaggle's folder",
            r"/imagenet": _TV,
            r"": "sorted class folders",
        },
        get="ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz from image-net.org",
    ),
    "ImageNetV2": KnownCopies(
        archives=(r"imagenet[-_]?v2.*",),
        folders={r"/imagenetv2/": _COOP, r"": _UNPACKED},
        get="imagenetv2-matched-frequency.tar.gz from huggingface.co/datasets/vaishaal/ImageNetV2",
    ),
    "ImageNetSketch": KnownCopies(
        archives=(r"imagenet.?sketch.*",),
        folders={r"/imagenet-sketch/images": _COOP, r"": _UNPACKED},
        get="ImageNet-Sketch.zip from github.com/HaohanWang/ImageNet-Sketch",
    ),
    "ImageNetA": KnownCopies(
        archives=(r"imagenet-a.*",),
        folders={r"/imagenet-adversarial/": _COOP, r"": _UNPACKED},
        get="imagenet-a.tar from github.com/hendrycks/natural-adv-examples",
    ),
    "ImageNetR": KnownCopies(
        archives=(r"imagenet-r.*",),
        folders={r"/imagenet-rendition/": _COOP, r"": _UNPACKED},
        get="imagenet-r.tar from github.com/hendrycks/imagenet-r",
    ),
}


def whose_layout(dataset: str, image_folder: str) -> str | None:
    """What to call a folder that a dataset's images were found in; None for a folder that doesn't look like one."""
    path = image_folder.casefold()
    for pattern, name in KNOWN[dataset].folders.items():
        if pattern and re.search(f"{pattern}$", path):
            return name
    return None


def found_as(dataset: str, image_folder: str) -> str:
    """The same in a table, where the images themselves were recognised."""
    path = image_folder.casefold()
    if "/snapshots/" in path:
        return "a hub mirror's snapshot"
    known = whose_layout(dataset, image_folder)
    parts = path.rsplit("/", 2)
    nested = len(parts) > 2 and parts[-1] == parts[-2] and known is None
    return "nested folders of a Kaggle mirror" if nested else known or KNOWN[dataset].folders.get("", BY_NAMES)


def archive_of(name: str) -> str | None:
    """The dataset that an archive's name announces; None for any other name, as `archive.zip`."""
    for dataset, copies in KNOWN.items():
        if any(re.fullmatch(pattern, name.casefold()) for pattern in copies.archives):
            return dataset
    return None
