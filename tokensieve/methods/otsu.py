"""Multi-Otsu thresholds: cuts of a histogram into classes that lie as far apart as they can.

Shapes: V = values, B = bins of their histogram, E = their edges.
"""

import numpy as np

from tokensieve.corpus import Float64s, Int64s

_NUM_BINS = 256


def multi_otsu(value_V: Float64s, count_V: Int64s, num_classes: int) -> list[float]:
    """Return the num_classes - 1 cuts, ascending; a value at a cut belongs to the class above.

    `count_V` says how often each value occurs. Of all cuts between 256 bins of equal width the ones
    of greatest variance between classes (Otsu 1979; Liao, Chen and Chung 2001), the lowest if
    several are. Empty if fewer bins than classes are taken.
    """
    occurs_V = count_V > 0
    value_V, count_V = value_V[occurs_V], count_V[occurs_V]
    if not len(value_V):
        return []
    edge_E = np.linspace(value_V.min(), value_V.max(), _NUM_BINS + 1)
    bin_V = (np.searchsorted(edge_E, value_V, side="right") - 1).clip(max=_NUM_BINS - 1)
    count_B = np.bincount(bin_V, count_V, _NUM_BINS).astype(np.int64)
    return [float(edge_E[bin]) for bin in class_starts(count_B, num_classes)]


def class_starts(count_B: Int64s, num_classes: int) -> list[int]:
    """Return the first bin of each class but the lowest, for the greatest variance between them.

    Empty if fewer bins than classes are taken. The variance is a constant less than the sum of
    each class's (sum of bin numbers)^2 / count, which is made greatest class after class.
    """
    num_bins = len(count_B)
    if np.count_nonzero(count_B) < num_classes:
        return []
    gain_EE = _gains(count_B)
    best_E, came_from = gain_EE[0], []
    for _ in range(num_classes - 1):
        total_EE = best_E[:, None] + gain_EE
        came_from.append(total_EE.argmax(axis=0))
        best_E = total_EE.max(axis=0)
    starts = [num_bins]
    for from_E in reversed(came_from):
        starts.insert(0, int(from_E[starts[0]]))
    return starts[:-1]


def _gains(count_B: Int64s) -> Float64s:
    """Return what a class from one edge to another adds; -inf where it would be empty."""
    until_E = np.concatenate([[0], np.cumsum(count_B)]).astype(np.float64)
    sum_E = np.concatenate([[0], np.cumsum(count_B * np.arange(len(count_B)))]).astype(np.float64)
    count_EE, sum_EE = until_E[None] - until_E[:, None], sum_E[None] - sum_E[:, None]
    gain_EE = np.full_like(count_EE, -np.inf)
    np.divide(sum_EE**2, count_EE, out=gain_EE, where=count_EE > 0)
    return gain_EE
