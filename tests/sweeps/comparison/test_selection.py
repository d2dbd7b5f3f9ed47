"""Several sweeps in one table: the same grid or none, namesakes told apart, shared cells shown once."""

import json
from typing import Any

import pandas as pd
import pytest

from dualpt.core.errors import UserError
from dualpt.core.results import TEST_ACCURACY
from dualpt.sweeps.comparison.compare import comparison_tables
from dualpt.sweeps.comparison.frames import cells_frame
from dualpt.sweeps.comparison.published import BACKBONE_PARAMS, published_for
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.planning.declared import MissingCell


def sweep(
    trials: tuple[str, ...] = ("coop", "best"),
    datasets: tuple[str, ...] = ("mini-pets", "mini-cars"),
    shots: tuple[int, ...] = (4,),
    seeds: tuple[int, ...] = (1, 2),
    **more: Any,
) -> pd.DataFrame:
    rows = [
        {"trial": trial, "kind": "baseline", "dataset": dataset, "protocol": "few-shot", "shots": k, "seed": seed}
        | {"status": "FINISHED", "key": f"{trial} {dataset} {k} {seed}", TEST_ACCURACY: 50.0, **more}
        for trial in trials
        for dataset in datasets
        for k in shots
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def test_shared_cells_stand_once_and_namesakes_are_told_apart() -> None:
    other = sweep()
    other.loc[other["trial"] == "best", "key"] += " otherwise"
    selection = select({"first": sweep(), "second": other})
    assert list(dict.fromkeys(selection.cells["trial"])) == ["coop", "best [first]", "best [second]"]
    assert len(selection.cells) == 3 * 4


REFUSED = [
    (
        {"datasets": ("mini-pets", "mini-dishes")},
        "differ in datasets: only 'a' has mini-cars; only 'b' has mini-dishes",
    ),
    ({"shots": (4, 16)}, "differ in shots: only 'b' has 16"),
    ({"seeds": (1,)}, "differ in seeds: only 'a' has 2"),
    ({"protocol": "base-to-new"}, "differ in protocol"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said[:22] for _, said in REFUSED])
def test_sweeps_of_different_grids_are_refused_with_what_differs(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        select({"a": sweep(), "b": sweep(("plot",), **changes)})


def test_common_compares_on_what_all_cover() -> None:
    other = sweep(("plot",), ("mini-cars", "mini-dishes"), (4, 16), (1, 2, 3))
    selection = select({"a": sweep(), "b": other}, common=True)
    assert (selection.datasets, selection.shots, selection.seeds) == (("mini-cars",), (4,), (1, 2))
    assert set(selection.cells["trial"]) == {"coop", "best", "plot"}
    with pytest.raises(UserError, match="--common: the sweeps share no seeds"):
        select({"a": sweep(), "b": sweep(("plot",), seeds=(7,))}, common=True)


def test_zero_shot_cells_stand_in_every_common_grid() -> None:
    zero = sweep(("zero-shot",), shots=(0,), seeds=(0,))
    selection = select({"a": pd.concat([sweep(), zero]), "b": sweep(("plot",), seeds=(1, 2, 3))}, common=True)
    assert "zero-shot" in set(selection.cells["trial"])


def test_unfinished_sweeps_are_shown_as_such() -> None:
    cells = sweep()
    cells.loc[0, "status"], cells.loc[1, "status"] = "RUNNING", "FAILED"
    assert select({"mine": cells}).remarks == ("sweep 'mine' is unfinished: cells 1 running, 1 failed",)
    assert select({"mine": sweep()}).remarks == ()


def test_sweeps_that_select_by_different_images_are_not_mixed_unless_asked() -> None:
    first, second = sweep(selection="validation"), sweep(("plot",), selection="support-cv")
    with pytest.raises(
        UserError, match=r"differ in selection .'a' has validation, 'b' has support-cv.*--mix-selections"
    ):
        select({"a": first, "b": second})
    assert select({"a": first, "b": second}, mix_selections=True).rules == ("support-cv", "validation")


def test_a_fixed_recipe_stands_beside_what_was_selected() -> None:
    cells = pd.concat([sweep(selection="none"), sweep(("plot",), selection="support-holdout")])
    zero = sweep(("zero-shot",), shots=(0,), seeds=(0,), selection=None)
    assert select({"a": pd.concat([cells, zero])}).rules == ("support-holdout",)
    assert select({"a": sweep(selection="none")}).rules == ("none",)
    assert select({"a": sweep()}).rules == ("validation",)


def test_sweeps_whose_classes_are_drawn_otherwise_are_not_mixed_unless_asked() -> None:
    first, second = sweep(draw="standard"), sweep(("plot",), draw="realistic")
    with pytest.raises(UserError, match=r"differ in how classes are drawn .'a' has standard, 'b' has realistic.: "):
        select({"a": first, "b": second})
    both = select({"a": first, "b": second}, mix_selections=True)
    assert both.draws == ("realistic", "standard")
    titles = [table.title for table in comparison_tables(both)]
    assert titles == ["test/accuracy at 4 shots; realistic and standard draws"]
    zero = sweep(("zero-shot",), shots=(0,), seeds=(0,), draw=None)
    alone = select({"b": pd.concat([second, zero])})
    assert [table.title for table in comparison_tables(alone)] == ["test/accuracy at 4 shots; realistic draws"]
    assert [table.title for table in comparison_tables(select({"a": first}))] == ["test/accuracy at 4 shots"]


def test_cells_that_never_began_have_every_column_that_is_asked_for() -> None:
    never = MissingCell("coop", "baseline", "few-shot", "EuroSAT", 16, 1)
    frame = cells_frame("mine", [], [never], BACKBONE_PARAMS)
    assert frame[list(BACKBONE_PARAMS)].isna().all(axis=None)
    assert published_for(select({"mine": frame}))
    assert cells_frame("mine", [], [], BACKBONE_PARAMS).empty


def test_a_single_draw_is_known_by_what_its_features_say() -> None:
    """As `make_import` words it; validation images are drawn by seed, so the samples' fingerprints differ."""
    never = [MissingCell("coop", "baseline", "few-shot", "EuroSAT", k, seed) for k in (4, 16) for seed in (1, 2)]
    notes = json.dumps(
        {"notes": {"EuroSAT": ["features: one draw of 16 shots for all seeds, and fewer are drawn of it"]}}
    )
    frame = cells_frame("mine", [], never, data_notes=notes)
    assert frame["sample"].isna().tolist() == [True, True, False, False]
    assert frame["sample"].nunique() == 1
    assert cells_frame("mine", [], [], data_notes=notes).empty
