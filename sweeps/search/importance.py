"""Which parameters of a search mattered."""

import warnings

import optuna
from optuna.trial import FrozenTrial, TrialState

from core.errors import UserError
from sweeps.search.studies import open_storage
from sweeps.stores import is_new


def parameter_importances(name: str, storage: str) -> tuple[dict[str, float], int]:
    """Which parameters of a search mattered: Optuna's PED-ANOVA of validation accuracy.

    Conditional parameters count where they exist. Source: Watanabe et al., PED-ANOVA, IJCAI 2023.

    Args:
        name: of the sweep, which its study shares.
        storage: of the study.

    Returns:
        Parameter -> share of what they account for together, and the number of candidates behind it.

    Raises:
        UserError: no such storage or study, or fewer than two judged candidates.
    """
    if is_new(storage):
        raise UserError(f"{storage}: no such study storage here; name one with --study")
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(storage))
    except KeyError:
        raise UserError(f"no search named '{name}' in {storage}; name another storage with --study") from None
    judged = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len(judged) < 2:
        raise UserError(f"search '{name}' has {len(judged)} judged candidates; importances need several")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes")
            shares = optuna.importance.get_param_importances(study, target=_error)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"search '{name}': Optuna finds no importances ({str(error).splitlines()[0]})") from None
    return shares, len(judged)


def _error(trial: FrozenTrial) -> float:
    """PED-ANOVA asks what makes a target low: the error is low where the first objective, accuracy, is high."""
    return 100 - float(trial.values[0])
