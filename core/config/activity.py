"""Which keys of a setting can change its result: what identifies it, in keys of cells, in MLflow and in studies."""

from collections.abc import Callable, Iterable
from typing import Literal

from dualpt.core.config.sections import LocalForm, Value
from dualpt.core.config.setting import SETTING_KEYS, Setting
from dualpt.core.errors import UserError

LOCATIONS = frozenset({"data.root", "data.features", "descriptions.bank"})
TASK_KEYS = frozenset({"data.draw"})
"""What is to be solved rather than how: studies may compare them, but a search would choose the easiest."""
METHOD_SOURCE = "method.source"
"""Among the active keys, what identifies a user's own method: the SHA-256 of its file, wherever that lies."""


def active_values(setting: Setting) -> dict[str, Value]:
    """The keys that can change the result, by dotted name: what identifies a setting.

    Locations (`data.root`, `data.features`, `descriptions.bank`) are left out: cell keys hash the content and not
    its place. So are knobs that the rest of the setting switches off, so CoOp with `alignment.topk: 3` is CoOp.
    """
    active = {
        key: value
        for key, value in setting.flat().items()
        if key not in LOCATIONS and ACTIVE_WHEN.get(key, _always)(setting)
    }
    if setting.fits_features and setting.definition.sha256 is not None:
        return active | {"method": setting.method_name, METHOD_SOURCE: setting.definition.sha256}
    return active


def _always(setting: Setting) -> bool:
    return True


def _learns_prompts(setting: Setting) -> bool:
    return setting.learns_prompts


def _draws_unevenly(setting: Setting) -> bool:
    """Whether classes are drawn in proportion; keys of cells with equal draws stay what they were before."""
    return setting.trains and setting.data.draw != "standard"


def encodes_text(setting: Setting) -> bool:
    """Whether the text tower is needed for more than class names, and so beside imported features too."""
    return _learns_prompts(setting) or uses_descriptions(setting)


def _loads_towers(setting: Setting) -> bool:
    return setting.data.features is None or encodes_text(setting)


def uses_local(setting: Setting) -> bool:
    """Whether local image features enter training or inference."""
    return _learns_prompts(setting) and (setting.alignment.local_weight > 0 or setting.inference.local_weight > 0)


def has_cross_entropy(setting: Setting) -> bool:
    """Whether labels enter the loss of a setting that learns prompts; null as a global weight is 0 on most datasets."""
    return bool(setting.alignment.global_weight) or setting.alignment.local_weight > 0


def has_logits(setting: Setting) -> bool:
    """Whether a setting that learns prompts has any logits at test; null as above."""
    at_test = setting.inference
    return bool(at_test.global_weight) or at_test.local_weight > 0 or at_test.description_weight > 0


def uses_llm(setting: Setting) -> bool:
    """Whether the alignment with descriptions (or the template) is in the loss."""
    return _learns_prompts(setting) and setting.alignment.llm_weight > 0


def projects_gradient(setting: Setting) -> bool:
    """Whether the alignment only takes from the cross-entropy's gradient what conflicts with its own."""
    return uses_llm(setting) and setting.alignment.llm_gradient == "projected"


def _fills_before_words(setting: Setting) -> bool:
    return _learns_prompts(setting) and setting.prompt.init is not None and setting.prompt.init_at == "end"


def uses_descriptions(setting: Setting) -> bool:
    """Whether a description bank is needed."""
    if setting.fits_features:
        return setting.reads.descriptions
    aligned = uses_llm(setting) and setting.alignment.llm_target == "descriptions"
    return aligned or tests_with_descriptions(setting)


def tests_with_descriptions(setting: Setting) -> bool:
    """Whether classifying needs descriptions, of the classes of every test set."""
    at_test = _learns_prompts(setting) and setting.inference.description_weight > 0
    return at_test or setting.method == "zero-shot-descriptions"


def _weighs_global(section: Literal["alignment", "inference"]) -> Callable[[Setting], bool]:
    """Whether global logits have another weight than 1, which they had before it could be set: recorded settings and
    keys of cells stay what they were."""
    return lambda setting: _learns_prompts(setting) and getattr(setting, section).global_weight != 1


def sums_logits(setting: Setting) -> bool:
    """Whether logits are summed before the cross-entropy, and that differs from the cross-entropies' sum."""
    alone = setting.alignment.local_weight == 0 and setting.alignment.global_weight == 1
    return _learns_prompts(setting) and setting.alignment.cross_entropy == "summed" and not alone


def _local_form(*forms: LocalForm) -> Callable[[Setting], bool]:
    return lambda setting: uses_local(setting) and setting.alignment.local_form in forms


def _iterates_ot(setting: Setting) -> bool:
    """Whether some plan has more than one row: with a single prompt the first sweep is the limit."""
    by_llm = uses_llm(setting) and setting.alignment.llm_form == "ot"
    return (by_llm or _local_form("ot")(setting)) and setting.prompt.n_prompts > 1


def _relaxes_ot(setting: Setting) -> bool:
    return _local_form("ot")(setting) and setting.alignment.ot_marginals == "unbalanced"


ACTIVE_WHEN: dict[str, Callable[[Setting], bool]] = {
    **{
        key: _learns_prompts
        for key in SETTING_KEYS
        if key.split(".")[0] in {"prompt", "alignment", "inference", "optim"}
    },
    "optim.epoch_scale": lambda setting: _learns_prompts(setting) and setting.optim.epochs is None,
    "data.draw": _draws_unevenly,
    "data.views": _learns_prompts,
    "backbone.pretrained": _loads_towers,
    "backbone.precision": _loads_towers,
    "backbone.local_features": uses_local,
    "prompt.init_at": _fills_before_words,
    "alignment.llm_form": uses_llm,
    "alignment.llm_target": uses_llm,
    "alignment.llm_gradient": projects_gradient,
    "alignment.local_form": uses_local,
    "alignment.global_weight": _weighs_global("alignment"),
    "alignment.cross_entropy": sums_logits,
    "inference.global_weight": _weighs_global("inference"),
    "alignment.topk": _local_form("topk", "multiscale"),
    "alignment.topk_step": lambda setting: _local_form("multiscale")(setting) and setting.prompt.n_prompts > 1,
    "alignment.attention_beta": _local_form("attention"),
    "alignment.ot_epsilon": lambda setting: _iterates_ot(setting) or _relaxes_ot(setting),
    "alignment.ot_iterations": _iterates_ot,
    "alignment.ot_marginals": _local_form("ot"),
    "alignment.ot_relaxation": _relaxes_ot,
    "descriptions.per_class": uses_descriptions,
}
"""When a key matters; keys not listed always do."""

PROMPT_KEYS = frozenset(
    key
    for key in SETTING_KEYS
    if key.split(".")[0] in {"prompt", "alignment", "inference", "optim"}
    or key in {"data.views", "backbone.local_features"}
)
"""What learned prompts alone read."""


def check_read(setting: Setting, keys: Iterable[str], source: str) -> None:
    """Refuse keys of learned prompts that somebody gave to a method which learns none.

    Keys that are off in a setting of learned prompts pass: another value switches them on.

    Raises:
        UserError: naming the method and its own keys.
    """
    idle = [key for key in keys if key in PROMPT_KEYS]
    if setting.learns_prompts or not idle:
        return
    own = setting.own_keys if setting.fits_features else ()
    remedy = f"its own keys are {', '.join(own)}" if own else "it has no keys of its own"
    raise UserError(f"{source}: {idle[0]} does nothing for {setting.method_name}, which learns no prompts; {remedy}")
