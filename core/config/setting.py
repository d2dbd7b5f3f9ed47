"""One complete method *setting*: its sections, its method's own options, and the same with other values.

A key's dotted name (``optim.learning_rate``) is its name everywhere: in YAML, on the command line, in MLflow and in
tables. Nothing below the entry point (`core.running`) sees this class.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import ValidationError, model_validator

from dualpt.core.config.faults import flatten, one_line
from dualpt.core.config.sections import (
    AlignmentSection,
    BackboneSection,
    DataSection,
    DescriptionsSection,
    InferenceSection,
    OptimSection,
    PromptSection,
    Section,
    Value,
)
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
        """What its method reads; only where it `fits_features`."""
        return self.definition.reads(dict(self.own))

    @property
    def definition(self) -> LoadedMethod:
        """The code of its method; only where it `fits_features`."""
        return load_method(self.method)

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


SETTING_KEYS: tuple[str, ...] = tuple(Setting().flat())
