"""What a cell is: one setting on one dataset at one number of shots with one seed. Loads no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dualpt.core.config import Protocol, Setting
from dualpt.core.errors import UserError

PACKABLE = frozenset(
    {
        "alignment.llm_weight",
        "alignment.local_weight",
        "inference.local_weight",
        "inference.description_weight",
        "optim.learning_rate",
    }
)
"""Keys in which replicas that learn prompts may differ within the same training step, apart from their seed."""


@dataclass(frozen=True)
class Cell:
    """What is trained and judged once. Zero-shot methods have `shots=0, seed=0`: nothing is drawn."""

    setting: Setting
    dataset: str
    protocol: Protocol
    shots: int
    seed: int
    targets: tuple[str, ...] = ()
    """Other datasets that it is tested on, under the protocols that have targets."""

    @property
    def label(self) -> str:
        """A short name for progress and run names."""
        if not self.setting.trains:
            return self.dataset
        return f"{self.dataset} {self.shots}-shot seed {self.seed}"


def packable_keys(setting: Setting) -> frozenset[str]:
    """Keys in which the cells of a pack may differ, apart from their seed."""
    if not setting.fits_features:
        return PACKABLE
    method = setting.definition
    return frozenset(f"{method.name}.{option}" for option in method.definition.packable)


def check_serves(setting: Setting, protocol: Protocol, shots: Sequence[int]) -> None:
    """Refuse a protocol or a number of shots that the method isn't made for.

    Raises:
        UserError: naming the method and what it takes, or its options that don't serve the protocol.
    """
    if not setting.fits_features:
        return
    definition, name = setting.definition.definition, setting.definition.name
    if protocol not in definition.protocols:
        served = ", ".join(sorted(definition.protocols))
        raise UserError(f"{name}: can't be judged under protocol {protocol}, since it serves {served} alone")
    setting.definition.instance.check(setting.definition.options(dict(setting.own)), protocol)
    if setting.data.features is None:
        check_rows(setting, max(1, setting.reads.views), min(shots))
    if (fewest := min(shots)) < definition.min_shots:
        raise UserError(
            f"{name}: needs at least {definition.min_shots} shots, found {fewest}; raise or leave out shots"
        )


def check_rows(setting: Setting, views: int, shots: int) -> None:
    """Refuse fewer rows of a class than the method needs.

    Args:
        views: of each image, each a row.

    Raises:
        UserError: naming the method and the number.
    """
    name, rows = setting.definition.name, setting.reads.rows
    if shots * views < rows:
        raise UserError(
            f"{name}: needs {rows} rows of each class, and finds {shots * views} (shots {shots}, views of an image "
            f"{views}); raise the shots, or leave it out"
        )


def pack_of(cell: Cell) -> str:
    """Cells with equal strings may train in the same steps: they differ in seed, weights and learning rate only.

    Cells that use local features or descriptions never share steps with cells that do not: a weight of zero would
    still pay for the others' forward pass.
    """
    return f"{_shape(cell.setting)} {json.dumps([cell.dataset, cell.protocol, cell.shots, cell.targets])}"


@lru_cache(maxsize=4096)
def _shape(setting: Setting) -> str:
    """The setting's part of `pack_of`; a trial asks for it once per cell."""
    packable = packable_keys(setting)
    active = {key: value for key, value in setting.active().items() if key not in packable}
    return json.dumps([active, setting.data.root, setting.data.features, setting.descriptions.bank], sort_keys=True)
