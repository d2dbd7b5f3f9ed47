"""What a GPU makes of training steps; needs nothing but what `core` needs.

    python -m benchmarks.gpu                          ViT-B-16, bf16 towers, on the first GPU
    python -m benchmarks.gpu --device cpu --quick     shows that it runs

Prints the device's matrix-product rate; steps of single operations and as a CUDA graph, with the share of that rate;
peak memory; replicas; and, unless quick, an estimate of the 165-cell grid of the CoOp recipe.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.class_shapes import real_class_shapes
from benchmarks.problems import BATCH, Problem, matmul_rate
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.recipes import resolve_recipe, steps_per_epoch
from dualpt.core.training.step import EAGER_STEPS, GraphedStep

SHOTS, SEEDS = (1, 2, 4, 8, 16), 3
TEST_IMAGES = {
    "Caltech101": 2465,
    "DescribableTextures": 1692,
    "EuroSAT": 8100,
    "FGVCAircraft": 3333,
    "Food101": 30_300,
    "ImageNet": 50_000,
    "OxfordFlowers": 2463,
    "OxfordPets": 3669,
    "SUN397": 19_850,
    "StanfordCars": 8041,
    "UCF101": 3783,
}
"""Of the field's splits; encoded once."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backbone", default=None, help="an open_clip architecture, with random weights")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="bf16")
    parser.add_argument("--quick", action="store_true", help="mini-clip, short class lists, few repeats")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {device}: torch finds no GPU here; `--device cpu --quick` shows that it runs")
    name = given.backbone or ("mini-clip" if given.quick else "ViT-B-16")
    backbone = load_backbone(name, "random", given.precision, device)
    bench = GpuBench(backbone, repeats=2 if given.quick else 20, longest=12 if given.quick else None)
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{hardware}, {name}, {given.precision} towers, torch {torch.__version__}")
    print(f"matrix products: {bench.rate / 1e12:.2f} TFLOP/s measured\n")
    bench.print_steps()
    bench.print_replicas()
    if given.quick:
        print("no estimate of the grid: a quick run has another model, shorter class lists and few repeats")
    else:
        bench.print_grid()


class GpuBench:
    """Measures one model on one device.

    Args:
        repeats: Steps timed, of which the median counts.
        longest: Class lists are cut to this; None leaves them whole.
    """

    def __init__(self, backbone: Backbone, *, repeats: int, longest: int | None) -> None:
        self._backbone, self._repeats = backbone, repeats
        self._lists = {name: names[:longest] for name, names in real_class_shapes().items()}
        self._on_gpu = backbone.device.type == "cuda"
        rows = 8192 if self._on_gpu else 512
        dtype = next(backbone.model.transformer.resblocks.parameters()).dtype
        self.rate = matmul_rate(backbone.device, dtype, rows, backbone.model.positional_embedding.shape[1])
        """Floating-point operations a second."""

    def print_steps(self) -> None:
        """Steps of one replica: few classes and many, without and with local alignment."""
        print("| step of one replica | single operations | CUDA graph | of the matrix rate | peak memory |")
        print("|---|---|---|---|---|")
        for title, names, n_prompts, form in (
            ("Caltech101, N = 1, global alone", "Caltech101", 1, None),
            ("Caltech101, N = 4, local `ot`", "Caltech101", 4, "ot"),
            ("ImageNet, N = 4, local `ot`", "ImageNet", 4, "ot"),
        ):
            problem = self._problem(names, 1, n_prompts, form)
            self._reset_peak()
            eager = self._seconds(problem.take_step)
            graph = self._graph_seconds(problem)
            share = n_prompts * problem.prompts.step_flops / (graph or eager) / self.rate
            shown = f"{1000 * graph:.2f} ms" if graph else "none"
            print(f"| {title} | {1000 * eager:.2f} ms | {shown} | {share:.0%} | {self._peak()} |", flush=True)
        print()

    def print_replicas(self) -> None:
        print("| replicas, Caltech101, N = 1 | a step | against one replica |")
        print("|---|---|---|")
        alone = 0.0
        for replicas in (1, 3, 15):
            seconds = self._best(self._problem("Caltech101", replicas, 1, None))
            alone = alone or seconds
            print(f"| {replicas} | {1000 * seconds:.2f} ms | {seconds / alone:.2f} × |", flush=True)
        print()

    def print_grid(self) -> None:
        """Eleven datasets x five shots x three seeds, seeds as replicas: steps, and every image encoded once."""
        training = encoding = 0.0
        per_image = self._image_seconds()
        for dataset, names in self._lists.items():
            step = self._best(self._problem(dataset, SEEDS, 1, None))
            training += step * sum(_steps(dataset, shots, len(names)) for shots in SHOTS)
            encoding += per_image * (TEST_IMAGES[dataset] + SEEDS * max(SHOTS) * len(names))
        print(f"165-cell grid, CoOp recipe, N = 1, {SEEDS} seeds as replicas:")
        print(f"  training steps {training / 60:.1f} min, encoding images once {encoding / 60:.1f} min")
        print("  left out: reading and decoding images, evaluation, checkpoints, starting processes")

    def _problem(self, dataset: str, replicas: int, n_prompts: int, form: str | None) -> Problem:
        return Problem(
            self._backbone,
            self._lists[dataset],
            replicas=replicas,
            n_prompts=n_prompts,
            local_form=form,  # type: ignore[arg-type]
        )

    def _best(self, problem: Problem) -> float:
        """Seconds of a step as the trainer runs it on this device."""
        return self._graph_seconds(problem) or self._seconds(problem.take_step)

    def _graph_seconds(self, problem: Problem) -> float | None:
        if not self._on_gpu:
            return None
        step = GraphedStep(problem.step)

        def take_step() -> Tensor:
            return step(problem.images, problem.patches, problem.labels)

        for _ in range(EAGER_STEPS + 1):
            take_step()
        return self._seconds(take_step) if step.captured else None

    def _image_seconds(self) -> float:
        pixels = torch.randn(BATCH, 3, *self._backbone.image_size, device=self._backbone.device)
        return self._seconds(lambda: self._backbone.encode_images(pixels, None)) / BATCH

    def _seconds(self, run: Callable[[], object]) -> float:
        """Median seconds of a call, after a few to warm up."""
        times = []
        for _ in range(self._repeats + 3):
            self._wait()
            start = time.perf_counter()
            run()
            self._wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times[3:])

    def _wait(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize()

    def _reset_peak(self) -> None:
        if self._on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def _peak(self) -> str:
        return f"{torch.cuda.max_memory_reserved() / 2**30:.1f} GiB" if self._on_gpu else "not measured"


def _steps(dataset: str, shots: int, n_classes: int) -> int:
    images = shots * n_classes
    recipe = resolve_recipe("coop", dataset=dataset, shots=shots, n_images=images)
    return recipe.epochs * steps_per_epoch(images, recipe.batch_size)


if __name__ == "__main__":
    main()
