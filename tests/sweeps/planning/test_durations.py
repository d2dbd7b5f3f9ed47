"""Estimates of training time: by shape, with their spread, and unknown where nothing of the shape was measured."""

from collections.abc import Sequence

import pytest

from dualpt.core.cell import Cell
from dualpt.core.presets import method_setting
from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import cell_params
from dualpt.sweeps.planning.durations import PlannedCells, RecordedSeconds, TimeEstimate, cost_params, left_to_train
from dualpt.sweeps.planning.plan import Unfinished, count, plan_sweep
from dualpt.sweeps.records import CellRow
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.small_sweep import Declare

COOP = Cell(method_setting("coop", {"backbone.name": "ViT-B-16"}), "OxfordPets", "few-shot", 16, 1)


def varied(dataset: str = "OxfordPets", shots: int = 16, method: str = "coop", **values: object) -> Cell:
    """COOP with other values: `optim__epochs=5`."""
    dotted = {key.replace("__", "."): value for key, value in values.items()}
    setting = method_setting(method, {"backbone.name": "ViT-B-16"}).with_values(dotted)
    return Cell(setting, dataset, "few-shot", shots, 1)


def took(cell: Cell, seconds: float, device: str = "cpu", at: int = 1, **changes: str) -> CellRow:
    """The finished run of a cell."""
    return CellRow(
        run_id=f"{cell.label} {seconds} {at}",
        trial_run_id="t",
        key="k",
        trial="coop",
        kind="baseline",
        dataset=cell.dataset,
        protocol=cell.protocol,
        shots=cell.shots,
        seed=cell.seed,
        status="FINISHED",
        metrics={},
        params=cell_params(cell),
        seconds=seconds,
        recorded_ms=at,
        origin={records.DEVICE_TAG: device},
        **changes,
    )


def estimated(rows: Sequence[CellRow], *cells: Cell) -> TimeEstimate:
    return RecordedSeconds(rows).estimate([PlannedCells(cells)])


@pytest.mark.parametrize(
    "other",
    [
        varied(backbone__name="ViT-L-14"),
        varied(optim__epochs=5),
        varied(optim__epoch_scale=0.5),
        varied(optim__batch_size=8),
        varied(prompt__n_prompts=4),
        varied(prompt__context_length=4),
        varied(method="dualpt"),
        varied(method="gda"),
        varied(dataset="ImageNet"),
        varied(shots=1),
    ],
    ids=lambda cell: f"{cell.setting.method_name} {cell.setting.backbone.name} {cell.label}",
)
def test_cells_of_another_shape_say_nothing(other: Cell) -> None:
    rows = [took(COOP, 47.0)]
    assert estimated(rows, COOP) == TimeEstimate(47.0, 47.0, 47.0, known=1, measured=1, device="cpu")
    unknown = estimated(rows, other)
    assert (unknown.seconds, unknown.unknown, unknown.complete) == (0.0, 1, None)


def test_values_that_cost_nothing_are_no_part_of_the_shape() -> None:
    cheap = varied(optim__learning_rate=0.01, optim__momentum=0.5)
    assert estimated([took(COOP, 47.0)], cheap).seconds == 47.0


def test_another_dataset_with_as_many_classes_stands_in() -> None:
    foods, actions = varied(dataset="Food101"), varied(dataset="UCF101")
    assert estimated([took(foods, 30.0)], actions).seconds == 30.0
    assert estimated([took(foods, 30.0), took(actions, 20.0)], actions).seconds == 20.0, "its own come first"


def test_the_spread_is_that_of_the_shape() -> None:
    rows = [took(COOP, float(seconds), at=seconds) for seconds in range(11)]
    assert estimated(rows, COOP, COOP) == TimeEstimate(10.0, 2.0, 18.0, known=2, measured=11, device="cpu")


def test_the_device_is_the_one_that_trained_last() -> None:
    rows = [took(COOP, 600.0, "cpu", at=1), took(COOP, 6.0, "NVIDIA H100", at=2), took(COOP, 8.0, "NVIDIA H100", at=3)]
    found = estimated(rows, COOP)
    assert (found.seconds, found.measured, found.device) == (7.0, 2, "NVIDIA H100")


def test_copies_measure_nothing_and_zero_shot_cells_take_nothing() -> None:
    copy = took(COOP, 1.0, reused_from="elsewhere")
    assert estimated([copy], COOP).complete is None
    zero_shot = Cell(method_setting("zero-shot"), "OxfordPets", "few-shot", 0, 0)
    assert estimated([copy], zero_shot).complete == 0.0


def test_methods_on_features_are_told_apart_by_their_costly_options() -> None:
    gda = varied(method="gda")
    assert "gda.views" in cost_params([gda.setting])
    rows = [took(gda, 0.02)]
    assert estimated(rows, varied(method="gda", gda__covariance="class-mean")).seconds == 0.02
    assert estimated(rows, varied(method="gda", gda__views=1)).complete is None


def test_candidates_take_what_any_values_of_the_searched_keys_took(declare: Declare) -> None:
    """The search proposes forms and weights; its candidates are judged on a third of the grid."""
    sweep = declare(baselines=[])
    left = count(plan_sweep(sweep), [], [], fake_key).left
    assert left == Unfinished((), unproposed=12, unselected=3)
    groups = left_to_train(sweep, left)
    values = [{"alignment.local_form": form} for form in ("topk", "attention")]
    rows = [
        took(Cell(sweep.reference.with_values(each), name, "few-shot", 4, 1), seconds, at=int(seconds))
        for name in ("mini-pets", "mini-cars", "mini-dishes")
        for each, seconds in zip(values, (10.0, 30.0), strict=True)
    ]
    found = RecordedSeconds(rows).estimate(groups)
    assert (found.seconds, found.known, found.unknown) == (pytest.approx(15 * 20.0), pytest.approx(15), 0)
    assert found.low < found.seconds < found.high
    part = RecordedSeconds(rows[:2]).estimate(groups)
    assert part.complete is None
