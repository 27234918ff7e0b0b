"""Is a cleaned drop unlike those before it?

figures.py   what cleaning found in a drop, and how far two histograms are apart
alarms.py    what is not as it should be
"""

from tokensieve.drift.alarms import Alarm, find_alarms
from tokensieve.drift.figures import Figures, influence_bins, population_stability_index

__all__ = ["Alarm", "Figures", "find_alarms", "influence_bins", "population_stability_index"]
