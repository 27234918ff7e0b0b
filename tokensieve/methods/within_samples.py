"""Order statistics of each sample's candidates.

Shapes: T = tokens of a shard, N = its samples, C = its candidates.
"""

import numpy as np

from tokensieve.corpus import Float64s, Int64s

_EPSILON = 1e-8  # of ssToken's released code


class SampleOrder:
    """The values of each sample's candidates in ascending order."""

    def __init__(self, value_T: Float64s, offsets_N1: Int64s) -> None:
        """Take one value for each token, NaN where it is no candidate."""
        self._lengths_N = np.diff(offsets_N1)
        candidate_T = ~np.isnan(value_T)
        num_samples = len(self._lengths_N)
        sample_C = np.repeat(np.arange(num_samples), self._lengths_N)[candidate_T]
        value_C = value_T[candidate_T]
        self._value_C = value_C[np.lexsort((value_C, sample_C))]
        self.count_N = np.bincount(sample_C, minlength=num_samples)
        self._first_N = np.cumsum(self.count_N) - self.count_N

    def at(self, place_N: Int64s) -> Float64s:
        """Return the value at each sample's place, the lowest at 0; NaN if it has no candidate.

        A place beyond the last is the last.
        """
        value_N = np.full(len(place_N), np.nan)
        some_N = self.count_N > 0
        place_N = np.minimum(place_N, self.count_N - 1)
        value_N[some_N] = self._value_C[(self._first_N + place_N)[some_N]]
        return value_N

    def quantile(self, share: float) -> Float64s:
        """Return the value below which the share of each sample lies, between two in a line.

        To the bit what `numpy.quantile` returns by default.
        """
        exact_N = share * (self.count_N - 1)
        place_N = np.floor(exact_N).astype(np.int64)
        part_N = exact_N - place_N
        low_N, high_N = self.at(place_N), self.at(place_N + 1)
        is_high_N = part_N >= 0.5  # from the nearer end, for the rounding of numpy
        value_N: Float64s = low_N + (high_N - low_N) * part_N
        value_N[is_high_N] = (high_N - (high_N - low_N) * (1 - part_N))[is_high_N]
        return value_N

    def along(self, value_N: Float64s) -> Float64s:
        """Return value_T: each sample's value for all its tokens."""
        return np.repeat(value_N, self._lengths_N)


def min_max(value_T: Float64s, offsets_N1: Int64s, least: float) -> Float64s:
    """Return (value - lowest) / (highest - lowest + 1e-8) of each sample, from 0 to below 1.

    0 where the values of a sample span less than `least`; NaN stays NaN.
    """
    order = SampleOrder(value_T, offsets_N1)
    low_N = order.at(np.zeros_like(order.count_N))
    spread_N = order.at(order.count_N - 1) - low_N
    spread_N[spread_N < least] = np.inf
    return (value_T - order.along(low_N)) / order.along(spread_N + _EPSILON)
