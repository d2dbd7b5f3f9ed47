"""DuAl-PT sweeps and ablations, under one name: `dualpt.core`, `dualpt.search_spaces`, `dualpt.sweeps`.

For notebooks and scripts (docs/notebook.md): `load`, `sweep`, `train`, `compare` and `load_classifier`. Faults that the
user can fix are `UserError`s. What a name needs is loaded when it is first used: `import dualpt` takes milliseconds.

In the repository the three floors are folders of its root, and links here give them their installed names.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualpt.core.errors import UserError as UserError
    from dualpt.sweeps.notebook.calls import Trained as Trained
    from dualpt.sweeps.notebook.calls import sweep as sweep
    from dualpt.sweeps.notebook.calls import train as train
    from dualpt.sweeps.notebook.classifying import Classifier as Classifier
    from dualpt.sweeps.notebook.classifying import load_classifier as load_classifier
    from dualpt.sweeps.notebook.recorded import RecordedSweep as RecordedSweep
    from dualpt.sweeps.notebook.recorded import load as load
    from dualpt.sweeps.notebook.side_by_side import Comparison as Comparison
    from dualpt.sweeps.notebook.side_by_side import compare as compare

_HOMES = {
    "UserError": "dualpt.core.errors",
    "Trained": "dualpt.sweeps.notebook.calls",
    "sweep": "dualpt.sweeps.notebook.calls",
    "train": "dualpt.sweeps.notebook.calls",
    "Classifier": "dualpt.sweeps.notebook.classifying",
    "load_classifier": "dualpt.sweeps.notebook.classifying",
    "RecordedSweep": "dualpt.sweeps.notebook.recorded",
    "load": "dualpt.sweeps.notebook.recorded",
    "Comparison": "dualpt.sweeps.notebook.side_by_side",
    "compare": "dualpt.sweeps.notebook.side_by_side",
}
"""Name -> the module that it is read from when it is first used; type checkers read the imports above."""

__all__ = [
    "Classifier",
    "Comparison",
    "RecordedSweep",
    "Trained",
    "UserError",
    "compare",
    "load",
    "load_classifier",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dualpt' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
