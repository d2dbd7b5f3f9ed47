"""Whether workers can record cells, proved by one of them before the first cell is trained."""

import socket

import ray

from dualpt.core.errors import UserError
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.stores.credentials import Credentials, adopt, credentials_here
from dualpt.sweeps.workers.losses import loss_of
from dualpt.sweeps.workers.placement import machines, room_for
from dualpt.sweeps.workers.worker_config import WorkerConfig


def prove_a_worker(config: WorkerConfig, resources: dict[str, float], run_id: str) -> None:
    """Let one worker show that it can record: a cluster's machines may have other logins than the driver's.

    Args:
        config: of the workers.
        resources: what a worker reserves, so the task runs where cells would be trained.
        run_id: the sweep's run, which takes the artifact.

    Raises:
        UserError: it cannot record.
    """
    room_for(resources, machines())  # or the task below would wait forever
    task = ray.remote(num_cpus=resources["CPU"], num_gpus=resources.get("GPU", 0), max_retries=3)(_prove_access)
    try:
        ray.get(task.remote(config, run_id, credentials_here()))
    except ray.exceptions.RayTaskError as error:
        raise UserError(loss_of(error).fault or "the worker gave no reason") from None


def _prove_access(config: WorkerConfig, run_id: str, credentials: Credentials) -> None:
    """Ask the tracking store from this process, and write an artifact.

    Raises:
        UserError: it cannot; the line names this machine, and says why.
    """
    adopt(credentials)
    config.check_here()
    try:
        Ledger(config.tracking_uri, create=False, patience=config.patience).prove_artifacts(run_id)
    except UserError as error:
        raise UserError(f"the worker on {socket.gethostname()} cannot record cells: {error}") from None
