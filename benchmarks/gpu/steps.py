"""What a GPU makes of training; needs nothing but what `core` needs, and with --cells what a sweep needs.

    python -m benchmarks.gpu                          ViT-B-16, bf16 towers, on the first GPU
    python -m benchmarks.gpu --cells                  and cells of all eleven shapes, from start to record
    python -m benchmarks.gpu --device cpu --quick     shows that it runs

Prints the device's matrix rate; steps of single operations, as a CUDA graph, and as one with the project's Triton
kernels, in turns, with the operations counted, their share of that rate, and peak memory; CoOp's own step beside ours
on every class list; how far gradients are from float32; and, unless quick, an estimate of the 165-cell grid of the CoOp
recipe. A share above 100 % ends the run. CoOp's step and the grid are measured with the kernels that training uses, by
DUALPT_GPU_KERNELS.
"""

import argparse
import copy
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.class_shapes import Names, real_class_shapes
from benchmarks.gpu.shaped_data import SHOTS, write_shaped_root
from benchmarks.gpu.stopwatch import ImpossibleShareError, Timer
from benchmarks.problems import BATCH, Problem
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.config.sections import LocalForm
from dualpt.core.data.catalog import dataset_info
from dualpt.core.kernels.kernel_choice import unavailable
from dualpt.core.provenance import KERNELS
from dualpt.core.recipes import resolve_recipe, steps_per_epoch
from dualpt.core.training.step import EAGER_STEPS, GraphedStep

SEEDS = 3
QUICK = ("EuroSAT", "Caltech101")
"""The lists of a quick run."""


class Case(NamedTuple):
    """The shape of a step."""

    dataset: str
    replicas: int
    n_prompts: int = 1
    form: LocalForm | None = None

    @property
    def title(self) -> str:
        return f"{self.dataset}, R = {self.replicas}, N = {self.n_prompts}" + (f", `{self.form}`" if self.form else "")


STEPS = (
    Case("Caltech101", 1),
    Case("Caltech101", 3),
    Case("Caltech101", 15),
    Case("ImageNet", 3),
    Case("Caltech101", 1, 4, "ot"),
    Case("Caltech101", 3, 4, "ot"),
    Case("ImageNet", 1, 4, "ot"),
)
GRADIENTS = (Case("Caltech101", 2), Case("ImageNet", 1), Case("StanfordCars", 2), Case("EuroSAT", 2, 2, "ot"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backbone", default=None, help="an open_clip architecture, with random weights")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="bf16 by default, fp32 on a CPU")
    parser.add_argument("--quick", action="store_true", help="mini-clip, short class lists, few repeats")
    parser.add_argument("--cells", action="store_true", help="run cells of all eleven shapes, minutes; no other table")
    parser.add_argument("--shots", default=",".join(map(str, SHOTS)), help="with --cells: which, 1,2,4,8,16 by default")
    parser.add_argument("--workers", type=int, default=1, help="with --cells: processes that share the GPU")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {device}: torch finds no GPU here; `--device cpu --quick` shows that it runs")
    precision = given.precision or ("bf16" if device.type == "cuda" else "fp32")
    name = given.backbone or ("mini-clip" if given.quick else "ViT-B-16")
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{hardware}, {name}, {precision} towers, torch {torch.__version__}\n", flush=True)
    if given.cells:
        from benchmarks.gpu.cells import CellsRun, print_cells  # needs Ray and MLflow, which the other tables don't

        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "data").mkdir()
            cut = {"longest": 3, "tested": 6} if given.quick else {}
            datasets, shots = write_shaped_root(root / "data", **cut), [int(one) for one in given.shots.split(",")]
            run = CellsRun(root, datasets, name, precision, shots, workers=given.workers)
            print_cells(replace(run, on_gpu=device.type == "cuda"))
        return
    backbone = load_backbone(name, "random", precision, device)
    shapes = real_class_shapes()
    lists = {name: shapes[name][:12] for name in QUICK} if given.quick else shapes
    bench = GpuBench(
        backbone, lists, partial(Timer, repeats=1, rounds=1) if given.quick else partial(Timer, repeats=20)
    )
    try:
        bench.print_all(grid=not given.quick)
    except ImpossibleShareError as error:
        raise SystemExit(f"benchmarks.gpu: {error}") from None


class GpuBench:
    """Measures one model on one device.

    Args:
        lists: Class lists by dataset; cases of others are left out.
        timer: Makes what times steps, for a device and a number format.
    """

    def __init__(
        self, backbone: Backbone, lists: Mapping[str, Names], timer: Callable[[torch.device, torch.dtype], Timer]
    ) -> None:
        self._backbone, self._lists = backbone, lists
        self._on_gpu = backbone.device.type == "cuda"
        self._kernels = ("torch",) if unavailable(backbone.device) else ("torch", "triton")
        self._timer = timer(backbone.device, backbone.text.dtype)

    def print_all(self, *, grid: bool) -> None:
        size = self._timer.size
        print(f"matrix products of {size} x {size} x {size}: {self._timer.rate / 1e12:.3g} TFLOP/s measured, ", end="")
        print(f"{self._timer.rate_flops:.3g} FLOPs counted for each\n")
        self.print_steps()
        self.print_against_coop()
        self.print_gradients()
        if grid:
            self.print_grid()
        else:
            print("no estimate of the grid: a quick run has another model, shorter class lists and few repeats")

    def print_steps(self) -> None:
        """A step of each case: single operations, and as the trainer replays it with torch's kernels and with ours."""
        print("| a step | single operations | CUDA graph | with our kernels | faster by | FLOPs counted | ", end="")
        print("of the matrix rate | peak memory | with our kernels |\n|---|---|---|---|---|---|---|---|---|")
        for case in self._cases(STEPS):
            with kernels("torch"):
                problem = self._problem(case)
            eager = self._timer.seconds(problem.take_step)
            ready, peaks = {}, {}
            for name in self._kernels:
                ready[name], peaks[name] = self._ready_and_peak(case, name)
            graphs = self._timer.in_turns(ready)
            flops = case.replicas * case.n_prompts * problem.prompts.step_flops
            share = self._timer.share(flops, min(eager, *graphs.values()))
            shown = [f"{1000 * seconds:.2f} ms" for seconds in graphs.values()]
            ours = [shown[1], f"{graphs['torch'] / graphs['triton']:.2f} ×"] if len(shown) > 1 else ["none", "none"]
            row = [case.title, f"{1000 * eager:.2f} ms", shown[0], *ours, f"{flops:.3g}", f"{share:.0%}"]
            print(f"| {' | '.join([*row, peaks['torch'], peaks.get('triton', 'none')])} |", flush=True)
        print("FLOPs are those of the text encoder's products and attention, forward and backward (`step_flops`)\n")

    def print_against_coop(self) -> None:
        """CoOp's own step (image tower, 77 positions) beside ours on every class list, in turns."""
        print(f"| batch {BATCH}, N = 1 | CoOp's step | ours | faster by |\n|---|---|---|---|")
        pixels = torch.randn(BATCH, 3, *self._backbone.image_size, device=self._backbone.device)
        for dataset in self._lists:
            problem = self._problem(Case(dataset, 1))
            coops = partial(problem.plain_coop_step, self._backbone, pixels)
            coop, ours = self._timer.in_turns({"coop": coops, "ours": self._ready(problem)}).values()
            print(f"| {dataset} | {1000 * coop:.1f} ms | {1000 * ours:.2f} ms | {coop / ours:.1f} × |", flush=True)
        print()

    def print_gradients(self) -> None:
        """How far gradients are from those of the same rounded weights in float32, and whether they repeat."""
        print("| gradient of the contexts | kernels | distance from float32 | twice the same bits |\n|---|---|---|---|")
        exact = _in_float32(self._backbone)
        for case in self._cases(GRADIENTS):
            with kernels("torch"):
                reference = self._problem(case, exact).gradient()
            for name in self._kernels:
                with kernels(name):
                    problem = self._problem(case)
                first, second = problem.gradient(), problem.gradient()
                distance = float((first - reference).norm() / reference.norm())
                same = "yes" if torch.equal(first, second) else "NO"
                print(f"| {case.title} | {name} | {distance:.1e} | {same} |", flush=True)
        print()

    def print_grid(self) -> None:
        """Eleven datasets x five shots x three seeds, seeds as replicas: steps, and every image encoded once."""
        training = encoding = 0.0
        per_image = self._image_seconds()
        for dataset, names in self._lists.items():
            seconds = self._timer.seconds(self._ready(self._problem(Case(dataset, SEEDS))))
            training += seconds * sum(_steps(dataset, shots, len(names)) for shots in SHOTS)
            _, _, tested = dataset_info(dataset).n_images or (0, 0, 0)
            encoding += per_image * (tested + SEEDS * max(SHOTS) * len(names))
        print(f"165-cell grid, CoOp recipe, N = 1, {SEEDS} seeds as replicas:")
        print(f"  training steps {training / 60:.1f} min, encoding images once {encoding / 60:.1f} min")
        print("  left out: reading and decoding images, evaluation, checkpoints, starting processes (see --cells)")

    def _cases(self, cases: Sequence[Case]) -> list[Case]:
        return [case for case in cases if case.dataset in self._lists]

    def _problem(self, case: Case, backbone: Backbone | None = None) -> Problem:
        return Problem(
            backbone or self._backbone,
            self._lists[case.dataset],
            replicas=case.replicas,
            n_prompts=case.n_prompts,
            local_form=case.form,
        )

    def _ready(self, problem: Problem) -> Callable[[], Tensor]:
        """The step as the trainer takes it on this device, warmed up: replayed where a GPU captures it."""
        if not self._on_gpu:
            return problem.take_step
        step = GraphedStep(problem.step)

        def take_step() -> Tensor:
            return step(problem.images, problem.patches, problem.labels)

        for _ in range(EAGER_STEPS + 1):
            take_step()
        return take_step

    def _ready_and_peak(self, case: Case, name: str) -> tuple[Callable[[], Tensor], str]:
        """A step with the kernels of a name, and what it adds to the memory that is reserved."""
        if not self._on_gpu:
            with kernels(name):
                return self._problem(case).take_step, "not measured"
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        torch.cuda.reset_peak_memory_stats()
        with kernels(name):
            step = self._ready(self._problem(case))
        return step, f"{(torch.cuda.max_memory_reserved() - before) / 2**30:.1f} GiB"

    def _image_seconds(self) -> float:
        pixels = torch.randn(BATCH, 3, *self._backbone.image_size, device=self._backbone.device)
        return self._timer.seconds(lambda: self._backbone.encode_images(pixels, None)) / BATCH


@contextmanager
def kernels(name: str) -> Iterator[None]:
    """Prompts encoded with the kernels of a name, where they are made in here."""
    before = os.environ.get(KERNELS)
    os.environ[KERNELS] = name
    try:
        yield
    finally:
        del os.environ[KERNELS]
        if before is not None:
            os.environ[KERNELS] = before


def _in_float32(backbone: Backbone) -> Backbone:
    """The same weights, already rounded, calculated with in float32."""
    text = TextTower(copy.deepcopy(backbone.text.model).float(), backbone.tokenizer)
    return replace(backbone, text=text, precision="fp32")


def _steps(dataset: str, shots: int, n_classes: int) -> int:
    images = shots * n_classes
    recipe = resolve_recipe("coop", dataset=dataset, shots=shots, n_images=images)
    return recipe.epochs * steps_per_epoch(images, recipe.batch_size)
