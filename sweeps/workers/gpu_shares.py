"""What a worker reserves; for `gpus_per_trial: auto`, a share of a GPU by the memory that a pack really takes there."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import Run
from dualpt.sweeps.planning.plan import classes_of
from dualpt.sweeps.workers.placement import machines, room_for
from dualpt.sweeps.workers.versions import OTHER_VERSIONS

if TYPE_CHECKING:
    from dualpt.sweeps.workers.worker_config import WorkerConfig

UNMEASURED_SHARE = 0.25
"""Of a GPU, where Ray counts GPUs that torch cannot see and nothing can be measured."""
MOST_SHARING = 16
"""Workers on one GPU: more would only wait for each other's kernels."""
CONTEXT_GIB = 0.7
"""Memory that a process on a GPU takes besides torch's own, for the driver's context and kernels."""
USABLE = 0.92
"""Part of a GPU's memory that workers are given."""
STEP = 1e-4
"""Ray counts shares in ten-thousandths."""


SCHEDULERS = {
    "Slurm": ("SLURM_GPUS_ON_NODE", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_TASK", "SLURM_GPUS"),
    "PBS": ("PBS_NGPUS",),
}
"""What a job's environment says of its GPUs: a number, a type, or both (`2`, `a100`, `a100:2,h100:1`)."""
GPU_LISTS = {"Slurm": "SLURM_JOB_ID", "PBS": "PBS_JOBID", "LSF": "LSB_JOBID", "Grid Engine": "SGE_TASK_ID"}
"""By what a job of a scheduler is known; all of them list its GPUs in `CUDA_VISIBLE_DEVICES`."""
NO_GPUS = ("", "-1", "NoDevFiles")
"""What that says where there are none."""


@dataclass(frozen=True)
class Measured:
    """Memory of one training process on its GPU."""

    peak_gib: float
    """The most that torch had reserved."""
    total_gib: float
    """The GPU's."""


def trial_resources(
    run: Run,
    worker: "WorkerConfig",
    heaviest: Sequence[Cell],
    wanted_per_pack: Callable[[bool], int],
    note: Callable[[str], None],
) -> tuple[dict[str, float], int]:
    """What a worker reserves, by Ray's kinds (`CPU` in cores, `GPU` in devices), and how many candidates share a pack.

    Args:
        run: the sweep file's section.
        worker: makes the runner that is measured.
        heaviest: the pack of one candidate to measure.
        wanted_per_pack: how many candidates are to share a pack, without (False) or with (True) a GPU.
        note: receives a line on what was measured.

    Raises:
        UserError: a fractional share above one GPU, a measured pack that failed, no machine with a GPU and the cores
            that a worker asks for, or a batch job whose GPUs Ray doesn't see.
    """
    gpus = run.gpus_per_trial
    if gpus == "auto" and machines().most_of("GPU"):
        share, settings = _measured_share(run.cpus_per_trial, worker, heaviest, wanted_per_pack(True), note)
        return {"CPU": run.cpus_per_trial, "GPU": share}, settings
    if gpus == "auto":
        _check_allocation(os.environ)
    if gpus == "auto" or not gpus:
        return {"CPU": run.cpus_per_trial}, wanted_per_pack(False)
    if gpus > 1 and gpus != int(gpus):
        raise UserError(f"run.gpus_per_trial: {gpus:g} is neither a fraction of one GPU nor a whole number of them")
    return {"CPU": run.cpus_per_trial, "GPU": gpus}, wanted_per_pack(True)


def _check_allocation(environment: Mapping[str, str]) -> None:
    """Refuse to train on the CPU of a batch job that was given GPUs.

    Raises:
        UserError: the scheduler counts GPUs, and Ray none.
    """
    given = {scheduler: _gpus_given(scheduler, environment) for scheduler in GPU_LISTS}
    for scheduler, gpus in given.items():
        if gpus is not None:
            raise UserError(
                f"run.gpus_per_trial: {scheduler} gave this job GPUs ({gpus}), and Ray sees none; start Ray with "
                "--num-gpus (docs/cluster/slurm.sh does), or set run.gpus_per_trial=0 to train on the CPU"
            )


def _gpus_given(scheduler: str, environment: Mapping[str, str]) -> str | None:
    """How a scheduler's job says that it has GPUs; None where it has none, or there is no such job."""
    for name in SCHEDULERS.get(scheduler, ()):
        if value := environment.get(name):
            return f"{name}={value}" if any(part.rpartition(":")[2] != "0" for part in value.split(",")) else None
    devices = environment.get("CUDA_VISIBLE_DEVICES", "")
    in_job = bool(environment.get(GPU_LISTS[scheduler]))
    return f"CUDA_VISIBLE_DEVICES={devices}" if in_job and devices not in NO_GPUS else None


def settings_that_fit(measured: Measured, wanted: int) -> int:
    """How many candidates may share a pack: as many as are wanted and one worker on the GPU has memory for.

    Each is taken to need what one alone did, frozen towers included: rather too much.
    """
    return max(1, min(wanted, int((USABLE * measured.total_gib - CONTEXT_GIB) / measured.peak_gib)))


def share_of(measured: Measured, cpus_per_gpu: float, cpus_per_trial: float, settings: int = 1) -> float:
    """The share of a GPU that lets as many workers on it as its memory and the CPU cores beside it allow.

    Args:
        settings: candidates that share a pack.
    """
    taken = measured.peak_gib * settings + CONTEXT_GIB
    by_memory = int(USABLE * measured.total_gib / taken)
    by_cpu = int(cpus_per_gpu / cpus_per_trial) if cpus_per_gpu else MOST_SHARING
    sharing = max(1, min(by_memory, by_cpu, MOST_SHARING))
    return math.floor(1 / sharing / STEP) * STEP


def heaviest_pack(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, in all their seeds, that take the most memory: prompts first, by classes, tokens per class, shots."""

    def weight(cell: Cell) -> tuple[bool, int, int, int]:
        prompt, learned = cell.setting.prompt, cell.setting.learns_prompts
        tokens = prompt.n_prompts * prompt.context_length if learned else 0
        return learned, classes_of(cell.dataset, cell.setting.data.folder), tokens, cell.shots

    trained = [cell for cell in cells if cell.setting.trains]
    if not trained:
        return []
    first = max(trained, key=weight)
    alike = (first.setting, first.dataset, first.protocol, first.shots)
    return [c for c in dict.fromkeys(trained) if (c.setting, c.dataset, c.protocol, c.shots) == alike]


def _measured_share(
    cpus_per_trial: float, worker: "WorkerConfig", heaviest: Sequence[Cell], wanted: int, note: Callable[[str], None]
) -> tuple[float, int]:
    """The share of a GPU that a worker reserves, and how many candidates share a pack there."""
    if not heaviest:
        return UNMEASURED_SHARE, wanted
    room_for({"CPU": cpus_per_trial, "GPU": 1.0}, machines())  # or the task below would wait for ever
    name = heaviest[0].dataset
    note(f"gpus_per_trial: auto: training one epoch of {name} on a GPU to see what memory it takes")
    shortened = [_one_epoch(cell) for cell in heaviest]
    try:
        task = ray.remote(num_gpus=1, num_cpus=cpus_per_trial, max_retries=3)(_measure)
        measured: Measured | None = ray.get(task.remote(worker, shortened))
    except ray.exceptions.RayTaskError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.UserError: ")
        if OTHER_VERSIONS in reason:
            raise UserError(reason) from None
        raise UserError(
            f"run.gpus_per_trial: measuring a pack of {name} failed ({reason}); set a share such as 0.25"
        ) from None
    if measured is None:
        note(f"gpus_per_trial: auto: torch sees no GPU where Ray counts one; taking {UNMEASURED_SHARE}")
        return UNMEASURED_SHARE, wanted
    settings = settings_that_fit(measured, wanted)
    share = share_of(measured, _cpus_beside_a_gpu(), cpus_per_trial, settings)
    note(
        f"gpus_per_trial: auto: {name} takes {measured.peak_gib:.1f} of {measured.total_gib:.0f} GiB, "
        f"so a worker reserves {share:g} of a GPU, and up to {settings} candidates share its steps"
    )
    return share, settings


def _measure(worker: "WorkerConfig", cells: Sequence[Cell]) -> Measured | None:
    """Train the pack where this task was placed; None where torch sees no GPU."""
    worker.check_here()
    import torch

    if not torch.cuda.is_available():
        return None
    runner = worker.runner()
    torch.cuda.reset_peak_memory_stats()
    runner.run(cells)
    peak, total = torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    return Measured(peak / 2**30, total / 2**30)


def _one_epoch(cell: Cell) -> Cell:
    """The cell with one epoch of training; a method on frozen features has its own number, and takes seconds."""
    setting = cell.setting.with_values({"optim.epochs": 1}, source="run.gpus_per_trial: auto")
    return Cell(setting, cell.dataset, cell.protocol, cell.shots, cell.seed, selection=cell.selection)


def _cpus_beside_a_gpu() -> float:
    """CPU cores for each GPU on the machine that has the fewest for its GPUs."""
    present = machines()
    with_gpus = [m for m in [*present.there, *(machine for machine, _ in present.declared)] if m.get("GPU", 0)]
    return min((machine.get("CPU", 0) / machine["GPU"] for machine in with_gpus), default=0.0)
