"""Which class each of ImageNet's 50,000 validation images is of: they come flat, and only a list beside them tells.

Taken are the development kit (an archive, or unpacked), Kaggle's solution, and a list of one WordNet id per image.
"""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualpt.core.data.preparing.sources.archives import lists_members
from dualpt.core.data.preparing.sources.glances import lists_in
from dualpt.core.data.preparing.sources.survey import WNID, Survey
from dualpt.core.errors import UserError

VAL_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
KAGGLE_TRUTH, SYNSET_TRUTH = "LOC_val_solution.csv", "imagenet_2012_validation_synset_labels.txt"
MISSING = (
    f"the validation images lie flat, and what sorts them is missing: put ILSVRC2012_devkit_t12.tar.gz (or Kaggle's "
    f"{KAGGLE_TRUTH}) beside them"
)


def validation_order(survey: Survey, archive: Path | None = None) -> dict[int, str]:
    """Number of a validation image, from 1 -> its class's WordNet id.

    Args:
        survey: of the folders in which it is looked for.
        archive: of Kaggle, which may bring it along.

    Raises:
        UserError: nothing that says so was found, or it can't be read.
    """
    found = _find(survey) or (None if archive is None else _in_kaggles(archive))
    if found is None:
        raise UserError(MISSING)
    place, content = found
    order = _read(place, content)
    if not order or not all(WNID.fullmatch(wnid) for wnid in order.values()):
        raise UserError(f"{place}: doesn't say the classes of ImageNet's validation images; fetch it again")
    return order


def class_of(name: str, order: Mapping[int, str]) -> str:
    """The class of a validation image.

    Raises:
        UserError: the order doesn't list it.
    """
    found = VAL_IMAGE.fullmatch(name)
    if found is None or int(found[1]) not in order:
        raise UserError(f"{name}: what sorts ImageNet's validation images doesn't list it; fetch the kit again")
    return order[int(found[1])]


def _find(survey: Survey) -> tuple[Path, Mapping[str, bytes]] | None:
    """What says the order: where it lies, and its files by name."""
    for path in survey.named(TRUTH):
        if (meta := path.parent / META).is_file():
            return path, {TRUTH: _bytes_of(path), META: _bytes_of(meta)}
    for name in (KAGGLE_TRUTH, SYNSET_TRUTH):
        for path in survey.named(name):
            return path, {name: _bytes_of(path)}
    for archive in survey.archives:
        if "devkit" in archive.name.lower():
            found = lists_in(archive, (TRUTH, META))
            if len(found) == 2:
                return archive, found
    return None


def _in_kaggles(archive: Path) -> tuple[Path, Mapping[str, bytes]] | None:
    """Of a zip; a tar would be read through for it, all 155 GB."""
    found = lists_in(archive, (KAGGLE_TRUTH,)) if lists_members(archive) else {}
    return (archive, found) if found else None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); set its permissions") from None


def _read(place: Path, content: Mapping[str, bytes]) -> dict[int, str]:
    try:
        if META in content:
            return _from_kit(content[TRUTH], content[META])
        if KAGGLE_TRUTH in content:
            rows = csv.DictReader(io.StringIO(content[KAGGLE_TRUTH].decode()))
            return {int(row["ImageId"][-8:]): row["PredictionString"].split()[0] for row in rows}
        return dict(enumerate(content[SYNSET_TRUTH].decode().split(), start=1))
    except Exception as error:  # scipy raises anything on a damaged file
        raise UserError(f"{place}: can't be read ({error!s:.100}); fetch it again") from None


def _from_kit(truth: bytes, meta: bytes) -> dict[int, str]:
    """The kit numbers classes in an order of its own: `meta.mat` says which WordNet ids they are."""
    from scipy.io import loadmat

    file: Any = io.BytesIO(meta)  # its stubs know only paths
    synsets: Any = loadmat(file, squeeze_me=True)["synsets"]
    pairs = zip(synsets["ILSVRC2012_ID"], synsets["WNID"], synsets["num_children"], strict=True)
    wnids = {int(number): str(wnid) for number, wnid, children in pairs if int(children) == 0}
    return {n: wnids[int(line)] for n, line in enumerate(truth.split(), start=1)}
