"""Miniatures of what people have: all eleven datasets and four variants, under the names that real files have.

An image is a few bytes that say which one it is, so a test can tell that the right one arrived. `write_direct` writes
CoOp's layout; every other layout is said as folders, or archives, that hold the same images.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.io import savemat

from dualpt.core.data.catalog import REAL_GRID, dataset_info

NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Caltech101": {
        "face": ("Faces/image_0001.jpg", "Faces/image_0002.jpg", "Faces/image_0003.jpg"),
        "leopard": ("Leopards/image_0001.jpg", "Leopards/image_0002.jpg", "Leopards/image_0003.jpg"),
    },
    "OxfordPets": {
        "abyssinian": ("Abyssinian_1.jpg", "Abyssinian_2.jpg", "Abyssinian_3.jpg"),
        "american_bulldog": ("american_bulldog_10.jpg", "american_bulldog_11.jpg", "american_bulldog_12.jpg"),
    },
    "StanfordCars": {
        "2012 Ram C/V Cargo Van Minivan": ("cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"),
        "2012 Acura RL Sedan": ("cars_train/00003.jpg", "cars_train/00004.jpg", "cars_test/00002.jpg"),
    },
    "OxfordFlowers": {
        "pink primrose": ("image_06734.jpg", "image_06735.jpg", "image_06736.jpg"),
        "pink-yellow dahlia": ("image_00001.jpg", "image_00002.jpg", "image_00003.jpg"),
    },
    "Food101": {
        "apple_pie": ("apple_pie/1005649.jpg", "apple_pie/1011328.jpg", "apple_pie/0034309.jpg"),
        "baby_back_ribs": ("baby_back_ribs/1.jpg", "baby_back_ribs/2.jpg", "baby_back_ribs/3.jpg"),
    },
    "FGVCAircraft": {
        "707-320": ("0034309.jpg", "0034310.jpg", "0034311.jpg"),
        "F/A-18": ("1234567.jpg", "1234568.jpg", "1234569.jpg"),
    },
    "SUN397": {
        "abbey": tuple(f"a/abbey/sun_aaalbzqrimafwbi{letter}.jpg" for letter in "abc"),
        "indoor apse": tuple(f"a/apse/indoor/sun_baalbzqrimafwbi{letter}.jpg" for letter in "abc"),
    },
    "DescribableTextures": {
        "banded": ("banded/banded_0002.jpg", "banded/banded_0004.jpg", "banded/banded_0005.jpg"),
        "polka-dotted": ("polka-dotted/polka-dotted_0001.jpg", "polka-dotted/x_2.jpg", "polka-dotted/x_3.jpg"),
    },
    "EuroSAT": {
        "Annual Crop Land": tuple(f"AnnualCrop/AnnualCrop_{n}.jpg" for n in (1, 2, 3)),
        "Forest": tuple(f"Forest/Forest_{n}.jpg" for n in (1, 2, 3)),
    },
    "UCF101": {
        "Apply_Eye_Makeup": tuple(f"Apply_Eye_Makeup/v_ApplyEyeMakeup_g0{n}_c01.jpg" for n in (1, 2, 3)),
        "Handstand_Pushups": tuple(f"Handstand_Pushups/v_HandStandPushups_g0{n}_c01.jpg" for n in (1, 2, 3)),
    },
}
"""Dataset -> class -> a training, a validation and a test image, as the split lists them."""
SPLIT_FILES = tuple(name for name in REAL_GRID if dataset_info(name).layout == "split file")
WNIDS = {"n01440764": "tench", "n03773504": "missile", "n04008634": "missile"}
KIT_NUMBERS = {"n01440764": 2, "n03773504": 3, "n04008634": 1}
"""Class -> the development kit's number, which isn't its place among the sorted."""
VAL = {1: "n04008634", 2: "n01440764", 3: "n03773504", 4: "n01440764"}
"""Number of a validation image -> its class."""


def image(of: str) -> bytes:
    """A stand-in for an image."""
    return b"\xff\xd8\xff" + of.encode()


def images_of(name: str) -> dict[str, bytes]:
    """Path under the image folder -> content of each image of a dataset."""
    if name == "ImageNet":
        train = {f"train/{wnid}/{wnid}_{n}.JPEG": image(f"{wnid} {n}") for wnid in WNIDS for n in (10, 2)}
        return train | {f"val/{wnid}/{val_name(n)}": image(f"val {n}") for n, wnid in VAL.items()}
    if name == "ImageNetV2":
        return {f"{label}/{n}.jpeg": image(f"v2 {label} {n}") for label in range(len(WNIDS)) for n in (1, 2)}
    if name.startswith("ImageNet"):
        return {f"{wnid}/{name}_{n}.jpg": image(f"{name} {wnid} {n}") for wnid in WNIDS for n in (1, 2)}
    return {path: image(f"{name} {path}") for paths in NAMES[name].values() for path in paths}


def val_name(number: int) -> str:
    """File name of a validation image of ImageNet."""
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def lists_of(name: str) -> dict[str, bytes]:
    """File name -> content of what divides a dataset."""
    if name.startswith("ImageNet"):
        return {"classnames.txt": "".join(f"{wnid} {each}\n" for wnid, each in WNIDS.items()).encode()}
    parts = ("train", "val", "test")
    if name == "FGVCAircraft":
        lists = {"variants.txt": "\n".join(NAMES[name])}
        for place, part in enumerate(parts):
            rows = [f"{paths[place].removesuffix('.jpg')} {each}" for each, paths in NAMES[name].items()]
            lists[f"images_variant_{part}.txt"] = "\n".join(rows)
        return {file: f"{text}\n".encode() for file, text in lists.items()}
    classes = list(NAMES[name].items())[::-1]  # not in the order of labels, as Flowers' and Cars' aren't
    split = {
        part: [[p[k], len(classes) - 1 - n, c] for n, (c, p) in enumerate(classes)] for k, part in enumerate(parts)
    }
    return {dataset_info(name).split_file: json.dumps(split).encode()}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def write_direct(root: Path, name: str) -> None:
    """Write a dataset in CoOp's layout."""
    info = dataset_info(name)
    write(info.image_root(root), images_of(name))
    write(root / info.folder, lists_of(name))


def in_folder(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files, one folder down."""
    return {f"{folder}/{path}": content for path, content in files.items()}


# ---- folders of other tools


def _below(folder: str, *, lists: str | None = None) -> Callable[[str], dict[str, bytes]]:
    """A layout: images below a folder, and lists in another, where they come along."""
    return lambda name: in_folder(folder, images_of(name)) | (in_folder(lists, lists_of(name)) if lists else {})


TORCHVISION: Mapping[str, Callable[[str], dict[str, bytes]]] = {
    "ImageNet": _below("imagenet"),
    "Caltech101": _below("caltech101/101_ObjectCategories"),
    "OxfordPets": _below("oxford-iiit-pet/images"),
    "StanfordCars": _below("stanford_cars"),
    "OxfordFlowers": _below("flowers-102/jpg"),
    "Food101": _below("food-101/images"),
    "FGVCAircraft": _below("fgvc-aircraft-2013b/data/images", lists="fgvc-aircraft-2013b/data"),
    "SUN397": _below("SUN397"),
    "DescribableTextures": _below("dtd/dtd/images"),
    "EuroSAT": _below("eurosat/2750"),
    "UCF101": _below("UCF-101-midframes"),
}
OTHER_REPOSITORIES: Mapping[str, Callable[[str], dict[str, bytes]]] = {
    "ImageNet": _below("Imagenet"),
    "Caltech101": _below("Caltech101/101_ObjectCategories", lists="Caltech101"),
    "OxfordPets": _below("OxfordPets/images", lists="OxfordPets"),
    "StanfordCars": _below("StanfordCars", lists="StanfordCars"),
    "OxfordFlowers": _below("Flower102/jpg", lists="Flower102"),
    "Food101": _below("Food101/images", lists="Food101"),
    "FGVCAircraft": _below("fgvc_aircraft/images", lists="fgvc_aircraft"),
    "SUN397": _below("SUN397/SUN397", lists="SUN397"),
    "DescribableTextures": _below("dtddataset/dtd/images", lists="dtddataset/dtd"),
    "EuroSAT": _below("EuroSAT_RGB", lists="EuroSAT_RGB"),
    "UCF101": _below("UCF101/UCF-101-midframes", lists="UCF101"),
}


# ---- original archives


def tar_of(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar with files in it; `mode` as of `tarfile.open`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as tar:  # type: ignore[call-overload]
        for path, file in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(file)
            tar.addfile(info, io.BytesIO(file))
    return content.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """A zip with files in it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, file in files.items():
            archive.writestr(path, file)
    return content.getvalue()


def _cars(name: str) -> dict[str, bytes]:
    found = images_of(name)
    return {
        f"{part}.tgz": tar_of({path: file for path, file in found.items() if path.startswith(part)}, "w:gz")
        for part in ("cars_train", "cars_test")
    }


def _imagenet(name: str) -> dict[str, bytes]:
    found = images_of(name)
    classes = {
        f"{wnid}.tar": tar_of({p.rsplit("/")[-1]: file for p, file in found.items() if p.startswith(f"train/{wnid}/")})
        for wnid in WNIDS
    }
    val = {path.rsplit("/")[-1]: file for path, file in found.items() if path.startswith("val/")}
    return {
        "ILSVRC2012_img_train.tar": tar_of(classes),
        "ILSVRC2012_img_val.tar": tar_of(val),
        "ILSVRC2012_devkit_t12.tar.gz": tar_of(in_folder("ILSVRC2012_devkit_t12/data", development_kit()), "w:gz"),
    }


def development_kit() -> dict[str, bytes]:
    """`data/` of ImageNet's development kit: the numbers of classes, and the classes of validation images."""
    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("num_children", float)]
    rows = [(number, wnid, 0) for wnid, number in KIT_NUMBERS.items()] + [(4, "n00001740", 3)]
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(rows, dtype=kinds)})
    truth = "".join(f"{KIT_NUMBERS[VAL[n]]}\n" for n in sorted(VAL))
    return {"meta.mat": meta.getvalue(), "ILSVRC2012_validation_ground_truth.txt": truth.encode()}


def _caltech(name: str) -> dict[str, bytes]:
    unlisted = {f"BACKGROUND_Google/image_{n:04d}.jpg": image(f"background {n}") for n in range(5)}
    inner = tar_of(in_folder("101_ObjectCategories", unlisted | images_of(name)), "w:gz")
    beside = {"caltech-101/Annotations.tar": tar_of({"a.mat": b""}), "__MACOSX/._caltech-101": b"?"}
    return {"caltech-101.zip": zip_of({"caltech-101/101_ObjectCategories.tar.gz": inner, **beside})}


ARCHIVES: Mapping[str, Callable[[str], dict[str, bytes]]] = {
    "ImageNet": _imagenet,
    "Caltech101": _caltech,
    "OxfordPets": lambda name: {
        "images.tar.gz": tar_of(in_folder("images", {"Abyssinian_100.mat": b"?", **images_of(name)}), "w:gz")
    },
    "StanfordCars": _cars,
    "OxfordFlowers": lambda name: {"102flowers.tgz": tar_of(in_folder("jpg", images_of(name)), "w:gz")},
    "Food101": lambda name: {"food-101.tar.gz": tar_of(in_folder("food-101/images", images_of(name)), "w:gz")},
    "FGVCAircraft": lambda name: {
        "fgvc-aircraft-2013b.tar.gz": tar_of(
            in_folder("fgvc-aircraft-2013b/data", in_folder("images", images_of(name)) | lists_of(name)), "w:gz"
        )
    },
    "SUN397": lambda name: {"SUN397.tar.gz": tar_of(in_folder("SUN397", images_of(name)), "w:gz")},
    "DescribableTextures": lambda name: {"dtd-r1.0.1.tar.gz": tar_of(in_folder("dtd/images", images_of(name)), "w:gz")},
    "EuroSAT": lambda name: {"EuroSAT.zip": zip_of(in_folder("2750", images_of(name)))},
    "UCF101": lambda name: {"UCF-101-midframes.zip": zip_of(in_folder("UCF-101-midframes", images_of(name)))},
}
