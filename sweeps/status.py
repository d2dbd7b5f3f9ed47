"""`dualpt status`: how far sweeps are."""

import json
from collections import Counter

from rich.console import Console
from rich.table import Table

from sweeps.comparison.frames import open_ledger


def show_status(console: Console, name: str | None, *, store: str, as_json: bool) -> None:
    """Print, for each sweep, its cells by status.

    Raises:
        UserError: the store does not exist, or holds no such sweep.
    """
    ledger = open_ledger(store)
    names = [name] if name is not None else ledger.sweeps()
    counts = {sweep: Counter(row.status for row in ledger.read_cells(sweep)) for sweep in names}
    if as_json:
        print(json.dumps({sweep: dict(count) for sweep, count in counts.items()}))
        return
    table = Table("sweep", "finished", "failed", "running", "killed", header_style="bold")
    for sweep, count in counts.items():
        table.add_row(sweep, *(str(count[status]) for status in ("FINISHED", "FAILED", "RUNNING", "KILLED")))
    console.print(table)
