"""What a selection compares: which scores are candidates, in which groups, and in which order.

Shapes: T = tokens of a shard, C = its candidates (tokens with a score), N = its samples,
G = groups, within each of which the share is counted.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tokensieve.corpus import Bools, Float64s, Int64s
from tokensieve.errors import InputError
from tokensieve.settings import Scope

Direction = Literal["high", "low", "test", "weight"]
Rounding = Literal["floor", "ceil"]
UInt64s = NDArray[np.uint64]

SIGN = np.uint64(1 << 63)


@dataclass(frozen=True)
class Rule:
    """Which tokens a selection keeps, given one number per token."""

    direction: Direction
    """`high` and `low` keep the share at that end; `test` keeps every number above 0; `weight`
    takes the numbers themselves, none of them below 0, as weights."""
    scope: Scope
    """Where the share is counted. Of no account where none is."""
    keep: float
    """Share of the candidates to keep. Of no account to a `test` or a `weight`."""
    rounding: Rounding
    """How candidates x keep becomes a count."""
    with_rest: bool = False
    """Count the rest with what is kept: as many as the remaining share makes, rounded alike."""

    @property
    def counts(self) -> bool:
        """Return whether a share of the candidates is kept."""
        return self.direction in ("high", "low")

    @property
    def has_thresholds(self) -> bool:
        """Return whether a shard cannot be selected without having seen the others."""
        return self.counts and self.scope != "sample"

    def num_kept(self, candidates_G: Int64s) -> Int64s:
        """Return how many of each group's candidates to keep.

        The product is the one of Python's `int(candidates * keep)`, in double precision.
        """
        kept_G = self._rounded(candidates_G, self.keep)
        if self.with_rest:
            kept_G += self._rounded(candidates_G, 1 - self.keep)
        return kept_G.clip(max=candidates_G)

    def _rounded(self, candidates_G: Int64s, share: float) -> Int64s:
        product_G = candidates_G.astype(np.float64) * share
        rounded_G = np.floor(product_G) if self.rounding == "floor" else np.ceil(product_G)
        return rounded_G.astype(np.int64)

    def keys(self, score_C: Float64s) -> UInt64s:
        """Return integers in the order of preference: the higher, the sooner kept.

        Equal scores have equal keys, and so have 0.0 and -0.0; no finite score has the highest.
        """
        return ordered(0.0 - score_C if self.direction == "low" else score_C + 0.0)  # no -0.0

    def score(self, key: int) -> float:
        """Return the score that has this key."""
        bits = np.uint64(key)
        preference = float((bits ^ SIGN if bits & SIGN else ~bits).view(np.float64))
        return 0.0 - preference if self.direction == "low" else preference


@dataclass(frozen=True)
class ScoredShard:
    """One shard as a selection sees it."""

    score_T: Float64s
    """The method's number for each token; NaN where the token is no candidate."""
    offsets_N1: Int64s
    """Where each sample begins, and the end."""
    sources: list[str]
    """N names of where the sample came from."""

    def candidates(self) -> tuple[Bools, Float64s]:
        """Return (candidate_T, score_C); raise InputError if a score is infinite."""
        candidate_T = ~np.isnan(self.score_T)
        score_C = self.score_T[candidate_T]
        if np.isinf(score_C).any():
            token = int(np.flatnonzero(np.isinf(self.score_T))[0])
            raise InputError(
                f"token {token} of the shard: score: is {self.score_T[token]}, which cannot be "
                "ranked. Score with a model whose losses are finite."
            )
        return candidate_T, score_C

    def groups(self, candidate_T: Bools, rule: Rule, numbers: dict[str, int]) -> Int64s:
        """Return the number of each candidate's group, in which the share is counted.

        A sample is the group of that number. Other groups are numbered by name, "" if the dataset
        is the only one; names that are not in `numbers` yet are added.
        """
        if rule.scope == "dataset":
            return np.full(np.count_nonzero(candidate_T), numbers.setdefault("", len(numbers)))
        group_N = np.arange(len(self.sources))
        if rule.scope == "source":
            group_N = np.array([numbers.setdefault(s, len(numbers)) for s in self.sources], int)
        return np.repeat(group_N, np.diff(self.offsets_N1))[candidate_T]


def ordered(number_C: Float64s) -> UInt64s:
    """Return the bits of each number, changed so that they are in the order of the numbers.

    The highest are sign, exponent and fraction, in this order. Changes the numbers in place.
    """
    bits_C = number_C.view(np.uint64)
    is_negative_C = (number_C.view(np.int64) >> 63).view(np.uint64)  # all ones, or zero
    is_negative_C |= SIGN
    bits_C ^= is_negative_C
    return bits_C


def per_candidate(value_G: NDArray[Any], group_C: Int64s) -> NDArray[Any]:
    """Return the value of each candidate's group, or all there is if there is one group."""
    return value_G if len(value_G) == 1 else value_G[group_C]


def ranks(group_C: Int64s, key_C: UInt64s) -> Int64s:
    """Return each candidate's place in its group, from 0: the highest key first, ties in order."""
    order = np.lexsort((~key_C, group_C))
    sizes_G = np.bincount(group_C)
    first_G = np.cumsum(sizes_G) - sizes_G
    rank_C = np.empty(len(order), dtype=np.int64)
    rank_C[order] = np.arange(len(order)) - first_G[group_C[order]]
    return rank_C
