"""How many workers fit where: what each reserves, the machines that are there, and those an autoscaler may add."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

from dualpt.core.errors import UserError
from dualpt.sweeps.ray_private import autoscaler_groups

ROUNDING = 1e-9
"""So that three thirds of a GPU, which Ray stores as floats, count as three."""


@dataclass(frozen=True)
class Machines:
    """Resources by kind (`CPU` in cores, `GPU` in devices), one entry per machine."""

    there: Sequence[Mapping[str, float]]
    declared: Sequence[tuple[Mapping[str, float], int]] = ()
    """What an autoscaler may start: a machine's resources and how many of them; empty without an autoscaler."""

    @property
    def scaling(self) -> bool:
        return bool(self.declared)

    @property
    def most(self) -> int:
        """How many machines there may be at once."""
        return max(len(self.there), sum(count for _, count in self.declared))

    def room_for(self, asked: Mapping[str, float]) -> int:
        """Workers that fit at once, machine by machine: two halves on two machines do not make a whole."""
        now = sum(_fits(machine, asked) for machine in self.there)
        later = sum(_fits(machine, asked) * count for machine, count in self.declared)
        return max(now, later)

    def most_of(self, kind: str) -> float:
        """The most that one machine has of a kind of resource."""
        return max((m.get(kind, 0.0) for m in [*self.there, *(machine for machine, _ in self.declared)]), default=0.0)


def machines() -> Machines:
    """The connected cluster's machines."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return Machines(alive, autoscaler_groups())


def room_for(asked: Mapping[str, float], present: Machines) -> int:
    """How many workers fit at once, now or when the cluster has grown.

    Args:
        asked: what a worker reserves, by Ray's kinds.

    Raises:
        UserError: not even one ever fits.
    """
    room = present.room_for(asked)
    if room >= 1:
        return room
    grown = " and none that the autoscaler could start" if present.scaling else ""
    if asked.get("GPU", 0) > 0 and present.most_of("GPU") == 0:
        raise UserError(
            f"run.gpus_per_trial: {asked['GPU']:g} GPU asked for, and no machine{grown} has one that Ray sees; "
            "set run.gpus_per_trial=0, or look at `ray status` and `nvidia-smi`"
        )
    wanted = ", ".join(f"{amount:g} {kind}" for kind, amount in asked.items())
    has = ", ".join(f"{present.most_of(kind):g} {kind}" for kind in asked)
    raise UserError(
        f"run: a trial asks for {wanted}, and no machine{grown} has that (at most {has} on one); "
        "lower run.cpus_per_trial or run.gpus_per_trial"
    )


def _fits(machine: Mapping[str, float], asked: Mapping[str, float]) -> int:
    return min(int(machine.get(kind, 0.0) / amount + ROUNDING) for kind, amount in asked.items())
