"""Published methods as settings, and so baselines in every table.

Each is a set of values over the shipped defaults, which are DuAl-PT with both alignments. A method on frozen features
is its name alone: its authors' recipe is the default of its own options.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dualpt.core.config.sections import Protocol, Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError, nearest
from dualpt.core.method_catalog import CATALOGUE, canonical, installed, load_method, owner_of
from dualpt.core.method_files import is_file_spec

TRAINED: dict[str, Value] = {"method": "prompt"}
NO_LLM: dict[str, Value] = {"alignment.llm_weight": 0.0, "inference.description_weight": 0.0}
NO_LOCAL: dict[str, Value] = {"alignment.local_weight": 0.0, "inference.local_weight": 0.0}

COOP: dict[str, Value] = {**TRAINED, "prompt.n_prompts": 1, **NO_LLM, **NO_LOCAL}
WORDS: dict[str, Value] = {"prompt.context_length": 4, "prompt.init": "a photo of a"}
"""As KaiyangZhou/CoOp@ff61507 trains CoOp where other classes or datasets are tested (scripts/cocoop/base2new_train.sh,
xd_train.sh: `vit_b16_ctxv1`), and htyao89/KgCoOp@c43ccc3 KgCoOp everywhere (`vit_b16_ep100_ctxv1`)."""
BEYOND_TRAINING: tuple[Protocol, ...] = ("base-to-new", "cross-dataset", "domain-generalization")
"""Protocols that test other classes or datasets than were trained on."""
TRANSPORT: dict[str, Value] = {
    **TRAINED,
    "prompt.n_prompts": 4,
    "alignment.local_form": "ot",
    "alignment.local_weight": 1.0,
    "alignment.ot_marginals": "uniform",
    "alignment.ot_epsilon": 0.1,
    "inference.local_weight": 1.0,
    **NO_LLM,
}


@dataclass(frozen=True)
class Baseline:
    """A published method by the values that make it, and what tables call it."""

    title: str
    """Says nothing of keys that it leaves to the sweep, which may fix them to any value."""
    short_title: str
    """For the heads of narrow columns."""
    values: Mapping[str, Value]
    """By dotted key."""
    by_protocol: Mapping[Protocol, Mapping[str, Value]] = field(default_factory=dict)
    """Values that its authors give it under a protocol."""


METHODS: dict[str, Baseline] = {
    "zero-shot": Baseline("zero-shot CLIP", "zero shot", {"method": "zero-shot"}),
    "zero-shot-descriptions": Baseline(
        "zero-shot descriptions", "zero shot desc.", {"method": "zero-shot-descriptions"}
    ),
    **{one.name: Baseline(one.title, one.short_title, {"method": one.name}) for one in CATALOGUE.values()},
    "coop": Baseline("CoOp", "CoOp", COOP, dict.fromkeys(BEYOND_TRAINING, WORDS)),
    "coop-words": Baseline("CoOp (a photo of a)", "CoOp words", {**COOP, **WORDS}),
    "plot": Baseline(  # its logits: CHENGY12/PLOT@728539f, plot-coop/trainers/plot.py
        "PLOT",
        "PLOT",
        {
            **TRANSPORT,
            "backbone.local_features": "tokens",
            "alignment.cross_entropy": "summed",
            "alignment.global_weight": None,
            "inference.global_weight": None,
        },
    ),
    "plot-global": Baseline("PLOT with global logits", "PLOT global", TRANSPORT),
    "kgcoop": Baseline(
        "KgCoOp",
        "Kg-CoOp",
        {
            **TRAINED,
            "prompt.n_prompts": 1,
            **WORDS,
            "optim.recipe": "kgcoop",
            "alignment.llm_form": "cosine",
            "alignment.llm_target": "kgcoop-template",
            "alignment.llm_weight": 8.0,
            "inference.description_weight": 0.0,
            **NO_LOCAL,
        },
    ),
    "prograd": Baseline(  # BeierZhu/Prompt-align@27ddd3b: ProGrad.public, trainers/prograd.py and scripts/prograd.sh
        "ProGrad",
        "ProGrad",
        {
            **TRAINED,
            "prompt.n_prompts": 1,
            "prompt.context_length": 16,
            "prompt.init": "dataset-template",
            "prompt.init_at": "end",
            "alignment.llm_gradient": "projected",
            "alignment.llm_form": "kl",
            "alignment.llm_target": "prograd-template",
            "alignment.llm_weight": 1.0,
            "inference.description_weight": 0.0,
            **NO_LOCAL,
        },
    ),
    "dualpt-llm-only": Baseline("DuAl-PT, LLM alignment alone", "LLM alone", {**TRAINED, **NO_LOCAL}),
    "dualpt-local-only": Baseline("DuAl-PT, local alignment alone", "local alone", {**TRAINED, **NO_LLM}),
    "dualpt": Baseline("DuAl-PT", "DuAl-PT", TRAINED),
}
"""In the order of tables."""


def find_method(name: str) -> tuple[str, Baseline]:
    """A published method, an installed one or a user's file, and the name of its trial.

    Raises:
        UserError: no such method (the nearest is named), a faulty one, or one whose name is taken.
    """
    if name in METHODS:
        return name, METHODS[name]
    if not is_file_spec(name) and name not in installed():
        if Path(f"{name}.py").is_file():
            raise UserError(f"unknown method '{name}'; did you mean the file {name}.py?")
        raise UserError(f"unknown method '{name}'{nearest(name, METHODS)} (known: {', '.join(METHODS)}, or FILE.py)")
    own = load_method(canonical(name))
    if own.name in METHODS:
        raise UserError(f"{name}: name '{own.name}' is taken by a published method; choose another")
    return own.name, Baseline(own.definition.title, own.definition.short_title, {"method": name})


def check_no_preset(method: object, place: str, remedy: str) -> None:
    """Refuse the name of a preset where the method itself is meant: its other values would be missing.

    Args:
        method: what was given as the setting's method.
        place: where, for the error.
        remedy: where presets are named.

    Raises:
        UserError: it names a preset of another method.
    """
    if isinstance(method, str) and method in METHODS and (own := METHODS[method].values["method"]) != method:
        raise UserError(f"{place}: {method} is a preset of the method '{own}', not a method; {remedy}")


def method_setting(name: str, shared: Mapping[str, Value] | None = None, protocol: Protocol | None = None) -> Setting:
    """The setting of a published method, with `shared` values (backbone, optimiser, data) applied beneath it.

    Shared options of other methods are left out, and those of its own stand above its authors' for the protocol.

    Raises:
        UserError: no such method (the nearest is named), or options that it refuses.
    """
    _, method = find_method(name)
    source = f"method '{name}'"
    start = Setting().with_values({"method": method.values["method"]}, source)
    owners = {start.method_name} if start.fits_features else set()
    if start.fits_features and protocol is not None:
        theirs = start.definition.definition.by_protocol.get(protocol, {})
        start = start.with_values({f"{start.method_name}.{key}": value for key, value in theirs.items()}, source)
    published = {**method.values, **(method.by_protocol.get(protocol, {}) if protocol else {})}
    return start.with_values({**without_options(shared or {}, but=owners), **published}, source)


def without_options(values: Mapping[str, Value], but: Collection[str] = ()) -> dict[str, Value]:
    """Values without the options of methods that ship, but those of `but`."""
    return {key: value for key, value in values.items() if owner_of(key) in (None, *but)}
