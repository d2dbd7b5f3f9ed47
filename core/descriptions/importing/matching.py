"""Imports banks by other authors: their names are matched with a dataset's classes, and nothing is guessed.

A class takes the entry that the user maps to it, else that of its wnid, else of its name: as it stands, by
`normal_name`, by `loose_name`; each only where one entry fits one class. Another order of words, a plural and near
spellings are suggested; the first two are taken where the user accepts suggestions.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dualpt.core.data.text_files import read_text
from dualpt.core.descriptions.bank import Bank, BankClass, Provenance, make_bank, own_version, today
from dualpt.core.descriptions.classes import DatasetClass, titles
from dualpt.core.descriptions.importing.foreign import Entries
from dualpt.core.descriptions.importing.screening import screened
from dualpt.core.descriptions.names import Suggestion, loose_name, normal_name, suggestions
from dualpt.core.errors import UserError, nearest
from dualpt.core.files.fingerprint import file_sha256
from dualpt.core.files.json_reader import parse_json
from dualpt.core.files.regular import check_regular
from dualpt.core.files.yaml_reader import read_yaml

Renames = Mapping[int, str]
"""Label -> the bank's name for that class."""


@dataclass(frozen=True)
class Import:
    """Which entry each class takes."""

    dataset: str
    classes: tuple[DatasetClass, ...]
    entries: Entries
    taken: tuple[str | None, ...]
    """By label, the name of the entry."""
    dropped: Mapping[str, tuple[str, ...]]
    """Name of an entry -> its texts that describe nothing, and are left out (see `screening`)."""

    @property
    def matched(self) -> list[int]:
        """Labels with sentences."""
        return [label for label, name in enumerate(self.taken) if name is not None and self.entries[name]]

    @property
    def empty(self) -> list[int]:
        """Labels whose entry has no sentence."""
        return [label for label, name in enumerate(self.taken) if name is not None and not self.entries[name]]

    @property
    def unmatched(self) -> list[int]:
        """Labels that no entry fits."""
        return [label for label, name in enumerate(self.taken) if name is None]

    @property
    def unused(self) -> list[str]:
        """Entries that no class takes."""
        return [name for name in self.entries if name not in self.taken]

    @property
    def respelled(self) -> dict[int, str]:
        """Label -> entry, where the spellings differ."""
        return {
            label: name
            for label, (item, name) in enumerate(zip(self.classes, self.taken, strict=True))
            if name is not None and name != item.name
        }

    @property
    def complete(self) -> bool:
        return len(self.matched) == len(self.classes)

    def suggestions(self) -> dict[int, Suggestion]:
        """Label -> unused entry that may be meant."""
        found = suggestions((self.classes[label].name for label in self.unmatched), self.unused)
        names = {label: self.classes[label].name for label in self.unmatched}
        return {label: found[name] for label, name in names.items() if name in found}

    def with_suggestions(self) -> "Import":
        """The same, each class with the suggested entry of the same words, in any order and number.

        Near spellings stay suggestions: "A340-300" is near "A340-200".
        """
        accepted = {label: found.name for label, found in self.suggestions().items() if found.likeness != "spelling"}
        return replace(self, taken=tuple(accepted.get(label, name) for label, name in enumerate(self.taken)))

    def report(self) -> dict[str, object]:
        """What `--json` prints; classes by the names to show."""
        shown = titles(self.classes)
        return {
            "dataset": self.dataset,
            "classes": len(self.classes),
            "matched": [shown[label] for label in self.matched],
            "unmatched": [shown[label] for label in self.unmatched],
            "empty": [shown[label] for label in self.empty],
            "respelled": {shown[label]: name for label, name in self.respelled.items()},
            "suggestions": {shown[label]: found.name for label, found in self.suggestions().items()},
            "unused": self.unused,
            "dropped": dict(self.dropped),
        }


def match_entries(dataset: str, classes: Sequence[DatasetClass], entries: Entries, renames: Renames) -> Import:
    """Find each class's entry.

    Args:
        dataset: registry name.
        classes: the dataset's classes by label.
        entries: the bank's content.
        renames: what the user maps; goes before every rule.
    """
    entries, dropped = screened(entries)
    taken: dict[int, str] = dict(renames)
    taken |= {label: item.wnid for label, item in enumerate(classes) if label not in taken and item.wnid in entries}
    rules: tuple[Callable[[str], str], ...] = (str, normal_name, loose_name)
    for rule in rules:
        rest = [label for label in range(len(classes)) if label not in taken]
        free = [name for name in entries if name not in taken.values()]
        taken |= _one_to_one(rule, classes, rest, free)
    names = tuple(taken.get(label) for label in range(len(classes)))
    return Import(dataset, tuple(classes), entries, names, dropped)


def _one_to_one(
    rule: Callable[[str], str], classes: Sequence[DatasetClass], labels: Sequence[int], names: Sequence[str]
) -> dict[int, str]:
    """Entries of classes where the rule makes one name of the bank equal to one name of the dataset.

    Classes of the very same name share an entry.
    """
    entries, wanted = defaultdict(list), defaultdict(list)
    for name in names:
        entries[rule(name)].append(name)
    for label in labels:
        wanted[rule(classes[label].name)].append(label)
    return {
        label: entries[key][0]
        for key, same in wanted.items()
        if key and len(entries.get(key, ())) == 1 and len({classes[label].name for label in same}) == 1
        for label in same
    }


def read_renames(source: Path, classes: Sequence[DatasetClass], entries: Entries) -> dict[int, str]:
    """A `--map` file: YAML or JSON of `{class name, or wnid: the bank's name}`; a class without a name stays unmapped.

    Raises:
        UserError: not such a file, a class or an entry that does not exist, a class name that occurs twice, or an
            entry for two classes of different names.
    """
    content = _read_map(source)
    labels: defaultdict[str, list[int]] = defaultdict(list)
    for label, item in enumerate(classes):
        labels[item.name].append(label)
        if item.wnid:
            labels[item.wnid].append(label)
    renames: dict[int, str] = {}
    taken: dict[str, str] = {}
    for key, name in content.items():
        if key not in labels:
            raise UserError(f"--map: {source}: no class is called '{key}'{nearest(key, labels)}")
        if len(labels[key]) > 1:
            raise UserError(f"--map: {source}: {len(labels[key])} classes are called '{key}'; use their wnids")
        if name is None:
            continue
        if name not in entries:
            raise UserError(f"--map: {source}: the bank has no '{name}'{nearest(name, entries)}")
        label = labels[key][0]
        if taken.setdefault(name, classes[label].name) != classes[label].name:
            raise UserError(
                f"--map: {source}: '{name}' is given to both '{taken[name]}' and '{classes[label].name}'; keep one"
            )
        renames[label] = name
    return renames


def _read_map(source: Path) -> Mapping[str, str | None]:
    try:
        check_regular(source)
        is_json = source.suffix.lower() == ".json"
        content = parse_json(read_text(source, "the map of names"), source) if is_json else read_yaml(source)
    except UserError as error:
        raise UserError(f"--map: {error}") from None
    named = isinstance(content, dict) and all(isinstance(name, str | None) for name in content.values())
    if not named:
        raise UserError(f"--map: {source} must be {{class name or wnid: the bank's name}}, names in quotation marks")
    return content


def imported_bank(found: Import, source: Path) -> Bank:
    """The bank of what was found; classes without an entry have no sentences."""
    provenance = Provenance(
        source="imported", file=source.name, file_sha256=file_sha256(source), date=today(), dualpt=own_version()
    )
    classes = [
        BankClass(label=label, name=item.name, wnid=item.wnid, sentences=found.entries[name] if name else ())
        for label, (item, name) in enumerate(zip(found.classes, found.taken, strict=True))
    ]
    return make_bank(found.dataset, provenance, classes)
