"""Racing candidates over the datasets of the grid: which go on, and which are given up after some of them."""

from dualpt.sweeps.racing.races import NO_RACE, Asha, NoRace, Race, StatisticalRace, race_of
from dualpt.sweeps.racing.recall import recorded_scores
from dualpt.sweeps.racing.standings import Standings

__all__ = ["NO_RACE", "Asha", "NoRace", "Race", "Standings", "StatisticalRace", "race_of", "recorded_scores"]
