"""`dualpt doctor`: whether this machine is ready, and if not, what to do."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.core.files.locations import cache_root
from dualpt.sweeps.word_table import WordTable

PACKAGES = ("torch", "torchvision", "open_clip_torch", "transformers", "ray", "optuna", "mlflow")


def examine(console: Console) -> int:
    """Run every check and print a row of each; 0 if all passed, else 2."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("ray", _ray),
        ("device", _device),
        ("GPUs in Ray", _gpus_in_ray),
        ("GPU kernels", _kernels),
        ("cache folder", _cache),
        ("working folder", _working_folder),
        ("training step", _training_step),
    )
    passed = True
    for name, check in checks:
        try:
            _print(console, "[green]ok[/]   ", f"{name}: {check()}")
        except UserError as error:
            passed = False
            _print(console, "[red]fault[/]", f"{name}: {error}")
    return 0 if passed else 2


def _print(console: Console, word: str, found: str) -> None:
    """A row at a time, as checks take their time."""
    row = WordTable("", "", headed=False, look=None)
    row.add_row(word, escape(found))
    row.show(console)


def _python() -> str:
    return sys.version.split()[0]


def _packages() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            raise UserError(f"{name} is not installed; pip install -c constraints.txt -e .") from None
    return ", ".join(found)


def _ray() -> str:
    """Whether what is private of Ray is where it was when its source was read."""
    from dualpt.sweeps import ray_private

    here = ray_private.installed()
    if here == ray_private.READ_FROM:
        return f"{here}, the release that this version was written for"
    advice = f"this version was written for ray {ray_private.READ_FROM}; pip install -c constraints.txt -e ."
    if lacking := ray_private.missing():
        raise UserError(f"ray {here} lacks {', '.join(lacking)}, which it is not obliged to keep; {advice}")
    return f"{here}: everything private to Ray that is used here is still there, but {advice}"


def _device() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"no GPU; {os.cpu_count()} CPU cores"
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return ", ".join(f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)" for gpu in gpus)


def _gpus_in_ray() -> str:
    """Whether Ray, which gives workers their GPUs, would count those that torch sees."""
    import torch

    from dualpt.sweeps.ray_private import gpus_counted

    if os.environ.get("RAY_ADDRESS"):
        return "the cluster at RAY_ADDRESS has counted its own; `ray status` lists them"
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not seen:
        return "none, as torch sees none"
    if (counted := gpus_counted()) != seen:
        raise UserError(
            f"torch sees {seen} and Ray would count {counted}, so workers would get the wrong ones or none; start Ray "
            f"first (`ray start --head --num-gpus={seen}`) and set RAY_ADDRESS=auto"
        )
    return f"{counted}, as torch sees"


def _kernels() -> str:
    """Which kernels encode prompts on this machine."""
    import torch

    from dualpt.core.kernels.kernel_choice import unavailable
    from dualpt.core.provenance import KERNELS, asked_kernels

    if (asked := asked_kernels()) == "torch":
        return f"torch's own, as {KERNELS}=torch says"
    if reason := unavailable(torch.device("cuda" if torch.cuda.is_available() else "cpu")):
        return f"torch's own; the project's can't be used: {reason}"
    served = "all towers" if asked == "triton" else "towers in half precision"
    return f"the project's for {served}, with triton {version('triton')}; {KERNELS}=torch asks for torch's"


def _cache() -> str:
    folder = cache_root()
    return f"{folder} ({_writable(folder)} GiB free; DUALPT_CACHE moves it)"


def _working_folder() -> str:
    return f"{Path.cwd()} ({_writable(Path.cwd())} GiB free; mlflow.db and optuna.db are written here)"


def _writable(folder: Path) -> int:
    """Free space in GiB, after writing and removing a file."""
    probe = folder / f".dualpt-probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror})") from None
    return shutil.disk_usage(folder).free // 2**30


def _training_step() -> str:
    from dualpt.core.cell import Cell
    from dualpt.core.presets import method_setting
    from dualpt.core.running.cell_runner import CellRunner

    setting = method_setting("dualpt", {"optim.epochs": 2})
    cell = Cell(setting, "mini-tiles", "few-shot", 1, 1)
    runner = CellRunner()
    runner.check([cell])
    runner.prepare([cell])
    start = time.perf_counter()
    result = runner.run([cell])[0]
    if result.failure:
        raise UserError(f"a tiny training failed: {result.failure}")
    return f"mini-tiles, 1 shot, 2 epochs in {time.perf_counter() - start:.2f} s on the tiny CLIP"
