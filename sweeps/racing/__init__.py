"""Racing candidates over the datasets of the grid: which go on, and which are given up after some of them.

- `races`: successive halving, and the paired test against the best. `standings`: the scores so far.
- `recall`: the scores of earlier launches, from their recorded cells.

Knows neither cells nor stores, but for `recall`; sees validation accuracies only.
"""

from dualpt.sweeps.racing.races import NO_RACE, Asha, NoRace, Race, StatisticalRace, race_of
from dualpt.sweeps.racing.recall import recorded_scores
from dualpt.sweeps.racing.standings import Standings

__all__ = ["NO_RACE", "Asha", "NoRace", "Race", "Standings", "StatisticalRace", "race_of", "recorded_scores"]
