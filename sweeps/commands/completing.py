"""What a shell completes: shipped files, recorded sweeps and cells, datasets, methods, keys, figures.

Loads nothing heavy.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import typer

from dualpt.core.errors import UserError

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.reading import SweepReader

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
    from dualpt.core.config.setting import SETTING_KEYS

    return _beginning((f"{key}=" for key in SETTING_KEYS), typed)


def override_keys(typed: str) -> list[str]:
    """Keys of a sweep and of its setting, and what is written in their place (`trials`, `shots`)."""
    from dualpt.search_spaces.sweep_file import SHORTHANDS
    from dualpt.sweeps.tools.settings import sweep_rows

    keys = [*SHORTHANDS, "name", *(row["key"] for row in sweep_rows())]
    return [*_beginning((f"{key}=" for key in keys), typed), *setting_keys(typed)]


def recorded_sweeps(context: typer.Context, typed: str) -> list[str]:
    """Names of the sweeps in the store that is meant; none where it can't be read."""
    try:
        return _beginning(_reader(context).sweeps(), typed)
    except UserError:
        return []


def _reader(context: typer.Context) -> "SweepReader":
    """The store that is meant."""
    from dualpt.search_spaces.sweep import Run
    from dualpt.sweeps.ledger.opening import open_reader

    return open_reader(context.params.get("store") or Run().tracking_uri)


def cells(context: typer.Context, typed: str) -> list[str]:
    """Places of finished cells, `SWEEP/TRIAL/DATASET/SHOTS/SEED`, one part further than what is typed."""
    sweep, slash, _ = typed.partition("/")
    if not slash:
        return [f"{name}/" for name in recorded_sweeps(context, typed)]
    from dualpt.sweeps.ledger.cell_names import place_of

    try:
        rows = _reader(context).read_cells(sweep, params=())
    except UserError:
        return []
    in_order = sorted(rows, key=lambda row: (row.shots, row.seed))  # those of a pack end in the same millisecond
    places = [(sweep, *place_of(row)) for row in in_order if row.finished]
    begun = ["/".join(place[:depth]) + "/" * (depth < 5) for place in places for depth in range(2, 6)]
    further = [word for word in dict.fromkeys(begun) if word.startswith(typed) and word != typed]
    return [word for word in further if not any(word.startswith(shorter) for shorter in further if shorter != word)]


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
    from dualpt.sweeps.ledger.launch_record import launch_of
    from dualpt.sweeps.ledger.opening import open_reader

    try:
        reader = open_reader(context.params.get("store") or Run().tracking_uri)
        record = launch_of(reader.read_sweep(context.params.get("name") or ""))
    except UserError:
        return []
    return _beginning((f"{key}=" for key in (record.space if record is not None else {})), typed)


def figures(typed: str) -> list[str]:
    from dualpt.sweeps.comparison.draw import KINDS

    return _beginning(KINDS, typed)
