"""How a sweep was launched, as a table of the report."""

import json

from dualpt.sweeps.ledger.launch_record import record_from
from dualpt.sweeps.report.facts import Table, word

ABSENT = "not on record: an earlier version ran it"


def launch_table(recorded: str) -> Table:
    """What the sweep's run holds of its last launch: command, code, place, sampler, search space.

    Args:
        recorded: `SweepRow.launched`.
    """
    record = record_from(recorded)
    if record is None:
        return Table("Launch", ("what", "value"), ((word("launch"), word(ABSENT)),), numeric_from=2)
    found = record.facts() | {f"searched: {key}": json.dumps(spec) for key, spec in record.space.items()}
    lines = [(word(name), word(value)) for name, value in found.items()]
    notes = ("of the last launch; every launch's file and resolved settings are artifacts of the sweep's run",)
    return Table("Launch", ("what", "value"), lines, notes, numeric_from=2)
