"""What to try next: Optuna studies, samplers and candidates. The only package that imports Optuna."""

from dualpt.sweeps.search.candidates import Candidates, Proposal, given_up, study_fits
from dualpt.sweeps.search.importance import parameter_importances

__all__ = ["Candidates", "Proposal", "given_up", "parameter_importances", "study_fits"]
