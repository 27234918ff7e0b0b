"""The loss on held-out responses, in a form that models can be compared by, sample by sample.

Shapes: N = samples, T = all their tokens one after another.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Bools, Float32s, Float64s, Int64s, Shard
from tokensieve.errors import InputError


@dataclass(frozen=True)
class MeanLoss:
    """A mean over response tokens."""

    mean: float
    """Nats per token: the sum of nll divided by `num_tokens`."""
    num_tokens: int
    """Response tokens with a finite score."""


@dataclass(frozen=True)
class HeldOutLoss:
    """What a model loses on held-out responses."""

    total: MeanLoss
    """Over all samples."""
    by_source: dict[str, MeanLoss]
    """Over the samples of each source that has a scored token, sorted by name."""
    num_unscored: int
    """Response tokens without a finite score; they take no part in the means."""
    sample_ids: list[str]
    """N ids, as the shards have them."""
    nll_sum_N: Float64s
    """Sum of nll over each sample's scored tokens, in nats."""
    num_tokens_N: Int64s
    """Scored tokens of each sample."""


def held_out_loss(shards: Iterable[tuple[Shard, Float32s]]) -> HeldOutLoss:
    """Return the loss of a model from pairs of a shard and its nll_T in nats (NaN: not scored).

    Each sample is summed in float64 in the order of its tokens, and the samples exactly, so a mean
    does not depend on how the samples lie in shards. Raises InputError if no token has a score.
    """
    sample_ids: list[str] = []
    sources: list[str] = []
    sums, counts, num_unscored = [], [], 0
    for shard, nll_T in shards:
        sample_ids += shard.sample_ids
        sources += shard.sources
        scored_T = shard.response_T & np.isfinite(nll_T)
        sums.append(_per_sample(shard, np.where(scored_T, nll_T, np.float32(0))))
        counts.append(_per_sample(shard, scored_T).astype(np.int64))
        num_unscored += int((shard.response_T & ~scored_T).sum())
    if not any(count_N.any() for count_N in counts):
        raise InputError(
            "holdout: has no response token with a score. Give files whose answers are not empty."
        )
    sum_N, count_N = np.concatenate(sums), np.concatenate(counts)
    by_source = _by_source(sources, sum_N, count_N)
    return HeldOutLoss(_mean(sum_N, count_N), by_source, num_unscored, sample_ids, sum_N, count_N)


def _per_sample(shard: Shard, values_T: Float32s | Bools) -> Float64s:
    """Return the sum of each sample's values."""
    sample_T = np.repeat(np.arange(shard.num_samples), shard.lengths_N)
    sums_N = np.bincount(sample_T, values_T, shard.num_samples)
    return sums_N.astype(np.float64)


def _by_source(sources: list[str], sum_N: Float64s, count_N: Int64s) -> dict[str, MeanLoss]:
    samples: dict[str, list[int]] = defaultdict(list)
    for sample, source in enumerate(sources):
        if count_N[sample]:
            samples[source].append(sample)
    return {source: _mean(sum_N[n], count_N[n]) for source, n in sorted(samples.items())}


def _mean(sum_N: Float64s, count_N: Int64s) -> MeanLoss:
    num_tokens = int(count_N.sum())
    return MeanLoss(math.fsum(sum_N) / num_tokens, num_tokens)
