"""The table of docs/protocols.md, made of cells whose numbers are known."""

import pandas as pd
import pytest

from benchmarks import four_selections
from dualpt.core.results import TEST_ACCURACY, VAL_ACCURACY

CANDIDATES = {"trial-001": (70.0, 60.0), "trial-002": (65.0, 64.0)}
"""Validation and test accuracy of each: validation selects what isn't best on test."""


def frame(sweep: str, stores: list[str]) -> pd.DataFrame:
    """A sweep over two datasets and seeds: two candidates and the selected one, or the method as it is published."""
    searched = [
        *((name, "search", *CANDIDATES[name]) for name in CANDIDATES),
        ("best", "best", *CANDIDATES["trial-001"]),
    ]
    fixed = [("least-squares", "baseline", 50.0, 61.5)]
    rows = [
        {
            "sweep": sweep,
            "trial": trial,
            "kind": kind,
            "dataset": dataset,
            "protocol": "few-shot",
            "shots": 4,
            "seed": seed,
            "status": "FINISHED",
            "key": f"{'trial-001' if trial == 'best' else trial} {dataset} {seed}",
            VAL_ACCURACY: val,
            TEST_ACCURACY: test,
        }
        for trial, kind, val, test in (fixed if sweep == "study-none" else searched)
        for dataset in ("mini-pets", "mini-cars")
        for seed in (1, 2)
    ]
    return pd.DataFrame(rows)


def test_a_row_is_what_was_selected_beside_its_oracle_and_none_is_the_published_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(four_selections, "frame_of", frame)
    monkeypatch.setattr("sys.argv", ["four_selections", "sqlite:///somewhere.db"])
    four_selections.main()
    lines = capsys.readouterr().out.splitlines()
    gaps = " | ".join(["60.0 ± 0.0", "64.0 ± 0.0", "+4.0 ± 0.0"] * 2)
    assert lines[2:6] == [
        f"| `validation` | {gaps} |",
        f"| `support-holdout` | {gaps} |",
        f"| `support-cv` | {gaps} |",
        "| `none` | 61.5 ± 0.0 |  |  |  |  |  |",
    ]
    assert lines[-1] == "Least-squares probe 61.5 ± 0.0"
