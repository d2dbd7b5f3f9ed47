"""Ray started quietly, or joined where it runs already."""

import contextlib
import gc
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RpcError

from dualpt.core.errors import UserError
from dualpt.sweeps.driver_marker import mark
from dualpt.sweeps.ray_private import (
    keeping_auth_mode,
    silence_worker_logs,
    use_token_if_there_is_one,
)
from dualpt.sweeps.stores import file_store_refusal, sqlite_path
from dualpt.sweeps.workers.connection.ray_address import LOCAL, examine_ray_address, ray_address, unusable
from dualpt.sweeps.workers.interrupts import keeping_handlers
from dualpt.sweeps.workers.placement import machines

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "10",
}
"""No result files, no snapshots, no signal handlers, no advice: Ray reads these when it starts, unless they are set."""
PATIENCE = {"RAY_gcs_server_port_wait_time_s": "120"}
"""Seconds for Ray's control service, in place of 30: a busy machine needs them. Read as those above are. The waits that
follow can't be set: 15 s for each of the raylet's agents, 30 s for the raylet."""
LATE = ("timed out during startup", "Timed out waiting for file")
"""What Ray says where the raylet or the control service came too late: a bare `Exception`, and a `RuntimeError`."""
LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def ray_session(
    stores: Mapping[str, str], dashboard: bool = False, note: Callable[[str], None] = lambda line: None
) -> Iterator[str]:
    """Connect to the cluster of `$RAY_ADDRESS`, or start Ray on this machine; stopped on leaving.

    Yields Ray's id of this machine.

    Args:
        stores: where runs and studies are kept, by their keys in the sweep file.
        dashboard: whether Ray's dashboard is wanted: started with Ray, on loopback, and its address said.
        note: takes that line.

    Raises:
        UserError: no cluster answers at the address, or its other machines cannot reach a store.
    """
    for name, value in (QUIET | PATIENCE).items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with keeping_auth_mode():
        _connect(dashboard, note)
        try:
            _check_reach(stores)
            yield str(ray.get_runtime_context().get_node_id())
        finally:
            _shut_down()


def _shut_down() -> None:
    """Leave Ray with no garbage of its own about.

    While Ray's client goes down, for a second or so, other threads run; where one of them collects a reference to an
    object, which errors with their tracebacks keep in cycles, the client ends the process with exit code 1.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        gc.collect()
        ray.shutdown()
    finally:
        if collecting:
            gc.enable()


def _connect(dashboard: bool, note: Callable[[str], None]) -> None:
    address = ray_address()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address == LOCAL:
        quiet |= {"include_dashboard": dashboard, "dashboard_host": LOOPBACK}  # it starts jobs for whoever reaches it
    examine_ray_address()
    try:
        with keeping_handlers():  # Ray installs its own
            context = _join(address, quiet)
        if address == LOCAL:
            mark(Path(context.address_info["session_dir"]))
        if dashboard:
            note(f"Ray's dashboard: {_dashboard_of(context)}")
        silence_worker_logs()  # the pool says in one line that a machine is lost
    except Exception as error:
        if address == LOCAL and any(said in str(error) for said in LATE):
            raise UserError(
                "Ray did not start on this machine in time: it is too busy, its disk too slow, or its memory full; try "
                "again later, or start Ray first (`ray start --head`) and set RAY_ADDRESS=auto"
            ) from None
        if not isinstance(error, OSError | RuntimeError | ValueError | RpcError):
            raise
        if address != LOCAL:
            raise unusable(error) from None
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"Ray did not start on this machine: {reason}") from None


def _join(address: str, options: Mapping[str, Any]) -> Any:
    """Connect, and return Ray's context, whose type lacks the documented `address_info`.

    Where a cluster refuses, it is tried again with the token that is at hand, which Ray leaves out by itself.
    """
    try:
        return ray.init(address=address, **options)
    except ConnectionError:
        if address == LOCAL or not use_token_if_there_is_one():
            raise
        return ray.init(address=address, **options)


def _dashboard_of(context: Any) -> str:
    url = getattr(context, "dashboard_url", None)
    return f"http://{url}" if url else "this cluster serves none"


def gcs_address() -> str:
    """Host and port of the connected cluster's control service."""
    return str(ray.get_runtime_context().gcs_address)


def _check_reach(stores: Mapping[str, str]) -> None:
    """Workers record cells themselves, and the next launch may come from another machine: both stores are servers.

    Raises:
        UserError: there are several machines, or an autoscaler may start some, and a store is a file on this one.
    """
    several = machines().most
    for key, uri in stores.items():
        if several > 1 and sqlite_path(uri) is not None:
            raise UserError(file_store_refusal(key, uri, f"{several} machines"))
