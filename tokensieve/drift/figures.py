"""What cleaning found in a drop, as the numbers that drops are compared by.

Shapes: B = the bins of influence.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

INFLUENCE_EDGES = (-4.0, -2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""In nats: one bin below the first, one from each to the next, and one from the last on."""
EMPTY_SHARE = 1e-4
"""What a bin with less counts as: the logarithm of an empty one would be infinite."""


@dataclass(frozen=True)
class Figures:
    """What cleaning found in a drop, or in one source of it. A share or mean of nothing is NaN."""

    rows: int
    """Read, without those that repeat an earlier sample."""
    quarantined_rows: int
    truncated_rows: int
    """Samples as long as max_length allows, and rows skipped because no answer was left."""
    samples: int
    empty_samples: int
    """Without a kept token."""
    response_tokens: int
    kept_tokens: int
    eos_tokens: int
    """Response tokens that are special to the tokenizer, as EOS and `<|im_end|>` are."""
    kept_eos_tokens: int
    influence_B: tuple[int, ...]
    """Tokens by their influence, in the bins of INFLUENCE_EDGES."""
    mean_base_nll: float
    """Nats per response token."""
    mean_reference_nll: float
    base_nll_error: float
    """Standard error of that mean: how much other samples of the same kind would change it."""
    influence_error: float
    """Standard error of the mean influence."""
    sources: Mapping[str, "Figures"] = field(default_factory=dict)
    """The same by source; empty in the figures of a source."""

    @property
    def kept_share(self) -> float:
        """Return the share of the response tokens that is kept."""
        return _share(self.kept_tokens, self.response_tokens)

    @property
    def truncated(self) -> float:
        """Return the share of the rows that is truncated."""
        return _share(self.truncated_rows, self.rows)

    @property
    def quarantined(self) -> float:
        """Return the share of the rows that is quarantined."""
        return _share(self.quarantined_rows, self.rows)

    @property
    def masked_samples(self) -> float:
        """Return the share of the samples without a kept token."""
        return _share(self.empty_samples, self.samples)


def influence_bins(lower_nats: Iterable[float], tokens: Iterable[int]) -> tuple[int, ...]:
    """Return influence_B of a finer histogram, whose bins begin at `lower_nats`."""
    influence_B = np.zeros(len(INFLUENCE_EDGES) + 1, dtype=np.int64)
    for lower, num in zip(lower_nats, tokens, strict=True):
        influence_B[np.digitize(lower, INFLUENCE_EDGES)] += num
    return tuple(influence_B.tolist())


def population_stability_index(expected_B: Sequence[int], found_B: Sequence[int]) -> float:
    """Return how far two histograms of counts are apart: 0 where their shares are the same.

    The sum over bins of (f - e) * ln(f / e), where f and e are the bins' shares, each at least
    EMPTY_SHARE. Source: Siddiqi, Credit Risk Scorecards (2006), who calls less than 0.1 stable and
    more than 0.25 a major shift. Raises ValueError if a histogram is empty or has other bins.
    """
    if len(expected_B) != len(found_B) or not sum(expected_B) or not sum(found_B):
        raise ValueError("two histograms of the same bins are needed, each with a count")
    expected, found = _bin_shares(expected_B), _bin_shares(found_B)
    return float(np.sum((found - expected) * np.log(found / expected)))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _bin_shares(counts_B: Sequence[int]) -> NDArray[np.float64]:
    share_B = np.asarray(counts_B, dtype=np.float64) / sum(counts_B)
    return np.maximum(share_B, EMPTY_SHARE)
