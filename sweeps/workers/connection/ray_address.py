"""Where $RAY_ADDRESS leads: found out before images are encoded for a cluster that is not there."""

import os
import socket

from dualpt.core.errors import UserError
from dualpt.sweeps.ray_private import recorded_address
from dualpt.sweeps.stores import masked

LOCAL = "local"
"""Ray is started on this machine."""
CLIENT = "ray://"
KNOCK_SECONDS = 5.0
"""How long a cluster may take to accept a connection."""


def ray_address() -> str:
    """Where Ray runs, or `local`, which is explicit: a stale address file of an earlier cluster would be tried else."""
    return os.environ.get("RAY_ADDRESS") or LOCAL


def examine_ray_address() -> None:
    """Knock at the cluster: Ray itself would go on asking for minutes where nothing listens.

    `auto` stands for the address in a file that a cluster leaves behind when it ends.

    Raises:
        UserError: nothing listens there, or a launch cannot run from here.
    """
    address = ray_address()
    if address.startswith(CLIENT):
        raise UserError(
            f"RAY_ADDRESS={masked(address)}: a launch is one of its cluster's processes, and Ray's client ({CLIENT}) "
            "keeps it outside; launch on a machine of the cluster, with RAY_ADDRESS=auto or HOST:6379 (docs/cluster)"
        )
    if address == "auto":
        address = recorded_address() or address
    place = address.rpartition("://")[2]
    host, _, port = place.rpartition(":")
    try:
        if "://" in address and not place.partition(":")[0]:
            raise ValueError("the address names no host")
        if host and port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise unusable(error) from None


def unusable(error: Exception) -> UserError:
    """No cluster can be joined, for this reason."""
    reason = masked(str(error).strip().splitlines()[0])
    return UserError(
        f"RAY_ADDRESS={masked(ray_address())}: no Ray cluster can be used there ({reason}); unset it to run here, or, "
        "if the cluster was started with a token, put that token into ~/.ray/auth_token (docs/cluster)"
    )
