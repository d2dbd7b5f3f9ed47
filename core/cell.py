"""What a cell is: one setting on one dataset at one number of shots with one seed. Loads no torch."""

import json
from dataclasses import dataclass
from functools import lru_cache

from dualpt.core.config import Protocol, Setting

PACKABLE = frozenset(
    {
        "alignment.llm_weight",
        "alignment.local_weight",
        "inference.local_weight",
        "inference.description_weight",
        "optim.learning_rate",
    }
)
"""Keys in which replicas of the same training step may differ, apart from their seed."""


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


def pack_of(cell: Cell) -> str:
    """Cells with equal strings may train in the same steps: they differ in seed, weights and learning rate only.

    Cells that use local features or descriptions never share steps with cells that do not: a weight of zero would
    still pay for the others' forward pass.
    """
    return f"{_shape(cell.setting)} {json.dumps([cell.dataset, cell.protocol, cell.shots, cell.targets])}"


@lru_cache(maxsize=4096)
def _shape(setting: Setting) -> str:
    """The setting's part of `pack_of`; a trial asks for it once per cell."""
    active = {key: value for key, value in setting.active().items() if key not in PACKABLE}
    return json.dumps([active, setting.data.root, setting.descriptions.bank], sort_keys=True)
