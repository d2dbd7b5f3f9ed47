"""Methods on frozen features by name: what tables call them, and where their code lies.

Their modules are imported when a setting names them, so nothing here loads torch before one is used.
"""

import importlib
import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from pydantic import BaseModel, PydanticUserError, ValidationError

from dualpt.core.errors import UserError, nearest
from dualpt.core.files.fingerprint import file_sha256
from dualpt.core.method_files import (
    INTERFACE,
    absolute,
    check_declared,
    forget,
    is_file_spec,
    naming_its_line,
    read_definition,
)

Group = Literal["zero-shot", "training-free", "adapter", "prompt"]
"""How tables group methods: none sees an image, a closed form, an adapter trained on features, learned prompts."""

ROOM = "dualpt.core.methods"
ENTRY_POINTS = "dualpt.methods"
"""Group of entry points by which a package offers methods."""
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

PROMPT = "prompt"
ZERO_SHOT = ("zero-shot", "zero-shot-descriptions")
BUILT_IN = (PROMPT, *ZERO_SHOT)
"""Methods that are no classes: learned prompts, whose knobs are sections of the setting, and zero-shot classifiers."""

DECLARED: dict[str, type] = {
    "name": str,
    "title": str,
    "short_title": str,
    "protocols": frozenset,
    "packable": Collection,
    "min_shots": int,
    "every_class": bool,
    "revision": int,
    "by_protocol": Mapping,
}
"""What a class declares, by type."""


@dataclass(frozen=True)
class Entry:
    """A method that ships."""

    name: str
    module: str
    """Below `core.methods`."""
    title: str
    short_title: str
    group: Group


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("nearest-mean", "training_free.nearest_mean", "Nearest class mean", "NCM", "training-free"),
        Entry("least-squares", "training_free.least_squares", "Least-squares probe", "LSQ", "training-free"),
        Entry("tip-adapter", "training_free.tip_adapter", "Tip-Adapter", "Tip", "training-free"),
        Entry("gda", "training_free.gda", "GDA", "GDA", "training-free"),
        Entry("gda-image", "training_free.gda_image", "GDA, images alone", "GDA img.", "training-free"),
        Entry("proker", "training_free.proker", "ProKeR", "ProKeR", "training-free"),
        Entry("ss-text", "training_free.ss_text", "SS-Text", "SS-Text", "training-free"),
        Entry("linear-probe", "adapters.linear_probe", "Linear probe", "LP", "adapter"),
        Entry("clip-adapter", "adapters.clip_adapter", "CLIP-Adapter", "CLIP-Ad.", "adapter"),
        Entry("tip-adapter-f", "adapters.tip_adapter_f", "Tip-Adapter-F", "Tip-F", "adapter"),
        Entry("taskres", "adapters.task_res", "TaskRes", "TaskRes", "adapter"),
        Entry("zs-lp", "adapters.zs_lp", "ZS-LP", "ZS-LP", "adapter"),
        Entry("clap", "adapters.clap", "CLAP", "CLAP", "adapter"),
        Entry("lp-plus-plus", "adapters.lp_plus_plus", "LP++", "LP++", "adapter"),
        Entry("rla", "adapters.rla", "RLA", "RLA", "adapter"),
        Entry("prolip", "adapters.prolip", "ProLIP", "ProLIP", "adapter"),
    )
}
"""In the order of tables."""


class Reads(Protocol):
    """What `dualpt.core.methods.interface.Needs` declares."""

    @property
    def views(self) -> int: ...
    @property
    def min_crop_area(self) -> float: ...
    @property
    def validation(self) -> bool: ...
    @property
    def norms(self) -> bool: ...
    @property
    def hidden(self) -> bool: ...
    @property
    def text(self) -> bool: ...
    @property
    def descriptions(self) -> bool: ...
    @property
    def rows(self) -> int: ...
    @property
    def rows_of_one(self) -> bool: ...


_OWN_NAMES: set[str] = set()
"""Of the users' files that this process has loaded."""


@dataclass(frozen=True, eq=False)
class LoadedMethod:
    """A method whose code has been imported."""

    definition: type[Any]
    """The subclass of `dualpt.core.methods.interface.Method`."""
    path: str | None = None
    """Of the file that defines it, where that does not ship."""
    sha256: str | None = None
    """Of the file that defines it, where that does not ship; part of every cell's key."""

    @property
    def name(self) -> str:
        return str(self.definition.name)

    @property
    def option_names(self) -> tuple[str, ...]:
        options: type[BaseModel] = self.definition.options
        return tuple(options.model_fields)

    @cached_property
    def instance(self) -> Any:
        """The one object that serves every cell."""
        with naming_its_line(self.path):
            return self.definition()

    @property
    def fit_line(self) -> int:
        """Where its `fit` begins, for faults of what that leaves."""
        code = getattr(self.definition.fit, "__code__", None)
        return 0 if code is None else int(code.co_firstlineno)

    def options(self, values: dict[str, Any]) -> Any:
        """Typed options.

        Raises:
            ValidationError: an unknown option, a wrong type, or a value out of range.
        """
        return self.definition.options(**values)

    def reads(self, values: dict[str, Any]) -> Reads:
        """What it reads under these options.

        Raises:
            UserError: its `needs` fails, or gives something else.
        """
        with naming_its_line(self.path):
            needs: Reads = self.instance.needs(self.options(values))
            if not hasattr(needs, "min_crop_area"):
                raise TypeError(f"needs gave {needs!r:.60}; return Needs(…) of dualpt.core.methods.interface")
            return needs

    def check(self, values: dict[str, Any], protocol: str) -> None:
        """Refuse options that can't serve a protocol.

        Raises:
            UserError: the options, or the fault of a check of a user's own.
        """
        with naming_its_line(self.path):
            self.instance.check(self.options(values), protocol)


def canonical(spec: str) -> str:
    """The name of a method as settings hold it: files by their absolute path."""
    return absolute(spec) if is_file_spec(spec) else spec


@cache
def load_method(spec: str) -> LoadedMethod:
    """Import a method on frozen features.

    Args:
        spec: a name of the catalogue or of an entry point, or `canonical` of a file.

    Raises:
        UserError: no such method (the nearest is named), or one whose code is faulty; one line.
    """
    if spec in CATALOGUE:
        return LoadedMethod(_import(f"{ROOM}.{CATALOGUE[spec].module}", spec))
    if is_file_spec(spec):
        definition, file = read_definition(spec)
        return _checked(LoadedMethod(definition, file.path, file.sha256), file.path)
    offered = installed()
    if spec in offered:
        try:
            definition = offered[spec].load()
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            raise UserError(f"method {spec}: entry point {offered[spec].value}: {fault}") from None
        place = f"entry point {spec}"
        if not isinstance(definition, type):
            raise UserError(f"{place}: {offered[spec].value} is {definition!r:.60}, not a subclass of Method")
        path = inspect.getfile(definition)
        loaded = _checked(LoadedMethod(definition, path, file_sha256(Path(path))), place)
        if loaded.name != spec:
            raise UserError(f"{place}: its method is named '{loaded.name}'; the two should be the same")
        return loaded
    known = (*BUILT_IN, *CATALOGUE, *offered)
    raise UserError(f"unknown method '{spec}'{nearest(spec, known)} (known: {', '.join(known)}, or FILE.py)")


def read_files_again() -> None:
    """Let files of users' own methods count as they are now: somebody may have edited one since it was read."""
    forget()
    load_method.cache_clear()


@cache
def installed() -> dict[str, EntryPoint]:
    """Methods that installed packages offer, by name."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def owner_of(key: str) -> str | None:
    """The method that a dotted key belongs to, of all that are known; None for other keys."""
    owner = key.partition(".")[0]
    return owner if owner in CATALOGUE or owner in installed() or owner in _OWN_NAMES else None


def _import(module: str, name: str) -> type[Any]:
    """The class of that name in a module of the project."""
    members = vars(importlib.import_module(module)).values()
    found: type[Any] = next(one for one in members if isinstance(one, type) and vars(one).get("name") == name)
    return found


def _checked(method: LoadedMethod, place: str) -> LoadedMethod:
    """Refuse what no file of this project could be: titles that are missing, a name that is taken, odd options."""
    definition = method.definition
    check_declared(definition, place, DECLARED)
    if not NAME.fullmatch(method.name):
        raise UserError(f"{place}: name '{method.name}': use lower-case letters, digits and single hyphens")
    if method.name in (*CATALOGUE, *BUILT_IN):
        raise UserError(f"{place}: name '{method.name}' is taken by a method that ships; choose another")
    if (group := getattr(definition, "group", "adapter")) not in get_args(Group):
        raise UserError(f"{place}: unknown group {group!r}; it is one of {', '.join(get_args(Group))}")
    defaults = _defaults(method, place)
    for option, value in defaults.items():
        if not isinstance(value, str | int | float | bool | None):
            raise UserError(f"{place}: option {option}: a word, a number, true, false or none, found {value!r}")
    if isinstance(definition.packable, str):
        raise UserError(f"{place}: packable is a set of names: frozenset({{'{definition.packable}'}})")
    known: tuple[str, ...] = get_args(importlib.import_module(INTERFACE).Protocol)
    if unknown := {*definition.protocols, *definition.by_protocol} - set(known):
        hint = nearest(min(unknown), known)
        raise UserError(f"{place}: unknown protocol '{min(unknown)}'{hint} (known: {', '.join(known)})")
    if foreign := set(definition.packable) - set(defaults):
        if not defaults:
            raise UserError(f"{place}: packable names '{min(foreign)}', and the class sets no options of its own")
        raise UserError(f"{place}: packable names no option '{min(foreign)}'{nearest(min(foreign), defaults)}")
    method.reads({})
    _OWN_NAMES.add(method.name)
    return method


def _defaults(method: LoadedMethod, place: str) -> dict[str, Any]:
    """Its options' defaults, which have to be there and be values that their own types allow."""
    options = method.definition.options
    if not (isinstance(options, type) and issubclass(options, BaseModel)):
        raise UserError(f"{place}: options should be a subclass of MethodOptions, found {options!r:.60}")
    try:
        made = method.options({})
    except ValidationError as error:
        option = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(f"{place}: option {option} needs a default") from None
    except PydanticUserError as error:
        raise UserError(f"{place}: options: {str(error).splitlines()[0]}") from None
    defaults: dict[str, Any] = {option: getattr(made, option) for option in options.model_fields}
    try:
        method.options(defaults)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"]))
        raise UserError(f"{place}: option {option}: its default {first['input']!r:.60}: {first['msg']}") from None
    return defaults
