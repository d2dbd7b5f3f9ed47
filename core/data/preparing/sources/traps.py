"""Copies of datasets that look right and can't be used, by the marks that tell them; each as one line that says why.

Seen in the issues of torchvision, CoOp, Tip-Adapter, VPT and others: mirrors that lost or replaced the published file
names, on which every split rests, and files from which the images have yet to be made.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from dualpt.core.data.preparing.sources.glances import Glance
from dualpt.core.data.preparing.sources.survey import Survey

LOOKED_AT = 40
"""Files of a folder: where names went wrong, all of them did."""


@dataclass(frozen=True)
class Trap:
    """A copy that can't be used."""

    dataset: str
    folder: str
    """Regular expression of the folder's lower-case path."""
    file: str
    """Regular expression of its files' names."""
    why: str
    """The rest of a sentence that begins with the folder's path."""


def _parquet(dataset: str, folder: str) -> Trap:
    why = "holds a hub mirror's Parquet files, which have lost the published file names: no split can be applied"
    return Trap(dataset, folder, r".*\.(parquet|arrow)", why)


TRAPS: Sequence[Trap] = (
    Trap(
        "StanfordCars",
        r"",
        r"\d{6}\.jpg",
        "numbers the cars by six digits, as car_ims/ does; that is another order than cars_train/ and cars_test/",
    ),
    Trap(
        "SUN397",
        r"",
        r"sun_\d+_\d+\.(jpg|jpeg|png)",
        "holds made-up names (sun_000_00001.jpg), which scripts give to mirrors without names: nobody knows which "
        "image each is",
    ),
    Trap("UCF101", r"ucf", r"v_\w+\.avi", "holds videos; the field uses the middle frame of each"),
    Trap("UCF101", r"", r"UCF-?101\.rar", "holds UCF101.rar, the videos; the field uses the middle frame of each"),
    Trap("EuroSAT", r"eurosat", r".*\.tiff?", "holds 13 bands as .tif; the field uses the RGB images as .jpg"),
    Trap(
        "ImageNet",
        r"",
        r"n\d{8}_\d+_n\d{8}\.JPEG",
        "holds images as the hub renamed and ordered them; the draw depends on the names of image-net.org",
    ),
    _parquet("StanfordCars", r"stanford.?cars"),
    _parquet("SUN397", r"sun.?397"),
    _parquet("Caltech101", r"caltech.?101"),
    _parquet("OxfordPets", r"pets?\b|oxford.?iiit"),
    _parquet("OxfordFlowers", r"flowers"),
    _parquet("Food101", r"food.?101"),
    _parquet("FGVCAircraft", r"aircraft"),
    _parquet("DescribableTextures", r"\bdtd|textures"),
    _parquet("EuroSAT", r"eurosat"),
    _parquet("UCF101", r"ucf.?101"),
    _parquet("ImageNet", r"imagenet-1k|imagenet_1k"),
)


def find_traps(survey: Survey, glances: Sequence[Glance] = ()) -> Mapping[str, tuple[str, ...]]:
    """Dataset -> a line for each of its copies that can't be used, in folders and archives."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for folder, names in (*survey.files.items(), *_folders_in(glances)):
        for trap in TRAPS:
            if re.search(trap.folder, folder.casefold()) and _has(names, trap.file):
                found[trap.dataset].append(f"{folder}: {trap.why}")
    return {dataset: tuple(lines) for dataset, lines in found.items()}


def _folders_in(glances: Sequence[Glance]) -> Iterator[tuple[str, list[str]]]:
    """Folders at the beginnings of archives, with the names of their files."""
    for look in glances:
        folders: defaultdict[str, list[str]] = defaultdict(list)
        for path in look.first:
            folder, _, name = f"{look.path}/{path}".rpartition("/")
            folders[folder].append(name)
        yield from folders.items()


def _has(names: Iterable[str], pattern: str) -> bool:
    return any(re.fullmatch(pattern, name) for name in islice(names, LOOKED_AT))
