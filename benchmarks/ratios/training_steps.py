"""Whole training steps: against CoOp's, with local alignment, and with several replicas."""

from typing import get_args

import torch

from benchmarks.class_shapes import real_class_shapes
from benchmarks.measuring import Row, Run, ratio
from benchmarks.problems import BATCH, Problem
from benchmarks.ratios.text_steps import hundred_classes, main_backbone
from dualpt.core.clip.backbone import load_backbone
from dualpt.core.config.sections import LocalForm

FORMS: tuple[LocalForm, ...] = get_args(LocalForm)


def training_step(run: Run) -> list[Row]:
    backbone = main_backbone(run)
    problem = Problem(backbone, hundred_classes())
    pixels = torch.randn(BATCH, 3, *backbone.image_size)
    timed = run.side_by_side(
        {"plain": lambda: problem.plain_coop_step(backbone, pixels), "ours": problem.take_step},
    )
    title = f"{backbone.name}, batch {BATCH}, C = 100: CoOp's step against ours, features stored"
    return [ratio("training_step_ratio", title, timed["plain"], timed["ours"], "≥ 20×, aim 30×")]


def local_alignment(run: Run) -> list[Row]:
    """With N = 4, C = 100 and all patches, against the same step with global features alone."""
    backbone, names = main_backbone(run), hundred_classes()
    problems = {form: Problem(backbone, names, n_prompts=4, local_form=form) for form in FORMS}
    alone = Problem(backbone, names, n_prompts=4)
    timed = run.side_by_side({"global": alone.take_step} | {f: problem.take_step for f, problem in problems.items()})
    return [
        ratio(f"local_alignment_{form}_ratio", f"step with local form `{form}`", timed[form], timed["global"], "≤ 2×")
        for form in FORMS
    ]


def replicas(run: Run) -> list[Row]:
    """Time of R solo steps against one step of R replicas: 1 is break-even."""
    shapes = real_class_shapes()
    cases = [("mini-clip", "OxfordPets", 2, "attention")]
    if not run.quick:
        cases.append(("ViT-B-16", "DescribableTextures", 1, None))
    rows = []
    for backbone_name, classes, n_prompts, form in cases:
        backbone, names = load_backbone(backbone_name, "random"), shapes[classes]
        problems = {
            r: Problem(backbone, names, replicas=r, n_prompts=n_prompts, local_form=form)  # type: ignore[arg-type]
            for r in (1, 3, 15)
        }
        timed = run.side_by_side({str(r): problem.take_step for r, problem in problems.items()})
        for r in (3, 15):
            key = f"replicas_{backbone_name.replace('-', '_').lower()}_{r}_speedup_per_replica"
            title = f"{r} replicas, {backbone_name}, {len(names)} classes: each is faster than alone by"
            rows.append(ratio(key, title, [r * s for s in timed["1"]], timed[str(r)], "≥ 1×"))
    return rows
