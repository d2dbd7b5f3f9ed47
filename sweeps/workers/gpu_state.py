"""The GPU that a worker trains on: its memory and how busy it is, asked without a call of CUDA's."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dualpt.sweeps.dispatch.worker_reports import GpuState
from dualpt.sweeps.ray_private import gpu_load

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU of this process, known by what doesn't change."""

    name: str
    uuid: str
    total_gib: float

    def state(self) -> GpuState:
        """As it is now; safe in any thread, while another records a CUDA graph.

        The allocator counts what it holds itself. CUDA's own calls (`torch.cuda.mem_get_info`) would break a recording.
        """
        own = sys.modules["torch"].cuda.memory_reserved() / GIB
        load = gpu_load(self.uuid)
        if load is None:
            return GpuState(self.name, own, self.total_gib)
        used, total, busy = load
        return GpuState(self.name, own, total / GIB, used / GIB, busy)


def hide_unreserved_gpus(reserved: Sequence[object]) -> None:
    """Have this process train on the CPU where it has reserved no GPU; before torch looks for any.

    Since 2.60, Ray leaves all GPUs visible to who has reserved none: with `run.gpus_per_trial=0`, one worker per core
    would train on the first.
    """
    if not reserved:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def gpu_here() -> Gpu | None:
    """The GPU that this process has begun to use, or None; called in the thread that trains."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    uuid = str(properties.uuid)
    return Gpu(properties.name, uuid if uuid.startswith("GPU-") else f"GPU-{uuid}", properties.total_memory / GIB)
