"""Published methods that are settings of the same code, and so baselines in every table (METHOD table).

Each is a set of values over the shipped defaults, which are DuAl-PT with both alignments.
"""

from collections.abc import Mapping

from dualpt.core.config import Setting, Value
from dualpt.core.errors import UserError, nearest

TRAINED: dict[str, Value] = {"method": "prompt"}
NO_LLM: dict[str, Value] = {"alignment.llm_weight": 0.0, "inference.description_weight": 0.0}
NO_LOCAL: dict[str, Value] = {"alignment.local_weight": 0.0, "inference.local_weight": 0.0}

METHODS: dict[str, dict[str, Value]] = {
    "zero-shot": {"method": "zero-shot"},
    "zero-shot-descriptions": {"method": "zero-shot-descriptions"},
    "coop": {**TRAINED, "prompt.n_prompts": 1, **NO_LLM, **NO_LOCAL},
    "plot": {
        **TRAINED,
        "prompt.n_prompts": 4,
        "alignment.local_form": "ot",
        "alignment.local_weight": 1.0,
        "alignment.ot_marginals": "uniform",
        "alignment.ot_epsilon": 0.1,
        "inference.local_weight": 1.0,
        **NO_LLM,
    },
    "kgcoop": {
        **TRAINED,
        "prompt.n_prompts": 1,
        "alignment.llm_form": "cosine",
        "alignment.llm_target": "template",
        "alignment.llm_weight": 8.0,
        "inference.description_weight": 0.0,
        **NO_LOCAL,
    },
    "dualpt-llm-only": {**TRAINED, **NO_LOCAL},
    "dualpt-local-only": {**TRAINED, **NO_LLM},
    "dualpt": TRAINED,
}

TITLES: dict[str, str] = {
    "zero-shot": "zero-shot CLIP",
    "zero-shot-descriptions": "zero-shot descriptions",
    "coop": "CoOp",
    "plot": "PLOT",
    "kgcoop": "KgCoOp",
    "dualpt-llm-only": "DuAl-PT, LLM alignment alone",
    "dualpt-local-only": "DuAl-PT, local alignment alone",
    "dualpt": "DuAl-PT (defaults)",
}

SHORT_TITLES: dict[str, str] = {
    "zero-shot": "zero shot",
    "zero-shot-descriptions": "zero shot desc.",
    "coop": "CoOp",
    "plot": "PLOT",
    "kgcoop": "Kg-CoOp",
    "dualpt-llm-only": "LLM alone",
    "dualpt-local-only": "local alone",
    "dualpt": "DuAl-PT",
}
"""For the heads of narrow columns."""


def method_setting(name: str, shared: Mapping[str, Value] | None = None) -> Setting:
    """The setting of a published method, with `shared` values (backbone, optimiser, data) applied beneath it.

    Raises:
        UserError: no such method (the nearest is named).
    """
    if name not in METHODS:
        raise UserError(f"unknown method '{name}'{nearest(name, METHODS)} (known: {', '.join(METHODS)})")
    return Setting().with_values({**(shared or {}), **METHODS[name]}, source=f"method '{name}'")
