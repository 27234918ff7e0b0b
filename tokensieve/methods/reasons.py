"""Reasons that may come together: a name for each set of them, and the code of a token's set."""

from collections.abc import Sequence

import numpy as np

from tokensieve.corpus import Bools, Int64s


def joined_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return a name such as `a+c` for each set of reasons but the empty one, by its code."""
    sets = range(1, 1 << len(names))
    return tuple("+".join(n for k, n in enumerate(names) if bits >> k & 1) for bits in sets)


def joined_codes(against: Sequence[Bools]) -> Int64s:
    """Return the code of each token's set, given for each reason where it holds; -1: none does."""
    codes = sum(against_T.astype(np.int64) << k for k, against_T in enumerate(against))
    return np.asarray(codes, dtype=np.int64) - 1
