"""What a sweep's launches must share: the fixed setting, recorded on the sweep's run when it is first launched.

Launches under one name may add trials, datasets, shots, seeds, baselines and protocols, since each cell keeps its own
key. A file with another fixed setting would put trials that cannot be compared into one table.
"""

import json

from dualpt.core.config.activity import active_values
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.records import MOVABLE

LONGEST_VALUE = 60
"""Characters of a value that are recorded as they are; a longer one is recorded by its hash."""
SHOWN = 3
"""Keys that the refusal names."""


def fixed_values(sweep: LoadedSweep) -> dict[str, object]:
    """The fixed setting: every key that can change a result, without places on a machine and searched keys."""
    searched = {parameter.key for parameter in sweep.space}
    return {k: v for k, v in active_values(sweep.reference).items() if k not in MOVABLE and k not in searched}


def fixed_text(sweep: LoadedSweep) -> str:
    """The fixed setting as recorded: every key that can change a result, without places on a machine."""
    fixed = {key: _short(value) for key, value in active_values(sweep.reference).items() if key not in MOVABLE}
    rule = sweep.file.grid.selection
    return json.dumps(fixed if rule == "validation" else {**fixed, "grid.selection": _short(rule)})


def refuse_other_file(sweep: LoadedSweep, recorded: str) -> None:
    """Let no file take over the experiment of another.

    Args:
        sweep: about to be launched.
        recorded: what `fixed_text` gave at the first launch; empty for sweeps of earlier versions.

    Raises:
        UserError: the fixed settings differ; the line names the keys.
    """
    if not recorded:
        return
    there, here = json.loads(recorded), json.loads(fixed_text(sweep))
    differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if not differing:
        return
    shown = [f"{key}: {_word(there.get(key))} there, {_word(here.get(key))} here" for key in differing[:SHOWN]]
    more = f", and {len(differing) - SHOWN} more keys" if len(differing) > SHOWN else ""
    raise UserError(
        f"sweep '{sweep.file.name}' was recorded with another fixed setting ({'; '.join(shown)}{more}), and its tables "
        "would mix both; give this one another name with name=…, or go back to the recorded values"
    )


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else f"#{fingerprint(text)[:12]}"


def _word(recorded: str | None) -> str:
    return "not used" if recorded is None else recorded.strip('"')
