"""The command line of a claim asks for the very cells that are on record."""

import shlex
from dataclasses import replace

import pytest

from dualpt.core.cell import Cell
from dualpt.core.config.activity import active_values
from dualpt.core.data.protocols import targets_of
from dualpt.core.presets import METHODS, method_setting
from dualpt.sweeps.claiming.commands import notes, training_command
from dualpt.sweeps.ledger.contents import cell_params
from dualpt.sweeps.records import WEIGHTS_TAG, CellRow, KeyedCell
from dualpt.sweeps.tools.train import cells_of

DATASETS, SEEDS = ("mini-pets", "mini-cars"), (1, 2)


def row(cell: Cell) -> CellRow:
    params = cell_params(KeyedCell(cell, "k").cell)
    place = {"dataset": cell.dataset, "protocol": cell.protocol, "shots": cell.shots, "seed": cell.seed}
    identity = {"run_id": "r", "trial_run_id": "t", "key": "k", "trial": "mine", "kind": "baseline"}
    return CellRow(**identity, **place, status="FINISHED", metrics={}, params=params, seconds=0.0, recorded_ms=0)


def asked_for(command: str) -> list[Cell]:
    """The cells of the loop, as `dualpt train` makes them of its words."""
    head, body, _ = command.split("; ")
    words = shlex.split(body.removeprefix("do dualpt train "))
    options = {word: words[place + 1] for place, word in enumerate(words) if word.startswith("--")}
    overrides = [word for word in words if "=" in word]
    return [
        cell
        for dataset in shlex.split(head.removeprefix("for dataset in "))
        for cell in cells_of(
            dataset,
            int(options["--shots"]) if "--shots" in options else None,
            options.get("--seeds", "1"),
            "dualpt",
            options.get("--protocol", "few-shot"),
            options.get("--targets"),
            overrides,
            options.get("--selection"),
        )
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_published_method_comes_out_again(method: str) -> None:
    setting = method_setting(method)
    cells = [
        Cell(setting, dataset, "few-shot", 16 if setting.trains else 0, seed)
        for dataset in DATASETS
        for seed in (SEEDS if setting.trains else (0,))
    ]
    found = asked_for(training_command(list(map(row, cells))))
    assert [(c.dataset, c.shots, c.seed) for c in found] == [(c.dataset, c.shots, c.seed) for c in cells]
    assert [active_values(c.setting) for c in found] == [active_values(c.setting) for c in cells]


def test_targets_are_those_of_every_source() -> None:
    setting = method_setting("coop", protocol="cross-dataset")
    cells = [
        Cell(
            setting, d, "cross-dataset", 4, 1, targets_of("cross-dataset", d, ["mini-pets", "mini-cars", "mini-tiles"])
        )
        for d in DATASETS
    ]
    found = asked_for(training_command(list(map(row, cells))))
    assert [set(cell.targets) for cell in found] == [set(cell.targets) for cell in cells]
    assert {cell.protocol for cell in found} == {"cross-dataset"}


def test_selections_come_out_again() -> None:
    cells = [Cell(method_setting("coop"), "mini-pets", "few-shot", 4, 1, selection="support-cv")]
    assert asked_for(training_command(list(map(row, cells)))) == cells


def test_what_the_command_leaves_to_the_reader_is_said() -> None:
    real = row(Cell(method_setting("coop"), "OxfordPets", "few-shot", 4, 1))
    assert notes([real]) == ["real datasets need data.root=FOLDER as well"]
    assert notes([row(Cell(method_setting("coop"), "mini-pets", "few-shot", 4, 1))]) == []


def test_imported_features_are_asked_for_in_place_of_images() -> None:
    cell = row(Cell(method_setting("nearest-mean"), "OxfordPets", "few-shot", 4, 1))
    imported = replace(cell, origin={WEIGHTS_TAG: "imported 80de"})
    assert training_command([imported]).endswith("data.features=FOLDER; done")
    assert notes([imported]) == ["FOLDER is where the imported features lie: dualpt features ls lists it"]
    assert "data.features" not in training_command([cell])
