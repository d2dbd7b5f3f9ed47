"""What to try next: Optuna studies, samplers and candidates. The only room that imports Optuna.

- `candidates`: asks for, reports and takes up candidates; goes on where an earlier launch stopped.
- `samplers`: Optuna's samplers by name. `studies`: where studies are stored, and which sweep each belongs to.
- `study_mirror`: a study in memory, written as it changes, for the launch that uses it.
- `study_upkeep`: a sweep's studies renamed and deleted. `removed_candidates`: one candidate taken out of a study.
- `journals`: journal files, cut off in mid-write or sound.
- `importance`: which parameters mattered. `trial_attributes`: names of what is kept on Optuna's trials.

May use `search_spaces`, `records` and `stores`; sees validation accuracies only.
"""

from dualpt.sweeps.search.candidates import Candidates, Proposal, given_up, study_fits
from dualpt.sweeps.search.importance import parameter_importances
from dualpt.sweeps.search.studies import StudyChange, study_change

__all__ = ["Candidates", "Proposal", "StudyChange", "given_up", "parameter_importances", "study_change", "study_fits"]
