"""Where the studies of a recorded sweep are."""

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import Run
from dualpt.sweeps.launching.again import MASKED
from dualpt.sweeps.ledger.launch_record import launch_of
from dualpt.sweeps.steering.targets import Target


def study_storage(target: Target, given: str | None) -> str:
    """The address of a sweep's study storage: the one given, else the one that its last launch used.

    Raises:
        UserError: that one has a password, which is not on record.
    """
    record = launch_of(target.row)
    known = None if record is None else (record.resolved.get("run") or {}).get("study_storage")
    address = str(given or known or Run().study_storage)
    if MASKED in address:
        raise UserError(f"'{target.name}' on record: passwords are not kept; give --study {address}")
    return address
