"""How well a method finds planted noise.

Shapes: T = tokens of a corpus, K = kinds of noise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tokensieve.corpus import Bools, Float32s, Float64s, Int8s
from tokensieve.noise.planting import KINDS


@dataclass(frozen=True)
class Finding:
    """What a method found, as shares from 0 to 1; NaN where there is nothing to count, as of a kind
    that could not be planted.
    """

    auroc: Mapping[str, float]
    """By kind: how likely it prefers a clean token to one of that noise. 0.5: as chance does."""
    recall: Mapping[str, float]
    """By kind: of its noise tokens, those that were dropped."""
    precision: float
    """Of the dropped tokens, those that are noise of any kind."""
    dropped_clean: float
    """Of the clean tokens, those that were dropped."""

    @property
    def mean_auroc(self) -> float:
        """Return the mean over the kinds that were planted; NaN if none was."""
        return mean_known(list(self.auroc.values()))

    @property
    def mean_recall(self) -> float:
        """Return the mean over the kinds that were planted; NaN if none was."""
        return mean_known(list(self.recall.values()))


def mean_known(values: Sequence[float]) -> float:
    """Return the mean of those that are not NaN, NaN if there is none."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def find_noise(
    label_T: Int8s, candidate_T: Bools, preference_T: Float64s, weight_T: Float32s
) -> Finding:
    """Return what was found. A token is noise if its label, as in `labels.py`, is not 0.

    Only candidates count: response tokens with a score. `preference_T` is higher for what the
    method would rather keep; dropped is what has no weight above 0.
    """
    label_T, preference_T = label_T[candidate_T], preference_T[candidate_T]
    dropped_T = weight_T[candidate_T] <= 0
    clean_T = label_T == 0
    kinds = {kind: label_T == 1 + n for n, kind in enumerate(KINDS)}
    return Finding(
        auroc={k: auroc(preference_T[clean_T], preference_T[of_T]) for k, of_T in kinds.items()},
        recall={kind: _share(dropped_T, of_T) for kind, of_T in kinds.items()},
        precision=_share(~clean_T, dropped_T),
        dropped_clean=_share(dropped_T, clean_T),
    )


def auroc(higher: Float64s, lower: Float64s) -> float:
    """Return how likely a value of `higher` is above one of `lower`, ties counting half.

    The area under the ROC curve, by the rank sum of Mann and Whitney (1947). NaN if one is empty.
    """
    if not len(higher) or not len(lower):
        return float("nan")
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, side="left")
    not_above = np.searchsorted(ordered, higher, side="right")
    return float((below + not_above).sum() / 2 / len(higher) / len(lower))


def _share(part_T: Bools, of_T: Bools) -> float:
    return float((part_T & of_T).sum() / of_T.sum()) if of_T.any() else float("nan")
