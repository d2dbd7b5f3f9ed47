"""Recorded cells in few words."""

import pandas as pd

from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean

DATASETS = ("mini-pets", "mini-cars")
SEEDS = (1, 2, 3)
ONE_DRAW = "n = 1: one draw serves all seeds, so nothing is known of its spread (mini-pets)"


def cell(trial: str, dataset: str, seed: int, accuracy: float | None, **more: object) -> dict[str, object]:
    row = {"trial": trial, "kind": "baseline", "dataset": dataset, "protocol": "few-shot", "shots": 16, "seed": seed}
    return {**row, "status": "FINISHED", TEST_ACCURACY: accuracy, **more}


def halves_of(trial: str, dataset: str, seed: int, base: float, new: float, **more: object) -> dict[str, object]:
    values = {BASE_ACCURACY: base, NEW_ACCURACY: new, HARMONIC_MEAN: harmonic_mean(base, new)}
    return cell(trial, dataset, seed, None, protocol="base-to-new", **values, **more)


def on_one_draw(*datasets: str) -> pd.DataFrame:
    """Three seeds of two methods; on some datasets all of them on the same images."""
    rows = []
    for method, first in (("coop", 60.0), ("plot", 62.0)):
        for dataset in DATASETS:
            samples = [dataset if dataset in datasets else f"{dataset} {seed}" for seed in SEEDS]
            drawn = zip(SEEDS, samples, strict=True)
            rows += [cell(method, dataset, seed, first + seed / 10, sample=sample) for seed, sample in drawn]
    rows += [cell("zero-shot", dataset, 0, 30.0, shots=0, sample=None) for dataset in DATASETS]
    return pd.DataFrame(rows)
