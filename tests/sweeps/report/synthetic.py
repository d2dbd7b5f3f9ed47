"""Cells of a sweep that nobody ran, as many as are asked for: numbers follow from the cell."""

from collections.abc import Sequence
from functools import cache

from dualpt.core.config.activity import active_values
from dualpt.core.data.catalog import MINI_GRID
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.method_catalog import CATALOGUE
from dualpt.core.presets import METHODS, method_setting
from dualpt.sweeps import records
from dualpt.sweeps.records import CellRow, SweepRow

SWEEP = SweepRow("0" * 32, "synthetic", "A sweep of <b>5,000</b> cells.", "FAILED", "trial-003", "71.20")
SHOTS, SEEDS = (1, 4, 16), (1, 2, 3)


def cells(count: int) -> list[CellRow]:
    """Baselines over the eleven mini datasets, then candidates judged on 33 cells each; one cell in 97 has failed."""
    rows = [
        _row(name, "baseline", dataset, shots, seed)
        for name in (name for name in METHODS if name not in CATALOGUE)
        for dataset in MINI_GRID
        for shots, seed in ([(0, 0)] if name.startswith("zero") else [(k, s) for k in SHOTS for s in SEEDS])
    ]
    rows += [_row("best", "best", dataset, k, s) for dataset in MINI_GRID for k in SHOTS for s in SEEDS]
    trial = 0
    while len(rows) < count:
        trial += 1
        rows += [_row(f"trial-{trial:03d}", "search", d, k, 1) for d in MINI_GRID for k in SHOTS]
    return rows[:count]


def loss_curves(run_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """Falling losses over 100 epochs, as many points as a run records."""
    return {run: [(epoch, 2.0 / epoch + int(run[:2], 16) / 1000) for epoch in range(1, 101)] for run in run_ids}


@cache
def _values(method: str) -> dict[str, str]:
    return {key: str(value) for key, value in active_values(method_setting(method)).items()}


def _row(trial: str, kind: str, dataset: str, shots: int, seed: int) -> CellRow:
    name = fingerprint([trial, dataset, shots, seed])
    chance = int(name[:4], 16)
    params = _values(trial if kind == "baseline" else "dualpt")
    if kind != "baseline":
        params = params | {"alignment.llm_weight": str(round(0.1 + int(fingerprint(trial)[:4], 16) / 6553, 3))}
    failed = chance % 97 == 0
    metrics = {} if failed else {"test/accuracy": 60 + 4 * shots**0.5 + chance % 500 / 100, "train/seconds": 0.4}
    if shots and not failed:
        metrics["val/accuracy"] = metrics["test/accuracy"] + 2
    return CellRow(
        run_id=name[:32],
        trial_run_id=fingerprint(trial)[:32],
        key=name,
        trial=trial,
        kind=kind,
        dataset=dataset,
        protocol="few-shot",
        shots=shots,
        seed=seed,
        status="FAILED" if failed else "FINISHED",
        metrics=metrics,
        params=params,
        seconds=0.2 + chance / 65536,
        recorded_ms=chance,
        failure="the loss became nan in epoch 3; </script><script>alert(1)</script>" if failed else None,
        origin={records.SAMPLE_TAG: fingerprint([dataset, shots, seed]), records.SOFTWARE_TAG: "dualpt 0.1.0"}
        if shots
        else {records.SOFTWARE_TAG: "dualpt 0.1.0"},
    )
