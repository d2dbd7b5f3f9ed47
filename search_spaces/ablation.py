"""The ablation file: its reference setting, and the variants that are compared with it.

variants:                                       # named lists
  without descriptions: {alignment.llm_weight: 0}
  one prompt (CoOp): {method: coop, changes: [prompt.n_prompts, alignment.llm_weight, …]}
factors:                                        # or factors, one at a time or crossed
  prompt.n_prompts: [1, 2, 4]
  local alignment: {without: {alignment.local_weight: 0, inference.local_weight: 0}, with: {}}
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args
from unicodedata import normalize

from dualpt.core.config.activity import active_values, uses_descriptions
from dualpt.core.config.faults import flatten
from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError, nearest
from dualpt.core.presets import METHODS, find_method, method_setting
from dualpt.search_spaces.designs import Design, Factor, factorial, one_at_a_time, resolution
from dualpt.search_spaces.documents.extending import read_extended
from dualpt.search_spaces.shipped import shipped_ablation_or_path
from dualpt.search_spaces.space_checks import check_given_read
from dualpt.search_spaces.sweep import LoadedSweep, Origin, SweepFile, Variant
from dualpt.search_spaces.sweep_file import baseline_settings, check_grid, in_full, override

ABLATION_KEYS = ("reference", "variants", "design", "factors", "generators", "pack")
SHARED_KEYS = tuple(key for key in SweepFile.model_fields if key != "search")
BANK = "descriptions.bank"
"""A location, and yet what an ablation of description banks varies."""
FORBIDDEN = "'\"`[]"
"""Characters that a name in MLflow's queries, or in a table of several sweeps, cannot hold."""
LONGEST_NAME = 200
"""Characters of a variant's name."""


def _as_read(name: str) -> str:
    """What names have in common that look the same, or differ in case alone."""
    return normalize("NFKC", name).casefold()


OF_A_SEARCH = re.compile(r"best(-\d+-shot)?|best of (the )?sweep.*|trial-\d+")
"""Names that searches give their trials, and what tables call them."""
RESERVED = frozenset(
    _as_read(word) for name, method in METHODS.items() for word in (name, method.title, method.short_title)
)
"""What published methods are called in tables and on the command line."""


@dataclass(frozen=True)
class LoadedAblation:
    """An ablation file that has passed every check that needs no data."""

    sweep: LoadedSweep
    """What is run: the grid, the baselines, the reference and the variants."""
    design: Design
    factors: tuple[Factor, ...] = ()
    generators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a fractional factorial: generated factor -> the factors whose product it follows."""

    @property
    def reference(self) -> Variant:
        return self.sweep.variants[0]


def load_ablation(path: Path, overrides: Mapping[str, Any] | None = None) -> LoadedAblation:
    """Read an ablation file, apply `key=value` overrides to its grid and its reference, and check all of it.

    Raises:
        UserError: one line that names the file, the key and the remedy.
    """
    declared = read_extended(path, shipped_ablation_or_path, override)
    origin = Origin("ablation", str(path), path.read_text(encoding="utf-8"), overrides or {})
    ablation = load_ablation_document(declared, origin, str(path))
    variants = [variant.setting for variant in ablation.sweep.variants]
    check_given_read(origin.overrides, [*variants, *baseline_settings(ablation.sweep.file)], str(path))
    return ablation


def load_ablation_document(declared: Mapping[str, Any], origin: Origin, source: str) -> LoadedAblation:
    """An ablation from what its file declares, with the overrides of `origin` over it (see `load_ablation`).

    Args:
        source: what declares it, for error messages.
    """
    given = in_full(origin.overrides)
    for key in given:
        if key.split(".")[0] in (*ABLATION_KEYS, "search") and key != "pack":
            raise UserError(f"{source}: '{key}' cannot be overridden in an ablation; change it in a copy of the file")
    pack = {"pack": given.pop("pack")} if "pack" in given else {}
    shared = {key: value for key, value in declared.items() if key not in ABLATION_KEYS}
    design = {key: value for key, value in declared.items() if key in ABLATION_KEYS}
    document = {**override(shared, given, source), **design, **pack}
    ablation = check_ablation(document, source)
    return replace(ablation, sweep=replace(ablation.sweep, origin=replace(origin, document=document)))


def check_ablation(declared: Mapping[str, Any], source: str) -> LoadedAblation:
    """Validate a declared ablation (see `load_ablation`)."""
    for key in declared:
        if key == "search":
            raise UserError(f"{source}: search: an ablation declares its variants; a search is for `dualpt sweep`")
        if key not in (*SHARED_KEYS, *ABLATION_KEYS):
            hint = f"; did you mean 'setting.{key}'?" if key in Setting.model_fields else ""
            raise UserError(f"{source}: unknown key '{key}'{hint or nearest(key, (*SHARED_KEYS, *ABLATION_KEYS))}")
    sweep = check_grid({key: value for key, value in declared.items() if key not in ABLATION_KEYS}, source)
    origin = Origin("ablation", source, document=declared)
    sweep = replace(sweep, pack=_pack(declared.get("pack", "auto"), source), origin=origin)
    title = declared.get("reference", "reference")
    _check_name(title, f"{source}: reference")
    reference = Variant(title, sweep.reference, {}, is_reference=True)
    if ("variants" in declared) == ("factors" in declared):
        raise UserError(f"{source}: give either 'variants' (a named list) or 'factors'")
    if "variants" in declared:
        for key in ("design", "generators"):
            if key in declared:
                raise UserError(f"{source}: {key}: belongs to 'factors'; remove it from a named list of variants")
        variants = _named(declared["variants"], reference, sweep, f"{source}: variants")
        ablation = LoadedAblation(replace(sweep, variants=(reference, *variants)), "named")
    else:
        ablation = _of_factors(declared, reference, sweep, source)
    _check_distinct(ablation.sweep.variants, source)
    return ablation


def _pack(declared: Any, source: str) -> int | Literal["auto"]:
    if declared == "auto" or (type(declared) is int and declared >= 1):
        return cast(int | Literal["auto"], declared)
    raise UserError(f"{source}: pack: how many variants may share steps, 1 or more, or auto; found {declared!r}")


# Named lists


def _named(declared: Any, reference: Variant, sweep: LoadedSweep, place: str) -> list[Variant]:
    if not isinstance(declared, dict) or not declared:
        raise UserError(f"{place}: expected a mapping of names to values, found {declared!r}")
    return [_named_variant(name, values, reference, sweep, f"{place}.{name}") for name, values in declared.items()]


def _named_variant(name: str, values: Any, reference: Variant, sweep: LoadedSweep, place: str) -> Variant:
    """A variant by its values, or a method by its name or file with the keys in which it is said to differ."""
    _check_name(name, place)
    if not isinstance(values, dict) or not values:
        raise UserError(f"{place}: expected {{key: value}}, found {values!r}")
    if "method" in values:
        setting, changes = _published(values, sweep, place)
    else:
        flat = flatten(values)
        setting, changes = reference.setting.with_values(flat, source=place), list(flat)
    _check_difference(setting, reference, changes, place)
    return Variant(name, setting, {})


def _published(values: Mapping[str, Any], sweep: LoadedSweep, place: str) -> tuple[Setting, list[str]]:
    for key in values:
        if key not in ("method", "changes"):
            raise UserError(f"{place}: unknown key '{key}' beside 'method'; it takes 'changes' alone")
    method, changes = values["method"], values.get("changes")
    if not isinstance(changes, list) or not changes:
        raise UserError(f"{place}: a published method needs 'changes', the list of keys in which it differs")
    if not isinstance(method, str):
        raise UserError(f"{place}: a method is a word, found {method!r}")
    try:
        find_method(method)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    setting = method_setting(method, sweep.file.base_values(), sweep.file.grid.protocol)
    if not setting.trains:
        raise UserError(f"{place}: {method} trains nothing; list it under 'baselines'")
    for key in changes:
        setting.check_key(str(key), f"{place}.changes")
    if setting.method != sweep.reference.method:  # named with the method that they belong to
        changes = [*changes, *setting.own_keys, *sweep.reference.own_keys]
    return setting, changes


# Factors


def _of_factors(declared: Mapping[str, Any], reference: Variant, sweep: LoadedSweep, source: str) -> LoadedAblation:
    given, design = declared["factors"], declared.get("design", "one-at-a-time")
    known = [word for word in get_args(Design) if word != "named"]
    if design not in known:
        raise UserError(f"{source}: unknown design '{design}'{nearest(design, known)} (known: {', '.join(known)})")
    if not isinstance(given, dict) or not given:
        raise UserError(f"{source}: factors: expected a mapping of names to levels, found {given!r}")
    with_own = {n: _with_own(n, levels, reference.setting, design) for n, levels in given.items()}
    factors = tuple(_factor(n, levels, reference.setting, f"{source}: factors.{n}") for n, levels in with_own.items())
    _check_apart(factors, source)
    generators = _generators(declared.get("generators"), design, factors, f"{source}: generators")
    runs = one_at_a_time(factors) if design == "one-at-a-time" else factorial(factors, generators)
    variants = [replace(reference, levels=runs[0])]
    for levels in runs[1:]:
        changed = {f.name: levels[f.name] for f in factors if levels[f.name] != f.reference}
        values = {key: value for f in factors for key, value in f.levels[levels[f.name]].items() if f.name in changed}
        name = ", ".join(_level_name(factor, level, reference.setting) for factor, level in changed.items())
        _check_name(name, f"{source}: factors")
        setting = reference.setting.with_values(values, source=f"{source}: factors")
        _check_difference(setting, reference, list(values), f"{source}: {name}")
        variants.append(Variant(name, setting, levels))
    return LoadedAblation(replace(sweep, variants=tuple(variants)), design, factors, generators)


def _level_name(factor: str, level: str, reference: Setting) -> str:
    """`prompt.n_prompts = 4`, `without local alignment`."""
    return f"{factor} = {level}" if factor in reference.keys else f"{level} {factor}"


def _with_own(name: str, declared: Any, reference: Setting, design: str) -> Any:
    """A list of values, with the reference's own before it where it isn't among them, as a searched one rarely is.

    One at a time alone: crossed, a level more would double the runs, or be no fraction.
    """
    if design != "one-at-a-time" or not isinstance(declared, list) or name not in reference.keys:
        return declared
    own = reference.flat()[name]
    return declared if own in declared or str(own) in map(str, declared) else [own, *declared]


def _factor(name: str, declared: Any, reference: Setting, place: str) -> Factor:
    """A factor from `[values]` of the key that it is named after, or from levels that each set some keys."""
    _check_name(name, place)
    if isinstance(declared, list):
        if name not in reference.keys:
            raise UserError(f"{place}: a list of values needs a key as its name{nearest(name, reference.keys)}")
        texts = [str(value) for value in declared]
        if twice := [text for n, text in enumerate(texts) if text in texts[:n]]:
            raise UserError(f"{place}: {twice[0]} is listed twice; remove one")
        declared = {("all" if value is None else str(value)): {name: value} for value in declared}
    if not isinstance(declared, dict) or len(declared) < 2:
        raise UserError(f"{place}: expected a list of values, or levels with the values of each; at least two")
    levels: dict[str, dict[str, Value]] = {}
    for level, values in declared.items():
        if not isinstance(values, dict):
            raise UserError(f"{place}.{level}: expected {{key: value}}, found {values!r}")
        levels[level] = flatten(values)
    settings = {level: reference.with_values(values, f"{place}.{level}") for level, values in levels.items()}
    own = [level for level, setting in settings.items() if not _difference(setting, reference)]
    if len(own) != 1:
        found = "none of the levels is" if not own else f"{' and '.join(own)} are both"
        has = ", ".join(
            f"{key}={reference.flat()[key]}" for key in dict.fromkeys(k for v in levels.values() for k in v)
        )
        raise UserError(
            f"{place}: {found} the reference's ({has}); exactly one level must leave the reference unchanged"
        )
    return Factor(name, levels, own[0])


def _check_apart(factors: Sequence[Factor], source: str) -> None:
    owners: dict[str, str] = {}
    for factor in factors:
        for key in {key for values in factor.levels.values() for key in values}:
            if key in owners:
                raise UserError(f"{source}: factors '{owners[key]}' and '{factor.name}' both set {key}")
            owners[key] = factor.name


def _generators(declared: Any, design: str, factors: Sequence[Factor], place: str) -> dict[str, tuple[str, ...]]:
    """Generators of a fraction, checked to leave main effects apart from one another."""
    if declared is None:
        return {}
    if design != "factorial":
        raise UserError(f"{place}: only a factorial design has a fraction; set design: factorial")
    names = {factor.name: factor for factor in factors}
    if not isinstance(declared, dict) or not all(isinstance(by, list) for by in declared.values()):
        raise UserError(f"{place}: expected {{factor: [factors whose product it follows]}}, found {declared!r}")
    for generated, by in declared.items():
        for name in (generated, *by):
            if not isinstance(name, str) or name not in names:
                raise UserError(f"{place}: unknown factor '{name}'{nearest(name, names)}")
            if len(names[name].levels) != 2:
                raise UserError(f"{place}: {name} has {len(names[name].levels)} levels; a fraction takes two of each")
        if set(by) & set(declared):
            raise UserError(f"{place}.{generated}: is generated by a generated factor; name free factors")
    generators = {generated: tuple(by) for generated, by in declared.items()}
    if (resolution(generators) or 3) < 3:
        raise UserError(f"{place}: resolution below III: two factors would vary together; generate by other factors")
    return generators


# What a variant may be


def _check_name(name: Any, place: str) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or set(name) & set(FORBIDDEN):
        raise UserError(
            f"{place}: a name is 1 to {LONGEST_NAME} characters without {' '.join(FORBIDDEN)}; found {name!r}"
        )
    if not name.isprintable() or name != name.strip():
        raise UserError(
            f"{place}: a name is one line of visible characters, without spaces at its ends; found {name!r}"
        )
    if _as_read(name) in RESERVED or OF_A_SEARCH.fullmatch(_as_read(name)):
        raise UserError(f"{place}: '{name}' is the name of a published method or of a search's trial; choose another")


def _difference(setting: Setting, reference: Setting) -> list[str]:
    """Keys that differ and matter in at least one of the two settings."""
    one, other = setting.flat(), reference.flat()
    matters = active_values(setting).keys() | active_values(reference).keys()
    if uses_descriptions(setting) or uses_descriptions(reference):
        matters = matters | {BANK}
    return [key for key in {**one, **other} if key in matters and one.get(key) != other.get(key)]


def _check_difference(setting: Setting, reference: Variant, declared: Sequence[str], place: str) -> None:
    """A variant differs from the reference in something, and in what it declares alone."""
    differs = _difference(setting, reference.setting)
    if not differs:
        raise UserError(f"{place}: differs from the reference in nothing that matters; remove it, or change a value")
    if more := [key for key in differs if key not in declared]:
        raise UserError(f"{place}: differs from the reference in more than declared: {', '.join(more)}; declare it")
    one, other = setting.flat(), reference.setting.flat()
    if idle := [key for key in declared if one.get(key) != other.get(key) and key not in differs]:
        raise UserError(f"{place}: {', '.join(idle)} changes nothing, since the rest of the setting switches it off")


def _check_distinct(variants: Sequence[Variant], source: str) -> None:
    """No two variants may be one setting, or have one name."""
    for place, variant in enumerate(variants):
        for other in variants[:place]:
            if _as_read(other.name) == _as_read(variant.name):
                raise UserError(f"{source}: two variants are named '{variant.name}'")
            if not _difference(variant.setting, other.setting):
                raise UserError(f"{source}: '{other.name}' and '{variant.name}' are one setting; remove one")
