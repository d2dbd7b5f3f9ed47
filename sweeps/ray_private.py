"""Everything that is used of Ray beyond its public interface, in one place, with the release it was read from.

Another release may have moved any of it. `dualpt doctor` says when another one is installed, and what it lacks.
"""

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

READ_FROM = "2.60.0"
"""The release of Ray whose source was read."""
NOTES = "dualpt"
"""Namespace of the notes that are put in the control service."""
UNBOUNDED_NODES = 1000
"""Nodes counted of a type that has no upper bound."""
NAMES = (
    "ray._private.accelerators.get_accelerator_manager_for_resource",
    "ray._private.authentication.authentication_token_setup.AUTH_MODE_ENV_VAR",
    "ray._private.authentication.authentication_token_setup.maybe_enable_token_auth_if_token_available",
    "ray._private.utils.read_ray_address",
    "ray._private.worker._worker_logs_enabled",
    "ray._private.state.state.get_cluster_config",
    "ray._private.thirdparty.pynvml",
    "ray._raylet.AuthenticationTokenLoader.reset_cache",
    "ray._raylet.Config.initialize",
    "ray.autoscaler._private.util.prepare_config",
    "ray.autoscaler._private.util.validate_config",
    "ray.experimental.internal_kv._internal_kv_del",
    "ray.experimental.internal_kv._internal_kv_get",
    "ray.experimental.internal_kv._internal_kv_list",
    "ray.experimental.internal_kv._internal_kv_put",
    "ray.tune.experiment.trial._TemporaryTrialState",
)
"""What the functions below use."""


def outlive_raylet() -> None:
    """Let this process live on when the machine's raylet dies; has an effect only before Ray is imported.

    Ray's client ends its process, with exit code 1 and no word, where a message to the raylet fails and the process
    with this number is gone. Without a number it takes the parent for the raylet, and its number 1 for a dead one: so
    do launches end that were started in a container, or whose shell is gone. Workers are given their raylet's by it.
    """
    os.environ.setdefault("RAY_RAYLET_PID", str(os.getpid()))


def silence_worker_logs() -> None:
    """Keep Ray from printing pages of its log when a machine is lost; called after `ray.init`, which sets it again."""
    from ray._private import worker

    worker._worker_logs_enabled = False


def use_token_if_there_is_one() -> bool:
    """Let `ray.init` use the token that is at hand, which it does for no explicit address; whether there is one.

    RAY_AUTH_MODE is read when Ray is imported: setting it later has no effect.
    """
    from ray._private.authentication import authentication_token_setup as setup

    setup.logger.setLevel(logging.ERROR)
    return bool(setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False))


@contextlib.contextmanager
def keeping_auth_mode() -> Iterator[None]:
    """Put back whether this process uses tokens, which Ray switches on for good where it starts a session itself.

    A process that uses them where a cluster does not answers none of that cluster's actors: they are cancelled before
    they start.
    """
    from ray._private.authentication.authentication_token_setup import AUTH_MODE_ENV_VAR

    compiled: Any = importlib.import_module("ray._raylet")  # it has no types
    before = os.environ.get(AUTH_MODE_ENV_VAR)
    try:
        yield
    finally:
        if os.environ.get(AUTH_MODE_ENV_VAR) != before:
            os.environ.pop(AUTH_MODE_ENV_VAR, None)
            if before is not None:
                os.environ[AUTH_MODE_ENV_VAR] = before
            compiled.Config.initialize("")
            compiled.AuthenticationTokenLoader.instance().reset_cache()


def recorded_address() -> str | None:
    """Host and port of the cluster that last started on this machine; the file they are in outlives it."""
    from ray._private.utils import read_ray_address

    found: str | None = read_ray_address()
    return found


def autoscaler_groups() -> list[tuple[Mapping[str, float], int]]:
    """Node types that the connected cluster's autoscaler may start: resources of a node, and how many nodes.

    They are as the autoscaler publishes them for Ray's own libraries; empty without an autoscaler.
    """
    from ray._private.state import state

    config: Any = state.get_cluster_config()
    groups = [] if config is None else config.node_group_configs
    counted = [(dict(group.resources), UNBOUNDED_NODES if group.max_count < 0 else group.max_count) for group in groups]
    return [(resources, count) for resources, count in counted if count]


def check_launcher_file(document: dict[str, Any]) -> None:
    """Prepare and validate a file of the cluster launcher, as `ray up` would, without asking any cloud.

    Raises:
        jsonschema.ValidationError: the file violates Ray's schema.
        SystemExit: Ray refuses it, having printed why.
        Exception: Ray reads the file before it validates it, and trips over anything.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(document))


def actor_of(trial: Any) -> Any:
    """The handle of the actor that runs a Tune trial; None while it has none."""
    return trial.temporary_state.ray_actor


def put_note(name: str, text: str) -> None:
    """Keep a short text in the cluster's control service, in place of what had its name; waits for the service."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(name, text, namespace=NOTES)


def notes(prefix: str) -> dict[str, str]:
    """The texts that were put under names that begin so, by name; waits for the control service."""
    from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_list

    found = {key.decode(): _internal_kv_get(key, namespace=NOTES) for key in _internal_kv_list(prefix, namespace=NOTES)}
    return {name: text.decode() for name, text in found.items() if text is not None}


def drop_notes(prefix: str) -> None:
    """Remove the texts whose names begin so."""
    from ray.experimental.internal_kv import _internal_kv_del

    _internal_kv_del(prefix, del_by_prefix=True, namespace=NOTES)


def gpus_counted() -> int:
    """GPUs that Ray would count if it started here without `--num-gpus`: it asks the driver's library, not torch."""
    from ray._private.accelerators import get_accelerator_manager_for_resource

    manager: Any = get_accelerator_manager_for_resource("GPU")
    there: int = manager.get_current_node_num_accelerators()
    visible: list[str] | None = manager.get_current_process_visible_accelerator_ids()
    return there if visible is None else min(there, len(visible))


def gpu_load(uuid: str) -> tuple[int, int, int | None] | None:
    """Bytes in use and in all of a GPU, by whichever process, and its utilisation in percent, which parts of one lack.

    NVIDIA's management library is asked, through the copy of its bindings in Ray: unlike CUDA's own calls, those can be
    made while another thread records a CUDA graph.

    Args:
        uuid: the GPU's, as that library writes it (`GPU-…`).

    Returns None where the library isn't there, or does not know the GPU.
    """
    from ray._private.thirdparty import pynvml as bindings

    pynvml: Any = bindings  # untyped
    try:
        pynvml.nvmlInit()  # counted: a second call costs nothing
        device = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    except pynvml.NVMLError:
        return None
    try:
        busy: int | None = pynvml.nvmlDeviceGetUtilizationRates(device).gpu
    except pynvml.NVMLError:
        busy = None
    return memory.used, memory.total, busy


def installed() -> str:
    """The installed release."""
    return version("ray")


def missing() -> list[str]:
    """Those of `NAMES` that the installed release lacks."""
    return [name for name in NAMES if not _exists(name)]


def _exists(name: str) -> bool:
    """Whether a dotted name leads to something: its longest importable beginning is a module, the rest attributes."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False
