"""Why a worker is gone: it cannot work, its process died, or its machine is lost."""

import re
from dataclasses import dataclass

from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError, RayTaskError

from dualpt.core.errors import UserError


@dataclass(frozen=True)
class Loss:
    """What became of a worker."""

    fault: str | None
    """The exception it raised outside of any pack, in one line; None where it raised none."""
    machine_lost: bool
    """Whether it is gone with its machine: spot nodes are taken back at any time."""

    @property
    def died(self) -> bool:
        """Whether its process died by itself, perhaps over its pack."""
        return self.fault is None and not self.machine_lost

    def __str__(self) -> str:
        if self.fault is not None:
            return f"a worker cannot work ({self.fault})"
        return f"a {'worker process' if self.died else 'machine'} is gone"


def loss_of(error: Exception | None) -> Loss:
    """Read the error that Tune kept of a failed trial; None where it kept none."""
    return Loss(_fault(error), _machine_lost(error))


def _fault(error: Exception | None) -> str | None:
    if isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed):
        return re.sub(rf"^{re.escape(UserError.__module__)}\.\w+: ", "", str(error).strip().splitlines()[-1].strip())
    return None


def _machine_lost(error: Exception | None) -> bool:
    """A machine that has just gone is only known to be out of reach."""
    if isinstance(error, ActorUnavailableError | NodeDiedError):
        return True
    return isinstance(error, RayActorError) and (error.preempted or "node has died" in str(error))
