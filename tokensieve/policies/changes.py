"""What each policy changes about the weights of a shard's tokens. A token is kept if its weight is
above 0; tokens that are no candidates, because they have no score, stay as they are.

Shapes: T = tokens of the shard, N = its samples, C = its candidates, R = runs of tokens that are
decided alike, M = lone tokens.
"""

import numpy as np

from tokensieve.corpus import Bools, Float32s, Int8s, Int64s
from tokensieve.ranking import UInt64s, ranks


def smoothed(weight_T: Float32s, candidate_T: Bools, offsets_N1: Int64s, span: int) -> Float32s:
    """Return the weights without lone tokens: kept among dropped ones, or dropped among kept ones.

    A token is lone if the `span` candidates right before it and the `span` right after it, of the
    same sample and with nothing in between, are all decided otherwise than it is. It becomes what
    they are: 1, or 0. Nearer than `span` to either end of a run of candidates no token is lone.
    All are judged by what is given. From a span of 2 on no two lone tokens are within a span of
    each other, so that their order is of no account, and smoothing twice is smoothing once.
    """
    lone_M = _lone_tokens(np.where(candidate_T, weight_T > 0, np.int8(-1)), offsets_N1, span)
    changed_T = weight_T.copy()
    changed_T[lone_M] = weight_T[lone_M] <= 0
    return changed_T


def _lone_tokens(state_T: Int8s, offsets_N1: Int64s, span: int) -> Int64s:
    """Return which tokens are lone: runs of one token, each between two runs of a span or more.

    `state_T`: 1 kept, 0 dropped, -1 no candidate.
    """
    is_first_T = np.ones(len(state_T), dtype=bool)
    is_first_T[1:] = state_T[1:] != state_T[:-1]
    is_first_T[offsets_N1[:-1][np.diff(offsets_N1) > 0]] = True
    first_R = np.flatnonzero(is_first_T)
    length_R = np.diff(np.append(first_R, len(state_T)))
    sample_R = np.searchsorted(offsets_N1, first_R, side="right")
    is_wide_R = (length_R >= span) & (state_T[first_R] >= 0)
    is_lone_R = (length_R == 1) & (state_T[first_R] >= 0)
    is_lone_R[1:] &= is_wide_R[:-1] & (sample_R[1:] == sample_R[:-1])
    is_lone_R[:-1] &= is_wide_R[1:] & (sample_R[1:] == sample_R[:-1])
    is_lone_R[:1] = is_lone_R[-1:] = False
    lone_M: Int64s = first_R[is_lone_R]
    return lone_M


def guarded(weight_T: Float32s, candidate_T: Bools, guard_T: Int8s) -> Float32s:
    """Return the weights with at least 1 for every candidate that is protected: guard >= 0."""
    protected_T = candidate_T & (guard_T >= 0)
    return np.where(protected_T, np.maximum(weight_T, np.float32(1)), weight_T)


def filled(
    weight_T: Float32s, key_T: UInt64s, candidate_T: Bools, offsets_N1: Int64s, least: int
) -> Float32s:
    """Return the weights with 1 for the best candidates not kept of each sample that keeps less.

    As many are added as `least` lacks, or as there are. `key_T`: the higher, the better; of equal
    ones the earlier is added.
    """
    sample_T = np.repeat(np.arange(len(offsets_N1) - 1), np.diff(offsets_N1))
    num_kept_N = np.bincount(sample_T[weight_T > 0], minlength=len(offsets_N1) - 1)
    token_C = np.flatnonzero(candidate_T & (weight_T <= 0) & (num_kept_N < least)[sample_T])
    sample_C = sample_T[token_C]
    is_added_C = ranks(sample_C, key_T[token_C]) < least - num_kept_N[sample_C]
    changed_T = weight_T.copy()
    changed_T[token_C[is_added_C]] = 1
    return changed_T
