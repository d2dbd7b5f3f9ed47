"""Settings of recorded trials by name: `SWEEP/TRIAL`, or `SWEEP` for what it selected."""

from typing import Any

from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.sweeps.records import MOVABLE
from dualpt.sweeps.stores import is_new, masked


def trial_values(store: str, name: str, *, only_looking: bool = False) -> dict[str, Any]:
    """Every key of one recorded setting; places on a machine only where they were given.

    Args:
        store: MLflow tracking store; one of an older MLflow is copied and migrated.
        name: `SWEEP/TRIAL` (a candidate, a variant, a baseline), or `SWEEP`: the setting that it selected.
        only_looking: refuse a store that would be migrated.

    Raises:
        UserError: no such store, sweep or trial; or the sweep has selected nothing, or several settings.
    """
    if is_new(store):
        raise UserError(f"{name}: {masked(store)}: no such tracking store here; run the sweep first")
    from dualpt.sweeps.ledger.mlflow import Ledger  # loads MLflow, which takes two seconds
    from dualpt.sweeps.ledger.mlflow.database import refuse_to_migrate

    try:
        if only_looking:
            refuse_to_migrate(store)
        found = Ledger(store).trial_settings(name)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    if len(found) > 1:
        named = ", ".join(f"{name}/{trial}" for trial in found)
        raise UserError(f"{name}: that sweep selected a setting per number of shots; name one: {named}")
    (values,) = found.values()
    return {key: value for key, value in values.items() if key not in MOVABLE or value is not None}


def trial_setting(store: str, name: str) -> Setting:
    """As `trial_values`, checked.

    Raises:
        UserError: the faults of `trial_values`, or values that this version refuses.
    """
    return Setting().with_values(trial_values(store, name), source=f"the setting of {name}")
