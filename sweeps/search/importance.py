"""Which parameters of a search mattered."""

import re
import warnings
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from dualpt.core.errors import UserError
from dualpt.sweeps.search.studies import open_storage
from dualpt.sweeps.stores import is_new, masked

# What Optuna warns of, by how its texts begin.
_DIRECTION = "PedAnovaImportanceEvaluator computes the importances of params to achieve low"
_FEW = re.compile(r"Some regimes for parameter `(.+)` have less than \d+ trials")
_ALIKE = "Target and region quantiles select the same set"


@dataclass(frozen=True)
class Importances:
    """Shares of the parameters, and how far to trust them."""

    shares: dict[str, float]
    """Parameter -> share of what they account for together."""
    judged: int
    """Candidates behind it."""
    doubtful: tuple[str, ...] = ()
    """Parameters that a single candidate has, or a single one lacks: their shares may be inaccurate."""


def parameter_importances(name: str, storage: str) -> Importances:
    """Optuna's PED-ANOVA of validation accuracy.

    Conditional parameters count where they exist. Source: Watanabe et al., PED-ANOVA, IJCAI 2023.

    Args:
        name: of the sweep, which its study shares.
        storage: of the study.

    Raises:
        UserError: no such storage or study, fewer than two judged candidates, or all of them equally accurate.
    """
    if is_new(storage):
        raise UserError(f"{masked(storage)}: no such study storage here; name one with --study")
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(storage, to_write=False))
    except KeyError:
        raise UserError(f"no search named '{name}' in {masked(storage)}; name another storage with --study") from None
    judged = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len(judged) < 2:
        raise UserError(f"search '{name}' has {len(judged)} judged candidates; importances need several")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            shares = optuna.importance.get_param_importances(study, target=_error)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"search '{name}': Optuna finds no importances ({str(error).splitlines()[0]})") from None
    doubtful = []
    for warning in warned:
        text = str(warning.message)
        if text.startswith(_ALIKE):
            raise UserError(
                f"search '{name}': its {len(judged)} judged candidates are equally accurate; nothing to explain"
            )
        if few := _FEW.match(text):
            doubtful.append(few[1])
        elif not text.startswith(_DIRECTION):  # `_error` is low where accuracy is high
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return Importances(shares, len(judged), tuple(doubtful))


def _error(trial: FrozenTrial) -> float:
    """PED-ANOVA asks what makes a target low: the error is low where the first objective, accuracy, is high."""
    return 100 - float(trial.values[0])
