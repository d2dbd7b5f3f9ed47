"""What one method *setting* is: every knob, its unit, its default, and when it matters.

The defaults of forms and weights are the setting that `dualpt sweep mini-defaults` selected on validation accuracy,
rounded; they belong to the mini grid and its tiny CLIP, not to a real one.

Sections are frozen and refuse unknown keys. A key's dotted name (``optim.learning_rate``) is its name everywhere: in
YAML, on the command line, in MLflow and in tables. Nothing below the entry point (`core.running`) sees these classes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dualpt.core.errors import UserError, nearest
from dualpt.core.method_catalog import (
    BUILT_IN,
    PROMPT,
    ZERO_SHOT,
    LoadedMethod,
    Reads,
    canonical,
    load_method,
    owner_of,
)
from dualpt.core.recipes import RecipeName

Value = str | int | float | bool | None

Protocol = Literal["few-shot", "base-to-new", "cross-dataset", "domain-generalization"]
LlmForm = Literal["cosine", "ot", "contrastive", "kl"]
LlmTarget = Literal["descriptions", "template", "kgcoop-template", "prograd-template"]
LlmGradient = Literal["added", "projected"]
LocalForm = Literal["ot", "topk", "multiscale", "attention", "uniform"]
CrossEntropy = Literal["separate", "summed"]
Marginals = Literal["uniform", "unbalanced"]
ClassTokenPosition = Literal["end", "middle", "front"]
InitPlace = Literal["start", "end"]
Precision = Literal["fp32", "bf16", "fp16"]
LocalKind = Literal["value", "tokens"]
DrawKind = Literal["standard", "relaxed", "realistic"]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class BackboneSection(Section):
    name: str = "mini-clip"
    """`mini-clip` (ships with the project), an open_clip architecture such as `ViT-B-16-quickgelu`, or `auto`: that of
    the checkpoint folder."""
    pretrained: str | None = None
    """open_clip pretrained tag, or the path of a local weights file or of a checkpoint folder (transformers' or
    open_clip's); `random` initialises from a fixed seed."""
    precision: Precision = "fp32"
    """Number format of the frozen towers; contexts and optimiser state are always fp32."""
    local_features: LocalKind = "value"
    """Local image features: the last attention's value path (MaskCLIP), or its ordinary output tokens."""


class PromptSection(Section):
    context_length: int = Field(16, ge=1, le=64)
    """Learnable context tokens per prompt, L."""
    n_prompts: int = Field(2, ge=1, le=32)
    """Prompts per class, N."""
    class_token_position: ClassTokenPosition = "end"
    """Where the class name stands relative to the context."""
    class_specific: bool = False
    """One context per class instead of one shared by all classes."""
    init: str | None = None
    """Words the context starts from (cut or filled to L tokens), `dataset-template` for those before the class name
    in its template, or the path of learned contexts of the same shape (our `contexts.safetensors`, CoOp's
    `model.pth.tar-50`); None draws N(0, init_std^2)."""
    init_at: InitPlace = "start"
    """Where words of `init` stand that are fewer than L tokens: at the start with noise behind them, or at the end with
    zeros before them, as ProGrad has it."""
    init_std: float = Field(0.02, gt=0, le=1)
    """Standard deviation of the random initialisation."""


class AlignmentSection(Section):
    llm_weight: float = Field(4.0, ge=0, le=1000)
    """Weight of the alignment with class descriptions; 0 switches it off. Of a projected gradient, the share of the
    conflict that is taken out, ProGrad's lambda."""
    llm_form: LlmForm = "cosine"
    """Form of the alignment with descriptions."""
    llm_target: LlmTarget = "descriptions"
    """What prompts are aligned with: LLM-written descriptions, or the hand-written template; KgCoOp's differs from
    CoOp's on DescribableTextures, ProGrad's where CoOp's has words behind the class name."""
    llm_gradient: LlmGradient = "added"
    """How the alignment acts: its gradient is added to the cross-entropy's, or takes from that what conflicts with it
    (ProGrad)."""
    local_weight: float = Field(0.5, ge=0, le=1000)
    """Weight of the cross-entropy on local logits; 0 switches it off."""
    local_form: LocalForm = "attention"
    """How patch similarities become one score per class."""
    global_weight: float | None = Field(1.0, ge=0, le=1000)
    """Weight of global logits in training; 0 leaves them out, null is PLOT's rule: 1 on ImageNet, 0 elsewhere."""
    cross_entropy: CrossEntropy = "separate"
    """The weighted sum of a cross-entropy on global and one on local logits, or one on the weighted sum of both."""
    topk: int = Field(4, ge=1, le=1024)
    """Patches averaged by `local_form: topk`, and by the first prompt of `multiscale`."""
    topk_step: int = Field(4, ge=1, le=1024)
    """Patches that each prompt of `local_form: multiscale` averages beyond those of the prompt before it."""
    attention_beta: float = Field(10.0, gt=0, le=1000)
    """Inverse temperature over patches of `local_form: attention`."""
    ot_epsilon: float = Field(0.1, ge=0.001, le=10)
    """Entropic regularisation of every optimal-transport plan."""
    ot_iterations: int = Field(20, ge=1, le=10_000)
    """Sinkhorn iterations; a fixed number, so that no image's plan depends on its batch. At epsilon 0.1, 20 leave
    an error of float precision on the mini grid; smaller epsilons need more."""
    ot_marginals: Marginals = "uniform"
    """Marginals of the local plan: uniform, or KL-relaxed so that background patches may be left out."""
    ot_relaxation: float = Field(0.1, gt=0, le=100)
    """KL weight of the relaxed patch marginal; smaller leaves out more."""


class InferenceSection(Section):
    local_weight: float = Field(0.5, ge=0, le=100)
    """Weight of local logits at test."""
    global_weight: float | None = Field(1.0, ge=0, le=100)
    """Weight of global logits at test; 0 and null as in `alignment.global_weight`."""
    description_weight: float = Field(0.0, ge=0, le=100)
    """Weight of the mean description's logits at test."""


class OptimSection(Section):
    recipe: RecipeName = "mini"
    """Source of what is left unset below: the field's recipe (CoOp), KgCoOp's, or a short one tuned on the
    mini grid."""
    learning_rate: float | None = Field(None, gt=0, le=10)
    """SGD learning rate after the warm-up epoch; None takes the recipe's."""
    batch_size: int | None = Field(None, ge=1, le=4096)
    """Images per step; None takes the recipe's."""
    epochs: int | None = Field(None, ge=1, le=100_000)
    """Passes over the few-shot sample; None takes the recipe's."""
    epoch_scale: float = Field(1.0, gt=0, le=100)
    """Multiplies the recipe's epochs: 0.5 trains half as long at every number of shots."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum."""
    weight_decay: float = Field(5e-4, ge=0, le=1)
    """SGD weight decay on the contexts."""
    warmup_learning_rate: float = Field(1e-5, ge=0, le=1)
    """Constant learning rate of epoch 0."""


class DataSection(Section):
    root: str | None = None
    """Folder that holds the datasets. Mini datasets lie in the cache folder unless a mini grid lies here."""
    features: str | None = None
    """Folder of imported features (`dualpt features import`), read in place of images and weights."""
    draw: DrawKind = "standard"
    """How many images of each class are drawn: equally many, or in proportion to the class's training images, at least
    one of each (`relaxed`) or none of rare classes (`realistic`); see docs/protocols.md."""
    views: int = Field(1, ge=0, le=1000)
    """Cached views per training image: 1 is the plain centre crop, V > 1 draws from V random crops and flips, 0 crops
    and encodes again at every step."""

    @property
    def folder(self) -> Path | None:
        """`root` as a path."""
        return None if self.root is None else Path(self.root).expanduser()

    @property
    def imports(self) -> Path | None:
        """`features` as a path."""
        return None if self.features is None else Path(self.features).expanduser()


class DescriptionsSection(Section):
    bank: str | None = None
    """Folder with one `<dataset>.json` of {class name: [sentence]}; None looks in `descriptions/` beside the data (the
    mini grid has its own there), then among the banks that ship."""
    per_class: int | None = Field(None, ge=1, le=1000)
    """Sentences used per class, K, in the bank's order; None takes all."""


class Setting(Section):
    """One complete method configuration."""

    method: str = PROMPT
    """Learned prompts, a zero-shot classifier from the template or from the mean description, or a method on frozen
    features: one of docs/methods.md, one that a package installs, or `FILE.py`."""
    backbone: BackboneSection = BackboneSection()
    prompt: PromptSection = PromptSection()
    alignment: AlignmentSection = AlignmentSection()
    inference: InferenceSection = InferenceSection()
    optim: OptimSection = OptimSection()
    data: DataSection = DataSection()
    descriptions: DescriptionsSection = DescriptionsSection()
    own: tuple[tuple[str, Value], ...] = ()
    """Options of a method on frozen features, each the key `<method>.<option>`; none for other methods."""

    @model_validator(mode="before")
    @classmethod
    def _with_own_options(cls, given: Any) -> Any:
        """Find the method, and check and complete its options.

        Raises:
            UserError: no such method, or options that it refuses.
        """
        if not isinstance(given, dict) or not isinstance(method := given.get("method", PROMPT), str):
            return given
        own = dict(given.get("own", ()))
        if method in BUILT_IN:
            return {**given, "own": ()}
        method = canonical(method)
        return {**given, "method": method, "own": _completed(load_method(method), tuple(own.items()))}

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that this setting has: those of all settings, and its method's own."""
        return (*SETTING_KEYS, *self.own_keys)

    @property
    def own_keys(self) -> tuple[str, ...]:
        """Its method's own keys."""
        return tuple(f"{self.definition.name}.{option}" for option, _ in self.own)

    def check_key(self, key: str, source: str, also: Sequence[str] = ()) -> None:
        """Refuse a key that this setting doesn't have.

        Args:
            also: what else is known there.

        Raises:
            UserError: whose key it is, or the nearest.
        """
        if key not in self.keys:
            raise UserError(f"{source}: {self._unknown(key, also)}")

    def _unknown(self, key: str, also: Sequence[str] = ()) -> str:
        """Why a key is none of this setting's."""
        owner = owner_of(key)
        if owner is not None and owner != self.method_name:
            return f"{key} belongs to the method {owner}, and this setting's is {self.method_name}"
        return f"unknown key '{key}'{nearest(key, (*self.keys, *also))}"

    def flat(self) -> dict[str, Value]:
        """Every key by its dotted name."""
        values: dict[str, Value] = flatten(self.model_dump(exclude={"own"}))
        return values | {f"{self.definition.name}.{option}": value for option, value in self.own}

    @property
    def trains(self) -> bool:
        """Whether a sample is drawn and fitted; zero-shot classifiers draw none and have one result per dataset."""
        return self.method not in ZERO_SHOT

    @property
    def learns_prompts(self) -> bool:
        """Whether contexts are learned; other methods have none of the sections that shape prompts."""
        return self.method == PROMPT

    @property
    def fits_features(self) -> bool:
        """Whether its method is a class on frozen features (`dualpt.core.methods`), its `definition`."""
        return self.method not in BUILT_IN

    @property
    def method_name(self) -> str:
        """What its method is called in records: a user's own by its name, wherever its file lies."""
        return self.definition.name if self.fits_features else self.method

    @property
    def reads(self) -> Reads:
        """What its method reads of images; only where it `fits_features`."""
        return self.definition.reads(dict(self.own))

    @property
    def definition(self) -> LoadedMethod:
        """The code of its method; only where it `fits_features`."""
        return load_method(self.method)

    def active(self) -> dict[str, Value]:
        """The keys that can change the result, by dotted name: what identifies a setting.

        Locations (`data.root`, `data.features`, `descriptions.bank`) are left out: cell keys hash the content and not
        its place. So are knobs that the rest of the setting switches off, so CoOp with `alignment.topk: 3` is CoOp.
        """
        active = {
            key: value
            for key, value in self.flat().items()
            if key not in LOCATIONS and ACTIVE_WHEN.get(key, _always)(self)
        }
        if self.fits_features and self.definition.sha256 is not None:
            return active | {"method": self.method_name, METHOD_SOURCE: self.definition.sha256}
        return active

    def with_values(self, values: Mapping[str, Any], source: str = "override") -> "Setting":
        """Return a copy with dotted keys replaced; another method begins with the defaults of its own options.

        Raises:
            UserError: an unknown key (the nearest is named), one of another method, a wrong type or a value out of
                range; all in one line.
        """
        try:
            return self._changed(values)
        except ValidationError as error:
            raise UserError(f"{source}: {one_line(error)}") from None
        except UserError as error:
            raise UserError(f"{source}: {error}") from None

    def _changed(self, values: Mapping[str, Any]) -> "Setting":
        base = self._of_method(values.get("method", self.method))
        nested, own = base.model_dump(), dict(base.own)
        for key, value in values.items():
            section, _, name = key.rpartition(".")
            if key in SETTING_KEYS:
                (nested[section] if section else nested)[name] = value
            elif base.fits_features and section == base.definition.name:
                own[name] = value
            else:
                raise UserError(base._unknown(key))
        return Setting.model_validate({**nested, "own": tuple(own.items())})

    def _of_method(self, method: Any) -> "Setting":
        """The same with another method at its defaults; itself where that is its method."""
        if not isinstance(method, str) or canonical(method) == self.method:
            return self
        return Setting.model_validate({**self.model_dump(exclude={"own"}), "method": method})


@lru_cache(maxsize=4096)
def _completed(method: LoadedMethod, given: tuple[tuple[str, Value], ...]) -> tuple[tuple[str, Value], ...]:
    """Every option of a method in its order.

    Raises:
        UserError: an unknown option, a wrong type or a value out of range.
    """
    for option, _ in given:
        if option not in method.option_names:
            key, known = f"{method.name}.{option}", [f"{method.name}.{name}" for name in method.option_names]
            raise UserError(f"unknown key '{key}'{nearest(key, known)}")
    try:
        return tuple(method.options(dict(given)).model_dump().items())
    except ValidationError as error:
        raise UserError(one_line(error, f"{method.name}.")) from None


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one mapping of dotted keys.

    Raises:
        UserError: a key is given both nested and dotted.
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        inner = flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
        if twice := inner.keys() & flat.keys():
            raise UserError(f"{min(twice)} is given twice, nested and dotted; keep one of them")
        flat |= inner
    return flat


def one_line(error: ValidationError, prefix: str = "") -> str:
    """All faults of a pydantic validation in one line, each with its dotted key behind `prefix` and the value given."""
    faults = []
    for fault in error.errors():
        key = prefix + ".".join(str(part) for part in fault["loc"]) or "file"
        given = "" if fault["type"] == "missing" else f" (given: {fault['input']!r})"
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{key}: {message[0].lower()}{message[1:]}{given}")
    return "; ".join(faults)


SETTING_KEYS: tuple[str, ...] = tuple(Setting().flat())
LOCATIONS = frozenset({"data.root", "data.features", "descriptions.bank"})
METHOD_SOURCE = "method.source"
"""Among the active keys, what a user's own method is told by: the SHA-256 of its file, wherever that lies."""


def _always(setting: Setting) -> bool:
    return True


def _learns_prompts(setting: Setting) -> bool:
    return setting.learns_prompts


def _draws_unevenly(setting: Setting) -> bool:
    """Whether classes are drawn in proportion; keys of cells with equal draws stay what they were before."""
    return setting.trains and setting.data.draw != "standard"


def _loads_towers(setting: Setting) -> bool:
    return setting.data.features is None


def uses_local(setting: Setting) -> bool:
    """Whether local image features enter training or inference."""
    return _learns_prompts(setting) and (setting.alignment.local_weight > 0 or setting.inference.local_weight > 0)


def has_cross_entropy(setting: Setting) -> bool:
    """Whether labels enter the loss of a setting that learns prompts."""
    return setting.alignment.global_weight != 0 or setting.alignment.local_weight > 0


def has_logits(setting: Setting) -> bool:
    """Whether a setting that learns prompts has any logits at test."""
    at_test = setting.inference
    return at_test.global_weight != 0 or at_test.local_weight > 0 or at_test.description_weight > 0


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
