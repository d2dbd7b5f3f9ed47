"""The tables of docs/protocols.md: what one search gives under each selection, beside its oracle, as Markdown.

    python -m benchmarks.four_selections STORE              once its sweeps are there: study-validation and so on

docs/protocols.md has the commands that run the sweeps of `benchmarks/data/four-selections.yaml`.
"""

import argparse

import numpy as np
import pandas as pd

from dualpt.core.errors import UserError
from dualpt.core.results import TEST_ACCURACY
from dualpt.core.selection_rules import IN_WORDS
from dualpt.sweeps.comparison.frames import comparable_cells, grid_of, read_frame
from dualpt.sweeps.comparison.labels import is_selected, method_title
from dualpt.sweeps.comparison.searched.oracle import oracle_table
from dualpt.sweeps.comparison.tables.table import Entry
from dualpt.sweeps.comparison.values import Grid, seed_averages

HEAD = ("selection", "searched setting", "oracle", "gap", "per dataset", "oracle", "gap")
FIXED = "least-squares"
"""The method that is searched, as a baseline at its published penalty."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="+", help="where the sweeps are recorded; several are searched in turn")
    stores = parser.parse_args().store
    frames = {rule: frame_of(sweep_of(rule), stores) for rule in IN_WORDS}
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for rule, frame in frames.items():
        print(f"| `{rule}` | {' | '.join(row_of(sweep_of(rule), frame))} |")
    print("\n" + ", ".join(f"{method_title(name)} {entry}" for name, entry in averages(frames["none"]).items()))


def sweep_of(rule: str) -> str:
    return f"study-{rule}"


def frame_of(name: str, stores: list[str]) -> pd.DataFrame:
    """A sweep's cells from the first store that has it."""
    faults = []
    for store in stores:
        try:
            return read_frame(name, store)
        except UserError as error:
            faults.append(str(error))
    raise UserError("; ".join(faults))


def row_of(sweep: str, frame: pd.DataFrame) -> list[str]:
    """Honest, oracle and gap, of one setting and of one per dataset; the average alone where nothing was searched."""
    if not frame["trial"].map(is_selected).any():
        return [str(averages(frame)[FIXED]), *[""] * 5]
    together, by_dataset = oracle_table({sweep: frame}, metric=TEST_ACCURACY).rows
    return [*together[-3:], *by_dataset[-3:]]


def averages(frame: pd.DataFrame) -> dict[str, Entry]:
    """Method -> its average over the datasets; without a spread where nothing is drawn.

    Raises:
        UserError: cells are missing.
    """
    cells = comparable_cells(frame)
    datasets, (shots,), seeds = grid_of(cells)
    grid = Grid(tuple(datasets), tuple(seeds))
    entries = {}
    for method, values in seed_averages(cells, grid, shots=shots, metric=TEST_ACCURACY).items():
        if np.isnan(values).any():
            raise UserError(f"{method}: cells are missing; finish the sweep")
        drawn = (cells.loc[cells["trial"] == method, "shots"] > 0).any()
        entries[method] = Entry.over_seeds(values if drawn else values[:1])
    return entries


if __name__ == "__main__":
    main()
