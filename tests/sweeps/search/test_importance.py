from pathlib import Path

import numpy as np
import optuna

from dualpt.sweeps.search.importance import parameter_importances


def test_shares_are_of_what_the_best_candidates_have(tmp_path: Path) -> None:
    """High rates ruin a run; among all others the weight decides, and that is what is asked for."""
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = optuna.create_study(study_name="search", storage=storage, directions=["maximize", "minimize"])
    rng = np.random.default_rng(0)
    distributions = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("rate", "weight")}
    trials = []
    for rate, weight in rng.uniform(size=(200, 2)).tolist():
        accuracy = 20 if rate > 0.75 else 60 + 10 * weight
        trials.append(
            optuna.trial.create_trial(
                params={"rate": rate, "weight": weight}, distributions=distributions, values=[accuracy, 16]
            )
        )
    study.add_trials(trials)
    shares = parameter_importances("search", storage).shares
    assert shares["weight"] > 0.8 > shares["rate"]
