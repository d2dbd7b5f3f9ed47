"""One text step, forward and backward to the contexts: prompts in a trie against 77 positions per class."""

import statistics

import torch

from benchmarks.class_shapes import Names, real_class_shapes
from benchmarks.measuring import Row, Run, counted, duration, ratio
from benchmarks.problems import CONTEXT_LENGTH, Problem, matmul_rate
from dualpt.core.clip.backbone import Backbone, load_backbone

CLASSES = 100
LIST_OF_100 = "Caltech101"
"""The real list of a hundred classes whose shape the step of C = 100 has."""


MAIN, MINI = "ViT-B-16", "mini-clip"
"""The model of figures worth quoting, and that of quick runs; weights are random."""


def main_backbone(run: Run) -> Backbone:
    return load_backbone(MINI if run.quick else MAIN, "random")


def hundred_classes() -> Names:
    return real_class_shapes()[LIST_OF_100][:CLASSES]


def text_step(run: Run) -> list[Row]:
    rows = []
    for name, key in ((MAIN, "vit_b16"), (MINI, "mini_clip")):
        if not (run.quick and name == MAIN):
            rows += _one_backbone(run, load_backbone(name, "random"), key)
    return rows


def _one_backbone(run: Run, backbone: Backbone, key: str) -> list[Row]:
    problem = Problem(backbone, hundred_classes())
    timed = run.side_by_side({"plain": problem.plain_text_gradient, "packed": problem.text_gradient})
    difference = (problem.text_gradient() - problem.plain_text_gradient()).abs().max().item()
    largest = problem.plain_text_gradient().abs().max().item()
    rate = matmul_rate(torch.device("cpu"), torch.float32, 512, problem.tower.width)
    share = 100 * problem.prompts.step_flops / statistics.median(timed["packed"]) / rate
    what = f"{backbone.name}, C = {CLASSES}, L = {CONTEXT_LENGTH}"
    aim = "≥ 15×" if key == "vit_b16" else ""
    return [
        duration(f"text_step_{key}_plain_seconds", f"77 positions a class: {what}", timed["plain"]),
        duration(f"text_step_{key}_packed_seconds", f"packed: {what}", timed["packed"]),
        ratio(f"text_step_{key}_ratio", "packed is faster by", timed["plain"], timed["packed"], aim),
        counted(f"text_step_{key}_largest_difference", "largest difference of the gradients", difference, "", "≤ 1e-5"),
        counted(f"text_step_{key}_largest_gradient", "where the largest gradient is", largest),
        counted(f"text_step_{key}_percent_of_matmul_rate", "of the rate of a bare matrix product", share, "%"),
    ]


SEEDS = 3
"""Replicas in one step, as sweeps train the seeds of a cell."""

MOST_PLAIN = 200
"""Classes up to which the plain step of a list is timed; it keeps about 30 MB a class."""


def class_lists(run: Run) -> list[Row]:
    """Real class lists, one seed alone and several in one step, both against as many plain steps on the same list.

    The plain steps of lists too long for it are scaled from the longest one timed: their cost is C x 77 positions.
    """
    backbone, shapes = main_backbone(run), real_class_shapes()
    seconds: dict[str, dict[str, list[float]]] = {"plain": {}, "one": {}, "several": {}}
    for name, names in shapes.items():
        one, several = Problem(backbone, names), Problem(backbone, names, replicas=SEEDS)
        variants = {"one": one.text_gradient, "several": several.text_gradient}
        if len(names) <= MOST_PLAIN:
            variants["plain"] = one.plain_text_gradient
        for variant, turns in run.side_by_side(variants).items():
            seconds[variant][name] = [s / SEEDS if variant == "several" else s for s in turns]
    longest = max(seconds["plain"], key=lambda name: len(shapes[name]))
    for name in shapes.keys() - seconds["plain"].keys():
        scale = len(shapes[name]) / len(shapes[longest])
        seconds["plain"][name] = [s * scale for s in seconds["plain"][longest]]
    rows = []
    for which, key, title in (("one", "", "one seed"), ("several", f"_{SEEDS}_seeds", f"{SEEDS} seeds in a step")):
        ratios = [
            ratio(
                f"text_step_ratio_{name}{key}",
                f"{title}: {name}, {len(names)} classes",
                seconds["plain"][name],
                seconds[which][name],
            )
            for name, names in shapes.items()
        ]
        mean = statistics.fmean(row.value for row in ratios)
        together = [[sum(turn) for turn in zip(*seconds[of].values(), strict=True)] for of in ("plain", which)]
        rows += [
            *ratios,
            counted(f"text_step_ratio_mean_of_eleven{key}", f"{title}: mean of eleven", mean, "×", "≥ 20×"),
            ratio(f"text_step_ratio_of_eleven_together{key}", f"{title}: seconds of all eleven", *together, "≥ 20×"),
        ]
    return rows


def positions(run: Run) -> list[Row]:
    """Where less can be shared: names in the middle or in front, and contexts of each class's own."""
    backbone, names = main_backbone(run), hundred_classes()
    variants = {
        "end": Problem(backbone, names),
        "middle": Problem(backbone, names, position="middle"),
        "front": Problem(backbone, names, position="front"),
        "class_specific": Problem(backbone, names, class_specific=True),
    }
    timed = run.side_by_side(
        {"plain": variants["end"].plain_text_gradient} | {k: problem.text_gradient for k, problem in variants.items()}
    )
    titles = {"middle": "name in the middle", "front": "name in front", "class_specific": "a context for each class"}
    return [ratio(f"text_step_ratio_{k}", title, timed["plain"], timed[k]) for k, title in titles.items()]
