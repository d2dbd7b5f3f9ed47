"""A small sweep over three mini datasets, to be trained by the fake runner."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dualpt.search_spaces.sweep import LoadedSweep

SPACE = {
    "alignment.llm_weight": {"float": [0.1, 10]},
    "alignment.local_form": {"choice": ["topk", "attention"]},
    "alignment.topk": {"int": [1, 4], "when": {"alignment.local_form": "topk"}},
}

Declare = Callable[..., LoadedSweep]


def declaration(folder: Path) -> dict[str, Any]:
    """Sixteen packs: two baselines, four candidates judged on a third of the grid, and the selected setting."""
    return {
        "name": "small",
        "grid": {"datasets": ["mini-pets", "mini-cars", "mini-dishes"], "shots": [4], "seeds": [1, 2]},
        "baselines": ["zero-shot", "coop"],
        "search": {"trials": 4, "seeds": [1], "space": dict(SPACE)},
        "run": {
            "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}",
            "study_storage": f"sqlite:///{folder / 'optuna.db'}",
        },
    }


def changed(declared: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set dotted keys (`search.trials`); None removes one."""
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in declared.items()}
    for dotted, value in changes.items():
        section, _, key = dotted.partition(".")
        holder, name = (result.setdefault(section, {}), key) if key else (result, section)
        if value is None:
            holder.pop(name, None)
        else:
            holder[name] = value
    return result
