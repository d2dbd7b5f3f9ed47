"""A user's own datasets: `datasets.yaml` in the data root says where each lies and how it is divided.

leaves:
  folder: leaves                 # under the data root
  images: photos                 # under the folder; left out where image paths begin in the folder itself
  split: split_leaves.json       # in the folder, as the field's split files; or `folders`, one folder per class
  template: a photo of a {} leaf.
  title: Leaves
"""

import re
import reprlib
from collections.abc import Collection
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, field_validator

from dualpt.core.config.faults import one_line
from dualpt.core.config.sections import Section
from dualpt.core.errors import UserError
from dualpt.core.files.inside import LONGEST_PART, tidied, why_outside
from dualpt.core.files.locations import write_atomically
from dualpt.core.files.regular import check_regular
from dualpt.core.files.yaml_reader import read_yaml

FILE_NAME = "datasets.yaml"
CLASS_FOLDERS = "folders"
"""Value of `split` for a dataset with one folder per class and no split file."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names become parts of metric names and of file names."""
LONGEST_VALUE = 1000
"""Characters of a value, at most."""


class OwnDataset(Section):
    """One entry of the file."""

    folder: str
    """Folder under the data root."""
    images: str = ""
    """Folder under `folder` that image paths are relative to; empty for `folder` itself."""
    split: str
    """Name of the split file in `folder`, or `folders`: the images lie in one folder per class."""
    template: str = "a photo of a {}."
    """Hand-written zero-shot template; `{}` is the class name."""
    title: str = Field("", max_length=40)
    """Column title in tables; the name where empty."""

    @field_validator("folder", "images", "split")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if not path.isprintable() or any(len(part.encode()) > LONGEST_PART for part in path.split("/")):
            raise ValueError(f"must be made of printable names of at most {LONGEST_PART} bytes")
        if (inner := tidied(path)) and (reason := why_outside(inner)) is not None:
            raise ValueError(f"must be a relative path inside the data root, with forward slashes; it {reason}")
        return path

    @field_validator("folder", "split")
    @classmethod
    def _says_something(cls, path: str) -> str:
        if not path.strip():
            raise ValueError("must not be empty")
        return path

    @field_validator("template")
    @classmethod
    def _names_the_class(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError("needs exactly one {} where the class name stands")
        return template


def read_own_datasets(root: Path, taken: Collection[str]) -> dict[str, OwnDataset]:
    """The entries of `datasets.yaml` in a data root by name; none without such a file.

    Args:
        root: the data root.
        taken: names that stand for something else.

    Raises:
        UserError: a file that is not a mapping of names, a name that is taken or not allowed, or a faulty entry.
    """
    source = root / FILE_NAME
    if not source.exists():
        return {}
    check_regular(source, "make it a text file, or remove it")
    entries: dict[str, OwnDataset] = {}
    for name, entry in read_yaml(source).items():
        check_name(name, [*taken, *entries], str(source))
        if not isinstance(entry, dict):
            raise UserError(f"{source}: {name}: expected the keys folder and split, found {reprlib.repr(entry):.60}")
        for key, value in entry.items():
            # Said here and not by pydantic, which prints values in full: one may hold itself.
            if not isinstance(value, str) or len(value) > LONGEST_VALUE:
                fault = f"expected text of at most {LONGEST_VALUE} characters, found {reprlib.repr(value):.60}"
                raise UserError(f"{source}: {name}: {key}: {fault}")
        entries[name] = check_entry(entry, f"{source}: {name}")
    return entries


def check_entry(entry: dict[str, object], place: str) -> OwnDataset:
    """Validate one entry.

    Raises:
        UserError: all its faults, in one line.
    """
    try:
        return OwnDataset.model_validate(entry)
    except ValidationError as error:
        raise UserError(f"{place}: {one_line(error)}") from None


def check_name(name: str, taken: Collection[str], place: str) -> None:
    """Refuse a name that cannot stand in metric and file names, or that differs from a taken one by case at most.

    Raises:
        UserError: one line with `place`.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{place}: '{name:.80}' cannot name a dataset; use letters, digits, '.', '_' and '-'")
    for other in taken:
        if other.casefold() == name.casefold():
            raise UserError(f"{place}: the name '{name}' is taken by '{other}'; choose another")


def append_own_dataset(root: Path, name: str, dataset: OwnDataset) -> Path:
    """Add an entry at the end of `datasets.yaml`, creating it if necessary; existing entries stay unchanged.

    Raises:
        UserError: the file cannot be written.
    """
    path = root / FILE_NAME
    before = path.read_text(encoding="utf-8").rstrip() if path.exists() else ""
    values = {key: value for key, value in dataset.model_dump().items() if value}
    entry = yaml.safe_dump({name: values}, sort_keys=False, allow_unicode=True, width=1000)
    write_atomically(path, f"{before}\n{entry}".lstrip(), remedy="make room, or set its permissions")
    return path
