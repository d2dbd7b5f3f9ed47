"""`dualpt compare` on cells made by hand: each fault is one line, before anything is printed or written."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.results import (
    BASE_ACCURACY,
    HARMONIC_MEAN,
    NEW_ACCURACY,
    TARGET_MEAN,
    TEST_ACCURACY,
    VAL_ACCURACY,
    harmonic_mean,
)
from dualpt.sweeps.comparison import compare as comparing
from dualpt.sweeps.comparison.figures import style

DATASETS = ("mini-pets", "mini-cars")


def cell(trial: str, dataset: str, seed: int, shots: int, protocol: str = "few-shot", **more: Any) -> dict[str, Any]:
    row = {"trial": trial, "kind": "baseline", "dataset": dataset, "protocol": protocol, "shots": shots, "seed": seed}
    return {"sweep": "mine", **row, "status": "FINISHED", "key": repr((*row.values(),)), **more}


ZERO_SHOT = [cell("zero-shot", dataset, 0, 0, **{TEST_ACCURACY: 50.0}) for dataset in DATASETS]
FEW_SHOT = ZERO_SHOT + [
    cell("coop", dataset, seed, shots, **{TEST_ACCURACY: 60.0 + seed + shots})
    for dataset in DATASETS
    for seed in (1, 2)
    for shots in (1, 4)
]
BASE_TO_NEW = [
    cell("coop", dataset, seed, 16, "base-to-new", **dict(zip(comparing.HALVES, values, strict=True)))
    for dataset, base, new in (("mini-pets", 80.0, 40.0), ("mini-cars", 60.0, 60.0))
    for seed in (1, 2)
    for values in [(base + seed, new, harmonic_mean(base + seed, new))]
]


def compare(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], **options: Any) -> str:
    """What is printed on a console, besides what goes to standard output."""
    monkeypatch.setattr(comparing, "read_frame", lambda *_: pd.DataFrame(rows))
    console = Console(file=io.StringIO(), width=200)
    comparing.compare_sweeps(console, ["mine"], store="none", **options)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


FAULTS = {
    "no cells yet": ([], {}, "has no cell of a baseline or of its selected setting yet"),
    "nothing to draw": (ZERO_SHOT, {"figure": "curves.png"}, "no trained method has a finished"),
    "suffix": (FEW_SHOT, {"figure": "curves.gif"}, r"written as \.png, \.pdf or \.svg"),
    "folder": (FEW_SHOT, {"figure": "/proc/none/curves.png"}, "--figure: /proc/none/curves.png cannot be written"),
    "shots": (FEW_SHOT, {"shots": 3}, r"no finished cell has test/accuracy at 3 shots \(finished shots: \[1, 4\]\)"),
    "two protocols": (FEW_SHOT + BASE_TO_NEW, {}, "holds cells of base-to-new and few-shot: choose one with --proto"),
    "unknown protocol": (FEW_SHOT, {"protocol": "base"}, "--protocol: unknown protocol 'base'"),
    "absent protocol": (FEW_SHOT, {"protocol": "base-to-new"}, r"no cell of base-to-new \(recorded: few-shot\)"),
}


@pytest.mark.parametrize(("rows", "options", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line_before_anything_is_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rows: list[dict[str, Any]],
    options: dict[str, Any],
    said: str,
) -> None:
    if "figure" in options:
        options = {**options, "figure": tmp_path / options["figure"]}
    for form in ("table", "csv"):
        with pytest.raises(UserError, match=said) as fault:
            compare(monkeypatch, rows, form=form, **options)
        assert "\n" not in str(fault.value)
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_largest_finished_shots_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished = [cell("coop", "mini-pets", 1, 16, status="RUNNING")]
    assert "test/accuracy at 4 shots" in compare(monkeypatch, FEW_SHOT + unfinished)
    assert "test/accuracy at 0 shots" in compare(monkeypatch, ZERO_SHOT)


def test_protocol_chooses_among_cells_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    both = FEW_SHOT + BASE_TO_NEW
    assert "test/accuracy at 4 shots" in compare(monkeypatch, both, protocol="few-shot")
    assert "harmonic_mean at 16 shots" in compare(monkeypatch, both, protocol="base-to-new")


def test_transfer_shows_source_targets_and_their_mean_or_one_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        cell(trial, "ImageNet", seed, shots, "cross-dataset", **metrics)
        for trial, shots, seeds in (("zero-shot", 0, (0,)), ("coop", 16, (1, 2)))
        for seed in seeds
        for metrics in [{"test/accuracy": 70.0, "target/UCF101/accuracy": 40.0 + seed, TARGET_MEAN: 60.0 + seed}]
    ]
    printed = compare(monkeypatch, rows)
    assert "trained on ImageNet at 16 shots" in printed
    assert all(number in printed for number in ("70.0", "41.5", "61.5"))
    for metric, number in (("target/UCF101/accuracy", "41.5"), (TARGET_MEAN, "61.5"), (TEST_ACCURACY, "70.0")):
        printed = compare(monkeypatch, rows, metric=metric)
        assert f"{metric} at 16 shots" in printed
        assert number in printed
    with pytest.raises(UserError, match="no finished cell has target/EuroSAT/accuracy"):
        compare(monkeypatch, rows, metric="target/EuroSAT/accuracy")


def test_base_to_new_writes_base_new_and_h(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    compare(monkeypatch, BASE_TO_NEW, form="csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    averages = {row["metric"]: float(row["mean"]) for row in rows if row["key"] == "average"}
    expected = (harmonic_mean(71, 50) + harmonic_mean(72, 50)) / 2
    assert averages == pytest.approx({BASE_ACCURACY: 71.5, NEW_ACCURACY: 50.0, HARMONIC_MEAN: expected})
    of_datasets = sum(harmonic_mean(base + s, new) for base, new in ((80, 40), (60, 60)) for s in (1, 2)) / 4
    summary = {row["column"]: float(row["mean"]) for row in rows if row["table"].startswith("base-to-new")}
    assert summary == pytest.approx({"base": 71.5, "new": 50.0, "H": expected, "mean of H": of_datasets})
    compare(monkeypatch, BASE_TO_NEW, form="json")
    tables = {table["title"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    assert list(tables) == [*(f"{metric} at 16 shots" for metric in comparing.HALVES[::-1]), "base-to-new at 16 shots"]
    notes = tables["base-to-new at 16 shots"]["notes"]
    assert any("of the averaged base and new accuracies" in note for note in notes)


def test_base_to_new_curves_show_the_harmonic_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = []
    save = style.save
    monkeypatch.setattr(style, "save", lambda figure, *to: (labels.append(figure.get_supylabel()), save(figure, *to)))
    compare(monkeypatch, BASE_TO_NEW, figure=tmp_path / "new" / "curves.png")
    assert labels == ["harmonic mean of base and new accuracy (%)"]
    assert (tmp_path / "new" / "curves.png").stat().st_size > 10_000


def test_the_oracle_gap_is_a_table_of_its_own_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [
        cell(
            trial,
            dataset,
            seed,
            4,
            kind=kind,
            key=f"{own} {dataset} {seed}",
            **{TEST_ACCURACY: test, VAL_ACCURACY: val},
        )
        for trial, kind, own, test, val in [
            ("trial-001", "search", 1, 70.0, 90.0),
            ("trial-002", "search", 2, 75.0, 80.0),
            ("best", "best", 1, 70.0, 90.0),
        ]
        for dataset in DATASETS
        for seed in (1, 2)
    ]
    without = compare(monkeypatch, FEW_SHOT + candidates, shots=4)
    shown = compare(monkeypatch, FEW_SHOT + candidates, shots=4, oracle=True)
    assert "oracle" not in without
    assert shown.startswith(without)
    assert "70.0 ± 0.0" in shown[len(without) :]
    assert "+5.0 ± 0.0" in shown[len(without) :]
    with pytest.raises(UserError, match="--oracle: sweep 'mine' searched nothing"):
        compare(monkeypatch, FEW_SHOT, oracle=True)


def test_every_table_says_how_settings_were_selected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = [{**one, "selection": "validation" if one["shots"] else None} for one in FEW_SHOT]
    compare(monkeypatch, usual, form="json")
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert any(note.startswith("selection validation: up to 4") for note in table["notes"])
    assert "validation" not in table["title"]
    held = [{**one, "selection": "support-holdout" if one["shots"] else None} for one in FEW_SHOT]
    compare(monkeypatch, held, form="json", all_shots=True, baseline="zero-shot")
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert len(tables) > 3
    assert all(one["title"].endswith("; support-holdout") for one in tables)
