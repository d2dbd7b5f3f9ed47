"""`dualpt status`: how far sweeps are."""

import json
from collections import Counter

from rich.console import Console
from rich.table import Table

from sweeps.comparison.frames import open_ledger


def show_status(console: Console, name: str | None, *, store: str, as_json: bool) -> None:
    """Print, for each sweep, its cells by status, and how many trials a race has given up.

    Raises:
        UserError: the store does not exist, or holds no such sweep.
    """
    ledger = open_ledger(store)
    names = [name] if name is not None else ledger.sweeps()
    counts = {sweep: Counter(row.status for row in ledger.read_cells(sweep)) for sweep in names}
    pruned = {sweep: ledger.pruned_trials(sweep) for sweep in names}
    if as_json:
        documents = {sweep: {**count, **_given_up(pruned[sweep])} for sweep, count in counts.items()}
        print(json.dumps(documents))
        return
    table = Table("sweep", "finished", "failed", "running", "killed", "trials pruned", header_style="bold")
    for sweep, count in counts.items():
        cells = (str(count[status]) for status in ("FINISHED", "FAILED", "RUNNING", "KILLED"))
        table.add_row(sweep, *cells, str(len(pruned[sweep])))
    console.print(table)


def _given_up(names: list[str]) -> dict[str, list[str]]:
    return {"pruned": names} if names else {}
