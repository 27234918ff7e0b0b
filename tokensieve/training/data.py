"""The samples of a corpus with the weight of every token in training.

Shapes: N = samples, T = all their tokens one after another, K = tokens with a weight.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tokensieve.corpus import Float32s, Float64s, Int64s, Samples, Shard


@dataclass(frozen=True)
class TrainingData(Samples):
    """The samples of any number of shards, as one."""

    weight_T: Float32s
    """What each token counts in the loss: 0 is not trained on, below 0 is unlearned."""
    num_response_N: Int64s
    """Response tokens of each sample that a model can predict, with a weight or without."""

    @classmethod
    def joined(cls, shards: Iterable[tuple[Shard, Float32s]]) -> "TrainingData":
        """Return the samples of the shards in their order, each with the weights of its tokens."""
        pairs = list(shards)
        for shard, weight_T in pairs:
            assert weight_T.shape == shard.input_ids_T.shape, "one weight for each token"
            assert np.isfinite(weight_T).all(), "a weight is a number"
            assert not weight_T[~shard.scorable_T].any(), "only response tokens can be trained on"
        lengths_N = np.concatenate([np.zeros(0, np.int64), *(s.lengths_N for s, _ in pairs)])
        return cls(
            sample_ids=[sample_id for shard, _ in pairs for sample_id in shard.sample_ids],
            offsets_N1=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths_N)]),
            input_ids_T=_joined([shard.input_ids_T for shard, _ in pairs], np.int32),
            weight_T=_joined([weight_T for _, weight_T in pairs], np.float32),
            num_response_N=_joined([_num_scorable(shard) for shard, _ in pairs], np.int64),
        )

    @cached_property
    def num_kept_N(self) -> Int64s:
        """Return how many tokens of each sample have a weight."""
        return np.bincount(self._sample_K, minlength=self.num_samples)

    @cached_property
    def total_weight_N(self) -> Float64s:
        """Return the sum of |weight| over each sample."""
        sizes_K = np.abs(self.weight_T[self._token_K]).astype(np.float64)
        return np.bincount(self._sample_K, sizes_K, self.num_samples).astype(np.float64)

    @cached_property
    def needed_N(self) -> Int64s:
        """Return how many tokens of each sample a model must read: those before its last weight.

        A causal model's answer there cannot depend on what follows. 0: nothing to train on.
        """
        needed_N = np.zeros(self.num_samples, dtype=np.int64)
        needed_N[self._sample_K] = self._token_K - self.offsets_N1[self._sample_K]  # the last wins
        return needed_N

    @cached_property
    def _token_K(self) -> Int64s:
        return np.flatnonzero(self.weight_T)

    @cached_property
    def _sample_K(self) -> Int64s:
        """Return the sample of each token with a weight."""
        return np.searchsorted(self.offsets_N1, self._token_K, side="right") - 1


def _joined(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype, copy=False)


def _num_scorable(shard: Shard) -> Int64s:
    num_before_T1 = np.concatenate([[0], np.cumsum(shard.scorable_T)])
    return np.diff(num_before_T1[shard.offsets_N1])
