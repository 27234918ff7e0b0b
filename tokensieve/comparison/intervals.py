"""Differences between arms that were trained with the same seeds, and their intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """One arm minus another, over the seeds that both have, in the unit of the metric."""

    mean: float
    low: float | None
    """Where the two-sided 95 % t interval of the mean begins. None: one pair has no interval, and
    nor have several that are all the same, as coarse metrics can be: they tell of no spread."""
    high: float | None
    """Where it ends."""
    num_pairs: int
    """Seeds that both arms have."""

    @property
    def half_width(self) -> float | None:
        """Return half the width of the interval."""
        return None if self.high is None else self.high - self.mean


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Return ours minus theirs, paired by seed; None if there is no seed in common.

    mean +- t * s / sqrt(n): s is the sample standard deviation of the n differences, t the
    quantile of Student's distribution with n - 1 degrees of freedom.
    """
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    num_pairs = len(differences)
    if num_pairs == 0:
        return None
    mean = fmean(differences)
    if num_pairs == 1 or len(set(differences)) == 1:
        return Difference(mean, None, None, num_pairs)
    half = t_quantile(num_pairs - 1) * stdev(differences) / math.sqrt(num_pairs)
    return Difference(mean, mean - half, mean + half, num_pairs)


def t_quantile(freedom: int) -> float:
    """Return the t with P(|T| <= t) = 95 %, by bisection; `freedom`: degrees of freedom, from 1."""
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        if _central_probability(middle, freedom) < LEVEL:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _central_probability(angle: float, freedom: int) -> float:
    """Return P(|T| <= sqrt(freedom) * tan(angle)).

    A finite sum: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (power + 1) / (power + 2)
    if odd:
        return (angle + math.sin(angle) * total) * 2 / math.pi
    return math.sin(angle) * total
