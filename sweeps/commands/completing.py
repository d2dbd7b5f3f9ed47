"""What a shell completes: shipped files, recorded sweeps, datasets, methods, keys and figures. Loads nothing heavy."""

from collections.abc import Callable, Iterable

import typer

from dualpt.core.errors import UserError

Complete = Callable[[str], list[str]]


def _beginning(known: Iterable[str], typed: str) -> list[str]:
    return [word for word in known if word.startswith(typed)]


def shipped_sweeps(typed: str) -> list[str]:
    from dualpt.search_spaces.shipped import shipped_folder

    return _beginning(sorted(path.stem for path in shipped_folder().glob("*.yaml")), typed)


def shipped_ablations(typed: str) -> list[str]:
    from dualpt.search_spaces.shipped import shipped_ablations as folder

    return _beginning(sorted(path.stem for path in folder().glob("*.yaml")), typed)


def shipped_files(typed: str) -> list[str]:
    return sorted([*shipped_sweeps(typed), *shipped_ablations(typed)])


def datasets(typed: str) -> list[str]:
    from dualpt.core.data.catalog import MINI_GRID, REAL_GRID

    return _beginning((*MINI_GRID, *REAL_GRID), typed)


def methods(typed: str) -> list[str]:
    from dualpt.core.presets import METHODS

    return _beginning(METHODS, typed)


def setting_keys(typed: str) -> list[str]:
    """Keys of a setting, to be followed by a value."""
    from dualpt.core.config import SETTING_KEYS

    return _beginning((f"{key}=" for key in SETTING_KEYS), typed)


def override_keys(typed: str) -> list[str]:
    """Keys of a sweep and of its setting, and what is said in their place (`trials`, `shots`)."""
    from dualpt.search_spaces.sweep_file import SHORTHANDS
    from dualpt.sweeps.tools.settings import sweep_rows

    keys = [*SHORTHANDS, "name", *(row["key"] for row in sweep_rows())]
    return [*_beginning((f"{key}=" for key in keys), typed), *setting_keys(typed)]


def recorded_sweeps(context: typer.Context, typed: str) -> list[str]:
    """Names of the sweeps in the store that is meant; none where it can't be read."""
    from dualpt.search_spaces.sweep import Run
    from dualpt.sweeps.ledger.opening import open_reader

    try:
        return _beginning(open_reader(context.params.get("store") or Run().tracking_uri).sweeps(), typed)
    except UserError:
        return []


def recorded_trials(context: typer.Context, typed: str) -> list[str]:
    """Trials of the sweep that has been typed."""
    from dualpt.search_spaces.sweep import Run
    from dualpt.sweeps.ledger.opening import open_reader

    try:
        reader = open_reader(context.params.get("store") or Run().tracking_uri)
        rows = reader.trials(reader.named_experiment(context.params.get("name") or ""))
    except UserError:
        return []
    return _beginning(sorted(row.ref.name for row in rows if not row.superseded), typed)


def searched_keys(context: typer.Context, typed: str) -> list[str]:
    """Keys that the typed sweep searches, to be followed by a value."""
    from dualpt.search_spaces.sweep import Run
    from dualpt.sweeps.ledger.launch_record import record_from
    from dualpt.sweeps.ledger.opening import open_reader

    try:
        reader = open_reader(context.params.get("store") or Run().tracking_uri)
        record = record_from(reader.read_sweep(context.params.get("name") or "").launched)
    except UserError:
        return []
    return _beginning((f"{key}=" for key in (record.space if record is not None else {})), typed)


def figures(typed: str) -> list[str]:
    from dualpt.sweeps.comparison.draw import KINDS

    return _beginning(KINDS, typed)
