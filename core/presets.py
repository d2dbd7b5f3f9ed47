"""Published methods that are settings of the same code, and so baselines in every table.

Each is a set of values over the shipped defaults, which are DuAl-PT with both alignments.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dualpt.core.config import Setting, Value
from dualpt.core.errors import UserError, nearest

TRAINED: dict[str, Value] = {"method": "prompt"}
NO_LLM: dict[str, Value] = {"alignment.llm_weight": 0.0, "inference.description_weight": 0.0}
NO_LOCAL: dict[str, Value] = {"alignment.local_weight": 0.0, "inference.local_weight": 0.0}


@dataclass(frozen=True)
class Baseline:
    """A published method by the values that make it, and what tables call it."""

    title: str
    short_title: str
    """For the heads of narrow columns."""
    values: Mapping[str, Value]
    """By dotted key."""


METHODS: dict[str, Baseline] = {
    "zero-shot": Baseline("zero-shot CLIP", "zero shot", {"method": "zero-shot"}),
    "zero-shot-descriptions": Baseline(
        "zero-shot descriptions", "zero shot desc.", {"method": "zero-shot-descriptions"}
    ),
    "coop": Baseline("CoOp", "CoOp", {**TRAINED, "prompt.n_prompts": 1, **NO_LLM, **NO_LOCAL}),
    "coop-words": Baseline(  # as CoCoOp trains CoOp for base-to-new and transfer (arXiv 2203.05557, section 4)
        "CoOp (a photo of a)",
        "CoOp words",
        {
            **TRAINED,
            "prompt.n_prompts": 1,
            "prompt.context_length": 4,
            "prompt.init": "a photo of a",
            **NO_LLM,
            **NO_LOCAL,
        },
    ),
    "plot": Baseline(
        "PLOT",
        "PLOT",
        {
            **TRAINED,
            "prompt.n_prompts": 4,
            "alignment.local_form": "ot",
            "alignment.local_weight": 1.0,
            "alignment.ot_marginals": "uniform",
            "alignment.ot_epsilon": 0.1,
            "inference.local_weight": 1.0,
            **NO_LLM,
        },
    ),
    "kgcoop": Baseline(
        "KgCoOp",
        "Kg-CoOp",
        {
            **TRAINED,
            "prompt.n_prompts": 1,
            "alignment.llm_form": "cosine",
            "alignment.llm_target": "template",
            "alignment.llm_weight": 8.0,
            "inference.description_weight": 0.0,
            **NO_LOCAL,
        },
    ),
    "dualpt-llm-only": Baseline("DuAl-PT, LLM alignment alone", "LLM alone", {**TRAINED, **NO_LOCAL}),
    "dualpt-local-only": Baseline("DuAl-PT, local alignment alone", "local alone", {**TRAINED, **NO_LLM}),
    "dualpt": Baseline("DuAl-PT (defaults)", "DuAl-PT", TRAINED),
}
"""In the order of tables."""


def method_setting(name: str, shared: Mapping[str, Value] | None = None) -> Setting:
    """The setting of a published method, with `shared` values (backbone, optimiser, data) applied beneath it.

    Raises:
        UserError: no such method (the nearest is named).
    """
    if name not in METHODS:
        raise UserError(f"unknown method '{name}'{nearest(name, METHODS)} (known: {', '.join(METHODS)})")
    return Setting().with_values({**(shared or {}), **METHODS[name].values}, source=f"method '{name}'")
