"""What every worker process needs to know, once: sent by the driver, checked where the worker runs."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ray

from dualpt.core.errors import UserError
from dualpt.core.method_files import MethodFile, adopt, files_here
from dualpt.sweeps.stores import file_store_refusal, sqlite_path
from dualpt.sweeps.workers.versions import mismatch, versions_here

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellRunner

PATIENCE = 20.0
"""Seconds a worker waits for the tracking store before it keeps a result as a file and trains on."""


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker trains with, and what it must have in common with the driver."""

    runner: "Callable[[], CellRunner]"
    """Makes the process's runner."""
    tracking_uri: str
    threads: int
    """CPU threads that torch may use."""
    node: str | None = None
    """Ray's id of the driver's machine."""
    versions: Mapping[str, str] = field(default_factory=versions_here)
    """What the driver runs, and its workers must (`dualpt.sweeps.workers.versions`)."""
    patience: float = PATIENCE
    system_metrics: bool = False
    """Whether the state of its GPU goes to the ledger with the curves."""
    methods: tuple[MethodFile, ...] = field(default_factory=files_here)
    """Users' own methods as the driver read them."""

    def check_here(self) -> None:
        """Find whether this process can do what the driver counts on, and take over users' own methods.

        Raises:
            UserError: other versions than the driver's, or a tracking store that is a file on another machine.
        """
        adopt(self.methods)
        host = socket.gethostname()
        if (difference := mismatch(self.versions, versions_here(), host)) is not None:
            raise UserError(difference)
        here = ray.get_runtime_context().get_node_id()
        if self.node not in (None, here) and sqlite_path(self.tracking_uri) is not None:
            raise UserError(file_store_refusal("run.tracking_uri", self.tracking_uri, f"the worker on {host}"))
