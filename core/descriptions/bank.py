"""The bank format: the sentences of one dataset's classes, by label, with where they come from.

One JSON file per dataset. Two of ImageNet's names occur twice, so classes are identified by label (and wnid), and two
classes of one name may have different sentences. Plain banks by other authors, `{class name: [sentence, ...]}`, are
read as well (`dualpt.core.descriptions.reading`).
"""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dualpt.core.config.faults import one_line
from dualpt.core.data.splits import listing
from dualpt.core.descriptions.names import normal_name
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import write_atomically

Sentences = tuple[tuple[str, ...], ...]
"""Sentences of each class, by label."""

FORMAT = "dualpt-bank/1"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("a sentence must not be blank")
    return text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Provenance(_Part):
    """Where the sentences of a bank come from."""

    source: Literal["generated", "imported"]
    llm: str | None = None
    """Model that wrote them: hub name, the name of a local folder, or what an endpoint calls it."""
    revision: str | None = None
    """Hub commit, or a hash of a local folder's files; an endpoint does not say."""
    endpoint: str | None = None
    """Address of the server that ran the model; None where it ran in this process."""
    file: str | None = None
    """Name of the imported file."""
    file_sha256: str | None = None
    templates: tuple[str, ...] = ()
    """Question templates; a class's `templates` are indices into them."""
    sampling: dict[str, str | int | float] = {}
    seed: int | None = None
    date: str
    """UTC day on which the work began."""
    dualpt: str | None = None
    """Version of this project."""
    accepted: str | None = None
    """UTC day on which edits by hand were accepted; None where nothing was edited."""


class BankClass(_Part):
    label: int
    name: str = Field(min_length=1)
    """As the dataset spells it."""
    wnid: str | None = None
    """WordNet id, in ImageNet."""
    sentences: tuple[Annotated[str, AfterValidator(_not_blank)], ...]
    templates: tuple[int, ...] = ()
    """For each sentence, which question template it answers; empty where that is not known."""


class Bank(_Part):
    """One dataset's descriptions; `classes` are in the order of labels."""

    format: Literal["dualpt-bank/1"]
    dataset: str
    provenance: Provenance
    classes: tuple[BankClass, ...]
    text_sha256: str
    """Of labels, names and sentences: tells an edit by hand from what was written."""


def make_bank(dataset: str, provenance: Provenance, classes: Sequence[BankClass]) -> Bank:
    """A bank with the hash of its text."""
    return Bank(
        format=FORMAT,
        dataset=dataset,
        provenance=provenance,
        classes=tuple(classes),
        text_sha256=text_sha256(classes),
    )


def text_sha256(classes: Sequence[BankClass]) -> str:
    """SHA-256 over label, name, wnid and sentences of every class."""
    return fingerprint([[part.label, part.name, part.wnid, part.sentences] for part in classes])


def is_bank(content: object) -> bool:
    """Whether JSON content is of this format, in any version, rather than a plain bank."""
    return isinstance(content, dict) and isinstance(content.get("format"), str) and "classes" in content


def parse_bank(content: Any, source: Path) -> Bank:
    """Check the content of a bank file, all but its hash.

    Raises:
        UserError: another version of the format, a malformed entry, or labels that are not 0..C-1 in order.
    """
    if content["format"] != FORMAT:
        raise UserError(f"{source}: format '{content['format']}' is not known here, only '{FORMAT}'; update dualpt")
    try:
        bank = Bank.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{source}: {listing(one_line(error).split('; '))}; correct the entry") from None
    labels = [part.label for part in bank.classes]
    if labels != list(range(len(labels))):
        odd = next(place for place, label in enumerate(labels) if place != label)
        raise UserError(
            f"{source}: classes[{odd}] has label {labels[odd]}; list each class once, in the order of labels from 0"
        )
    for part in bank.classes:
        if part.templates and len(part.templates) != len(part.sentences):
            raise UserError(
                f"{source}: class {part.label} '{part.name}' has {len(part.sentences)} sentences and "
                f"{len(part.templates)} template indices; give one for each, or an empty list"
            )
        if any(index not in range(len(bank.provenance.templates)) for index in part.templates):
            raise UserError(f"{source}: class {part.label} '{part.name}' has the index of a template that is not there")
    return bank


def check_hash(bank: Bank, source: Path) -> None:
    """Refuse a bank whose text is not what its hash says.

    Raises:
        UserError: it was edited; the line says how to accept that.
    """
    if text_sha256(bank.classes) != bank.text_sha256:
        raise UserError(
            f"{source}: the text was changed after the bank was written (text_sha256 differs); accept the edit with "
            f"`dualpt describe check {source} {bank.dataset} --accept`, or write the bank again"
        )


def sentences_of_bank(
    bank: Bank, class_names: Sequence[str], source: Path, wnids: Sequence[str] | None = None
) -> Sentences:
    """Sentences by label, for the classes of a split.

    Args:
        bank: with its own classes by label.
        class_names: the split's, by label.
        source: the file that errors name.
        wnids: the split's, by label, where it may hold some of the bank's classes alone (ImageNet-A and -R).

    Raises:
        UserError: the bank's classes are not the split's, in number, names or order.
    """
    own = [normal_name(part.name) for part in bank.classes]
    wanted = [normal_name(name) for name in class_names]
    if own == wanted:
        return tuple(part.sentences for part in bank.classes)
    if wnids is not None:
        by_wnid = {part.wnid: part.sentences for part in bank.classes}
        missing = [wnid for wnid in wnids if wnid not in by_wnid]
        if missing:
            raise UserError(
                f"{source}: has no class {listing(missing)}; generate or import it from lines of '<wnid> <name>'"
            )
        return tuple(by_wnid[wnid] for wnid in wnids)
    if len(own) != len(wanted):
        raise UserError(
            f"{source}: written for {len(own)} classes of {bank.dataset}, the split has {len(wanted)}; "
            "generate or import it for this split"
        )
    label = next(label for label, name in enumerate(own) if name != wanted[label])
    fault = "in another order than the split's" if sorted(own) == sorted(wanted) else "not the split's"
    raise UserError(
        f"{source}: its classes are {fault}: label {label} is '{bank.classes[label].name}', in the split "
        f"'{class_names[label]}'; generate or import the bank for this split"
    )


def accept_edits(bank: Bank) -> Bank:
    """The bank with the hash of the text that it has now, and the day of that in its provenance."""
    provenance = bank.provenance.model_copy(update={"accepted": today()})
    return make_bank(bank.dataset, provenance, bank.classes)


def write_bank(path: Path, bank: Bank) -> None:
    """Write the complete file or nothing.

    Raises:
        UserError: the folder cannot be written.
    """
    document = bank.model_dump(mode="json", exclude_none=True)
    write_atomically(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n", "give another --out")


def bank_path(out: Path, dataset: str) -> Path:
    """Path of a dataset's bank under `--out`, which is a folder of banks or the JSON file itself. Creates nothing.

    Raises:
        UserError: it is a folder, or its own folder cannot be written.
    """
    path = out if out.suffix == ".json" else out / f"{dataset}.json"
    if path.is_dir():
        raise UserError(f"--out: {path} is a folder; give a folder of banks or a new .json file")
    try:
        path.exists()
    except OSError as error:  # a name that is too long
        raise UserError(f"--out: {path} cannot be written ({error.strerror}); give another") from None
    nearest_there = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest_there.is_dir() or not os.access(nearest_there, os.W_OK):
        raise UserError(f"--out: nothing can be written in {path.parent}; give another folder")
    return path


def today() -> str:
    """The UTC day, as ISO writes it."""
    return datetime.now(UTC).date().isoformat()


def own_version() -> str | None:
    """The installed version of this project; None where it runs from a bare folder."""
    try:
        return version("dualpt")
    except PackageNotFoundError:
        return None
