"""What is done before anything is written: stores and inputs are examined, mini datasets drawn, features computed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.core.inputs.reading import CellInputs, mini_datasets_of
from dualpt.core.mini.grid import ensure_mini_grid, is_drawn
from dualpt.search_spaces.parameters import SHOTS
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.planning.plan import SweepPlan, grid_cells, judged_cells
from dualpt.sweeps.stores import examine, examine_study
from dualpt.sweeps.workers.connection.ray_address import LOCAL, examine_ray_address, ray_address

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellRunner


def examine_stores(sweep: LoadedSweep) -> None:
    """Find whether the sweep can be recorded where it says. Writes nothing.

    Raises:
        UserError: its tracking store or its study cannot be used.
    """
    run = sweep.file.run
    examine(run.tracking_uri)
    if sweep.file.search is not None:
        examine_study(run.study_storage)


def draw_mini_datasets(sweep: LoadedSweep, *, console: Console, progress: bool = True) -> None:
    """Draw the sweep's mini datasets that are not on disk, with progress; cell keys would draw them silently."""
    if sweep.reference.data.features is not None:
        return
    for root, names in mini_datasets_of(map(CellInputs, grid_cells(sweep, sweep.reference))).items():
        with SweepProgress(console, enabled=progress) as shown:
            if console.is_terminal and not all(is_drawn(root, name) for name in names):
                shown.step("drawing the mini datasets")
            ensure_mini_grid(root, names, shown.preparing)


def check_and_prepare(
    sweep: LoadedSweep,
    plan: SweepPlan,
    wanted: Callable[[str], bool],
    make_runner: "Callable[[], CellRunner]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
) -> None:
    """Find every fault of the inputs before anything is written, then compute features while one process runs.

    Args:
        wanted: whether the cell of a key is to be trained.

    On a cluster, features are left to the workers: they have the accelerators, and disks of their own.

    Raises:
        UserError: there is no such cluster, or an input or a setting that cannot be trained with.
    """
    cells = planned_cells(sweep, plan)
    examine_ray_address()
    runner = make_runner()
    shown.step("checking every dataset, setting and weight")
    runner.check([*cells, *corner_cells(sweep)])
    if ray_address() == LOCAL:
        shown.step("encoding images that have no features yet")
        runner.prepare([cell for cell in cells if wanted(key(cell))], shown.preparing)


def planned_cells(sweep: LoadedSweep, plan: SweepPlan) -> list[Cell]:
    """Every cell that is known before the search proposes any, and those of the reference in place of candidates."""
    cells = [cell for baseline in plan.baselines for cell in baseline.cells]
    if sweep.file.search is not None:
        cells += [*judged_cells(sweep, sweep.reference), *grid_cells(sweep, sweep.reference)]
    return cells


def corner_cells(sweep: LoadedSweep) -> list[Cell]:
    """The reference's cells with each parameter at each of its ends, one per dataset: bounds may not fit the data."""
    corners: list[Cell] = []
    for parameter in sweep.space:
        if parameter.key == SHOTS:
            continue
        switched_on = {key: allowed[0] for key, allowed in parameter.when.items()}
        for end in parameter.ends:
            setting = sweep.reference.with_values({**switched_on, parameter.key: end}, source="search.space")
            by_dataset = {cell.dataset: cell for cell in judged_cells(sweep, setting)}
            corners += by_dataset.values()
    return corners
