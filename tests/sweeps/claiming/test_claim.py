"""A claim says what its cells say, names everything it stands on, and is refused where a cell is missing."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dualpt.core.config.activity import active_values
from dualpt.core.data.catalog import MINI_GRID
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.presets import method_setting
from dualpt.core.results import TEST_ACCURACY, VAL_ACCURACY
from dualpt.sweeps import records
from dualpt.sweeps.claiming import claim as claiming
from dualpt.sweeps.claiming.claim import ClaimPage, claim_of, make_claim
from dualpt.sweeps.claiming.page import to_markdown
from dualpt.sweeps.planning.search_record import SearchRecord
from dualpt.sweeps.records import CellRow, SweepRow

SEEDS = (1, 2, 3)
COOP = {key: str(value) for key, value in active_values(method_setting("coop")).items()}
RANDOM = SearchRecord(samplers=["random"], racing=["none"]).model_dump_json()
SWEEP = SweepRow("0" * 32, "mine", "A sweep.", "FINISHED", "trial-002", "80.0", search=RANDOM)


def row(trial: str, kind: str, dataset: str, seed: int, test: float, val: float, key: str = "") -> CellRow:
    number = fingerprint([trial, dataset, seed])
    return CellRow(
        run_id=number[:32],
        trial_run_id=fingerprint(trial)[:32],
        key=key or number,
        trial=trial,
        kind=kind,
        dataset=dataset,
        protocol="few-shot",
        shots=4,
        seed=seed,
        status="FINISHED",
        metrics={TEST_ACCURACY: test, VAL_ACCURACY: val},
        params=COOP,
        seconds=1.0,
        recorded_ms=int(number[:4], 16),
        origin={records.SAMPLE_TAG: fingerprint([dataset, seed]), records.SOFTWARE_TAG: "dualpt 0.1.0"},
    )


def cells(worth: float = 8.0) -> list[CellRow]:
    """CoOp and PLOT, two candidates, and the second of them selected, better than CoOp by `worth` points."""
    random, rows = np.random.default_rng(1), []
    for dataset in MINI_GRID:
        for seed in SEEDS:
            base = 60 + random.normal()
            rows += [row(name, "baseline", dataset, seed, base, 60.0) for name in ("coop", "plot")]
            rows += [row("trial-001", "search", dataset, seed, base + 1, 70.0)]
            test = base + worth + random.normal() / 10
            rows += [row("trial-002", "search", dataset, seed, test, 80.0, key=f"{dataset} {seed}")]
            rows += [row("best", "best", dataset, seed, test, 80.0, key=f"{dataset} {seed}")]
    return rows


def page(rows: list[CellRow] | None = None, sweep: SweepRow = SWEEP, **words: str) -> ClaimPage:
    return claim_of(cells() if rows is None else rows, sweep, **words)  # type: ignore[arg-type]


def test_it_says_what_the_cells_say_and_what_it_stands_on() -> None:
    found = page()
    assert found.verdict == "yes"
    assert re.match(r"best of the sweep is above CoOp by 8\.\d points on average over datasets", found.sentence)
    assert found.result.difference == pytest.approx(8.0, abs=0.2)
    assert found.searched is not None
    assert (found.searched.candidates, found.searched.samplers) == (2, ("random",))
    assert found.searched.validation_accuracy == 80.0
    assert found.searched.rests_on == "highest of 2 candidates; mean of 33 cells, standard error 0.0"
    assert "standard error 0.0: a maximum, and so likely too high" in to_markdown(found)
    assert len(found.draws) == 33
    expected = {"dataset": "mini-pets", "shots": 4, "seed": 2, "fingerprint": fingerprint(["mini-pets", 2])}
    assert expected in found.draws
    assert found.computed_with["software"] == {"dualpt 0.1.0": 66}
    assert found.selection.startswith("validation: up to 4")
    assert found.commands[-1] == "dualpt compare mine --baseline coop --shots 4 --protocol few-shot"
    assert any("selects again under every pattern" in word for word in found.reservations)
    assert any("drawn images and a tiny CLIP" in word for word in found.reservations)


def test_nothing_is_claimed_where_nothing_is_to_be() -> None:
    found = page(cells(worth=0.0))
    assert found.verdict == "no"
    assert to_markdown(found).startswith("# Not claimed: best of the sweep cannot be told from CoOp")


def test_a_declared_method_was_not_searched() -> None:
    found = page(method="PLOT")
    assert found.searched is None
    assert "declared, not selected" in to_markdown(found)
    assert found.verdict == "no"


def test_the_page_holds_every_part_and_escapes_names() -> None:
    text = to_markdown(replace(page(), sweep="a|b"))
    for head in ("Result", "What was searched", "What must be said", "Settings", "Draws", "Computed", "To compute"):
        assert f"\n## {head}" in text
    assert "from sweep a\\|b" in text
    assert "prompt.context\\_length" in text
    assert text.count("prompt.context\\_length") == 1


def test_the_document_is_json_with_values_unrounded() -> None:
    found = page()
    document = json.loads(found.document())
    assert document["result"]["difference"] == found.result.difference
    assert document["method"]["by_dataset"]["mini-pets"]["n"] == 3


def without(*places: tuple[str, str, int]) -> list[CellRow]:
    return [one for one in cells() if (one.trial, one.dataset, one.seed) not in places]


def redrawn(rows: list[CellRow]) -> list[CellRow]:
    return [replace(one, origin={records.SAMPLE_TAG: "f" * 64}) if one.trial == "best" else one for one in rows]


FAULTS: dict[str, tuple[Callable[[], ClaimPage], str]] = {
    "a missing cell": (
        lambda: page(without(("coop", "mini-pets", 2))),
        "CoOp lacks test/accuracy at 4 shots for mini-pets seed 2: a claim needs every cell",
    ),
    "many": (
        lambda: page(without(*(("best", name, 1) for name in MINI_GRID[:5]))),
        "seed 1 and 2 more: a claim needs every cell",
    ),
    "a failed cell": (
        lambda: page([replace(one, status="FAILED") if one.trial == "coop" else one for one in cells()]),
        "CoOp lacks test/accuracy at 4 shots for mini-objects seed 1",
    ),
    "unfinished": (lambda: page(sweep=replace(SWEEP, status="KILLED")), "sweep 'mine' is unfinished (killed)"),
    "other draws": (lambda: page(redrawn(cells())), "has two draws"),
    "no baseline": (
        lambda: page([one for one in cells() if one.trial != "coop"]),
        "--baseline: the sweep has no CoOp; name another (there are: PLOT, best of the sweep)",
    ),
    "nothing selected": (
        lambda: page([one for one in cells() if one.kind == "baseline"]),
        "--method: name whose claim it is (there are: CoOp, PLOT)",
    ),
    "itself": (lambda: page(method="coop"), "--baseline: CoOp would be compared with itself"),
    "unknown": (lambda: page(method="plott"), "--method: no method 'plott' in this table"),
    "other metric": (lambda: page(metric="test/nll"), "lacks test/nll at 4 shots"),
}


@pytest.mark.parametrize(("refused", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(refused: Callable[[], ClaimPage], said: str) -> None:
    with pytest.raises(UserError) as fault:
        refused()
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


class Reader:
    def read_cells(self, name: str) -> list[CellRow]:
        return cells()

    def read_sweep(self, name: str) -> SweepRow:
        return SWEEP


def test_a_dash_is_stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claiming, "open_reader", lambda _: Reader())
    words = dict.fromkeys(("method", "baseline", "shots", "metric", "protocol"))
    make_claim(Console(quiet=True), "mine", **words, output=Path("-"), as_json=False, store="none")  # type: ignore[arg-type]
    assert capsys.readouterr().out.startswith("# Claimed: best of the sweep is above CoOp")
    assert list(tmp_path.iterdir()) == []


def test_both_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "open_reader", lambda _: Reader())
    words = dict.fromkeys(("method", "baseline", "shots", "metric", "protocol"))
    make_claim(Console(quiet=True), "mine", **words, output=tmp_path / "claim.md", as_json=False, store="none")  # type: ignore[arg-type]
    assert (tmp_path / "claim.md").read_text().startswith("# Claimed: best of the sweep is above CoOp")
    assert json.loads((tmp_path / "claim.json").read_text())["verdict"] == "yes"
    with pytest.raises(UserError, match=r"--output: .* cannot be written"):
        make_claim(Console(), "mine", **words, output=Path("/proc/claim.md"), as_json=False, store="none")  # type: ignore[arg-type]


def test_seeds_that_share_one_draw_are_one_draw() -> None:
    """As on imported features of a single draw: three equal numbers are one, and say nothing of another draw."""
    weights = {records.WEIGHTS_TAG: "imported abc"}
    rows = [
        replace(one, origin={records.SAMPLE_TAG: fingerprint(one.dataset), **weights}, metrics={TEST_ACCURACY: test})
        for one in cells()
        if one.kind == "baseline" and one.dataset in MINI_GRID[:2]
        for test in [60.0 if one.trial == "coop" else 61.0]
    ]
    found = page(rows, method="plot")
    assert found.n == "2 datasets × 1 draw, which all 3 seeds share"
    assert found.method.by_dataset[MINI_GRID[0]].spread is None
    text = to_markdown(found)
    assert "| n | 2 datasets × 1 draw, which all 3 seeds share |" in text
    assert f"| {MINI_GRID[0]} | 61.0 | 60.0 |" in text
    assert "over seeds; n = 1 and 1." in text
    assert any(line.startswith("one draw serves all seeds (") and MINI_GRID[0] in line for line in found.reservations)
    assert "data.features=FOLDER; done" in found.commands[0]
    assert page(method="plot").n == "11 datasets × 3 seeds"


def test_a_command_of_the_launch_can_be_copied() -> None:
    launch = {"command": "dualpt sweep a_b 'shots=[4,16]'", "user": "a_b", "sampler": ""}
    text = to_markdown(replace(page(), launch=launch))
    section = text.split("## Latest launch of the sweep\n\n")[1]
    assert section.startswith(
        "| what | value |\n|---|---|\n| command | `dualpt sweep a_b 'shots=[4,16]'` |\n| user | a\\_b |\n\n"
    )
    assert "Earlier launches may have trained some of the cells" in section


def test_a_launch_that_is_not_on_record_is_said() -> None:
    assert "## Latest launch of the sweep\n\nNothing is on record of it.\n\n" in to_markdown(replace(page(), launch={}))
