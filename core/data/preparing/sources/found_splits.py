"""Split files: where they lie, whether they are the field's, and by how much another one differs.

The field's are CoOp's, as committed in MarcLafon/gallop@f75999e and LiShuo1001/LDC@b4273e6. A file is theirs if its
bytes are (by Git's hash of them) or if its entries are, written another way.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.preparing.sources.glances import Glance, lists_in
from dualpt.core.data.preparing.sources.layouts import archive_of
from dualpt.core.data.preparing.sources.survey import Survey
from dualpt.core.data.readers import read_aircraft
from dualpt.core.data.split_file import NOT_THE_FIELDS, parse_split
from dualpt.core.data.splits import PARTS, Split
from dualpt.core.errors import UserError

FIELD_SPLITS: Mapping[str, tuple[str, str]] = {
    "Caltech101": (
        "8be694a80de04a39fb159c462bea9696aa47ccf1",
        "e9d97dcf9ccf2a304e629752a7fe97d3d41e480836b99c09dd74463887aba9e3",
    ),
    "DescribableTextures": (
        "8dd197a94b598fa44ee3c9e35c486dd017ab00a7",
        "883e303a5c12a388580cd231d60194f6b2d6ef3def499cd5cbef54a7fa5337ab",
    ),
    "EuroSAT": (
        "6bdc847a5d5c49dcc78e8cb8707b87198cbfa5a4",
        "a235b36ab77385a3082bd06dde4e2b34685c5ab089e09cfc85d9160a1bb5da9e",
    ),
    "Food101": ("39557040ee6501bd32aa8b5dfd75f7941a32f0a7", ""),
    "OxfordFlowers": (
        "8d10037b0690b6c65e307a354b039efb0f42404c",
        "e2a921f69ed8bc1a9c429e322ba52d50046394d6979ad96927976c07f8ba407b",
    ),
    "OxfordPets": (
        "fa821d9f9e7d32fdf3640bf74fa7491ed04f37da",
        "cbd1d731ea0a5991d7e19d2db6e49257558ea8ace9d3d63d05e31bf64e2158c9",
    ),
    "SUN397": ("8d5725db8f70bcf02245665304f863e68f96a24c", ""),
    "StanfordCars": (
        "dcdb8264712e9940e74cfb0f06ddb8f9cc239b81",
        "ffe8b760ff8fca24bc9cc3d241f9105feeee4316fa621733931486bd058aa135",
    ),
    "UCF101": (
        "ea87e3de7b4f6f00fdd77618e34a23508b4c5590",
        "de05ce255872fbe8f981490f1bb0f1497dcb4e229bc661d922649ad143e8a333",
    ),
}
"""Dataset -> Git's blob hash of the field's split file, and `Split.fingerprint` of its entries where it was seen."""


AIRCRAFT_LISTS = ("variants.txt", "images_variant_train.txt", "images_variant_val.txt", "images_variant_test.txt")


@dataclass(frozen=True)
class Listing:
    """What divides a dataset, read and judged."""

    split: Split
    texts: Mapping[str, bytes]
    """The files that say so, by their names in the dataset's folder."""
    remarks: tuple[str, ...] = ()

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Paths of its images under the image folder, each once."""
        return tuple(dict.fromkeys(item.path for part in PARTS for item in getattr(self.split, part)))


def find_listing(info: DatasetInfo, root: Path, surveys: Sequence[Survey], glances: Sequence[Glance]) -> Listing | None:
    """What divides a dataset: as it lies in the data root, else the field's wherever it lies, else another.

    Args:
        info: the dataset.
        root: the data root; its files are never replaced.
        surveys: of folders, in order of preference.
        glances: into archives, of which those with a list of the right name are read to the end.

    Raises:
        UserError: there is one, but it can't be read.
    """
    if info.layout == "aircraft":
        return _find_aircraft(info, root, surveys, glances)
    own = root / info.folder / info.split_file
    if own.exists():
        return judge(info, _bytes_of(own), str(own))
    faults: list[UserError] = []
    others: list[Listing] = []
    for place, content in _candidates(info.split_file, surveys, glances):
        try:
            found = judge(info, content(), place)
        except UserError as fault:
            faults.append(fault)
            continue
        if not found.remarks:
            return found
        others.append(found)
    if others:
        return min(others, key=lambda found: bool(found.split.note))  # sorts stably: drawn ones last
    if faults:
        raise faults[0]
    return None


def _candidates(
    name: str, surveys: Sequence[Survey], glances: Sequence[Glance]
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Files of a name: where each lies, and how to read it."""
    for path in (path for found in surveys for path in found.named(name)):
        yield str(path), partial(_bytes_of, path)
    for look in glances:
        if name in look.lists:
            yield f"{look.path} ({name})", partial(_from_archive, look.path, name)


def _from_archive(archive: Path, name: str) -> bytes:
    return lists_in(archive, (name,))[name]


def judge(info: DatasetInfo, content: bytes, place: str) -> Listing:
    """Read a split file's bytes, and say what isn't as in the field's.

    Raises:
        UserError: it is not text, not JSON, or no split.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{place}: not a text file; fetch the split file again") from None
    split = parse_split(text, Path(place), f"{info.folder}/{info.image_folder}".rstrip("/"))
    return Listing(split, {info.split_file: content}, _remarks(info, split, content, place))


def _remarks(info: DatasetInfo, split: Split, content: bytes, place: str) -> tuple[str, ...]:
    blob, rows = FIELD_SPLITS[info.name]
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if git == blob or split.fingerprint == rows:
        return ()
    return (split.note or f"{NOT_THE_FIELDS}: {place} {difference(info, split)}",)


def _find_aircraft(
    info: DatasetInfo, root: Path, surveys: Sequence[Survey], glances: Sequence[Glance]
) -> Listing | None:
    """Aircraft's four lists, which lie in one folder; they are the publisher's own."""
    own = root / info.folder
    folders = [own, *(path.parent for found in surveys for path in found.named(AIRCRAFT_LISTS[0]))]
    for folder in folders:
        if all((folder / name).is_file() for name in AIRCRAFT_LISTS):
            return Listing(read_aircraft(folder), {name: _bytes_of(folder / name) for name in AIRCRAFT_LISTS})
    for look in glances:
        if archive_of(look.path.name) == info.name and not look.fault:
            texts = lists_in(look.path, AIRCRAFT_LISTS)
            if len(texts) == len(AIRCRAFT_LISTS):
                return Listing(_aircraft_of(texts), texts)
    return None


def _aircraft_of(texts: Mapping[str, bytes]) -> Split:
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        for name, content in texts.items():
            Path(folder, name).write_bytes(content)
        return read_aircraft(Path(folder))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); set its permissions") from None


def difference(info: DatasetInfo, split: Split) -> str:
    """By how much a split differs from the field's: numbers of classes and of images in each part."""
    counts = [("classes", len(split.class_names), info.n_classes)]
    counts += [
        (f"{part} images", len(getattr(split, part)), published)
        for part, published in zip(PARTS, info.n_images or (None, None, None), strict=True)
    ]
    differing = [f"{found} {what} in place of {published}" for what, found, published in counts if found != published]
    if differing:
        return f"has {', '.join(differing)}"
    return "has as many classes and images, but other images in the parts, other names or another order"
