"""What each protocol trains and tests on.

few-shot: one dataset, its own test set. base-to-new: trained on the first half of the classes, tested on both halves.
cross-dataset (as CoCoOp reports it): trained on one source, tested on others, each among all of its own classes.
domain-generalization (as CoOp reports it): the targets are other images of the source's classes; where a target has
only some of them (ImageNet-A and -R), an image is classified among those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualpt.core.config.sections import Protocol
from dualpt.core.data.catalog import GRIDS, IMAGENET_VARIANTS, DatasetInfo, expand_datasets
from dualpt.core.data.sampling import FewShotSample, base_to_new, n_base_classes
from dualpt.core.data.splits import Item, Split, listing
from dualpt.core.errors import UserError

TRANSFER_PROTOCOLS: tuple[Protocol, ...] = ("cross-dataset", "domain-generalization")
"""Protocols with targets beside the source."""
TARGET = "target/"
"""Test set `target/<dataset>` is a target's test set."""


@dataclass(frozen=True)
class CellData:
    """The images and classes of one cell, in the labels of its own protocol."""

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    tests: Mapping[str, tuple[Item, ...]]
    """Test set name (`test`; `base` and `new`; `target/<dataset>`) -> images, labelled from 0."""
    classes: Mapping[str, slice]
    """`train` and each test set -> its classes, as a slice of the class names of its dataset."""
    datasets: Mapping[str, str]
    """`train` and each test set -> the dataset it is of."""
    sample_fingerprint: str | None
    """SHA-256 of the few-shot draw; None where nothing is drawn."""


def targets_of(
    protocol: Protocol, source: str, named: Sequence[str] | None, root: Path | None = None
) -> tuple[str, ...]:
    """The datasets that a cell of `source` is tested on beside its own test set.

    Args:
        protocol: the protocol.
        source: the dataset trained on; it cannot be its own target.
        named: datasets or groups of them; None takes the rest of the source's grid, or ImageNet's four variants.
        root: the data root, where the user's own datasets are registered.

    Raises:
        UserError: targets where the protocol has none, or none where it needs some; an unknown name.
    """
    if protocol not in TRANSFER_PROTOCOLS:
        if named is not None:
            raise UserError(f"protocol {protocol} has no targets; remove them, or choose cross-dataset")
        return ()
    if named is None:
        named = _default_targets(protocol, source)
    targets = tuple(name for name in expand_datasets(named, root) if name != source)
    if not targets:
        raise UserError(f"{source} is its only target; name other datasets")
    return targets


def _default_targets(protocol: Protocol, source: str) -> Sequence[str]:
    if protocol == "domain-generalization":
        if source == "ImageNet":
            return IMAGENET_VARIANTS
        raise UserError(f"{source} has no known variants, as ImageNet has; name the targets, or choose cross-dataset")
    for grid in GRIDS.values():
        if source in grid and source not in IMAGENET_VARIANTS:
            return grid
    raise UserError(f"{source} belongs to no grid whose other datasets could be targets; name the targets")


def divide(
    protocol: Protocol, source: str, split: Split, sample: FewShotSample | None, targets: Mapping[str, Split]
) -> CellData:
    """What a cell trains and tests on.

    Args:
        protocol: the protocol.
        source: the dataset trained on.
        split: its split.
        sample: the few-shot draw; None where nothing is drawn.
        targets: splits of the targets by dataset; none for protocols without.

    Raises:
        UserError: a half of the classes without images, or variants with other classes than the source.
    """
    train, val, drawn = (sample.train, sample.val, sample.fingerprint) if sample else ((), (), None)
    if protocol == "base-to-new":
        return _base_to_new(source, split, train, val, drawn)
    every = slice(0, len(split.class_names))
    if protocol == "domain-generalization":
        for name, target in targets.items():
            if foreign := sorted(set(target.class_names) - set(split.class_names)):
                raise UserError(
                    f"{name}: class {listing(foreign)} is none of {source}'s, whose variant it should be; choose "
                    "cross-dataset"
                )
    names = {name: f"{TARGET}{name}" for name in targets}
    return CellData(
        train=train,
        val=val,
        tests={"test": split.test} | {names[name]: target.test for name, target in targets.items()},
        classes={"train": every, "test": every}
        | {names[name]: slice(0, len(target.class_names)) for name, target in targets.items()},
        datasets={"train": source, "test": source} | {test: name for name, test in names.items()},
        sample_fingerprint=drawn,
    )


def _base_to_new(
    source: str, split: Split, train: tuple[Item, ...], val: tuple[Item, ...], drawn: str | None
) -> CellData:
    n_classes = len(split.class_names)
    if n_classes < 2:
        raise UserError(f"{source} has one class; base-to-new needs at least two")
    base_test, new_test = base_to_new(split.test, n_classes)
    if not base_test or not new_test:
        raise UserError(f"{source} has no test images of its {'new' if base_test else 'base'} classes")
    base, new = slice(0, n_base_classes(n_classes)), slice(n_base_classes(n_classes), n_classes)
    return CellData(
        train=base_to_new(train, n_classes)[0],
        val=base_to_new(val, n_classes)[0],
        tests={"base": base_test, "new": new_test},
        classes={"train": base, "base": base, "new": new},
        datasets=dict.fromkeys(("train", "base", "new"), source),
        sample_fingerprint=drawn,
    )


def check_source(source: DatasetInfo) -> None:
    """Refuse to train on a dataset that has test images only.

    Raises:
        UserError: in one line.
    """
    if source.tests_only:
        raise UserError(
            f"{source.name} has test images only: it can be a target, and zero-shot methods can be tested on it"
        )
