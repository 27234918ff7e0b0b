"""The loss on held-out responses, on numbers small enough to check by eye."""

import numpy as np
import pytest

from tokensieve.corpus import Shard
from tokensieve.errors import InputError
from tokensieve.evaluation import MeanLoss, held_out_loss

NAN = np.nan


def samples(*sources: str) -> tuple[Shard, np.ndarray]:
    """Return for each source a sample of one prompt and two response tokens, without scores."""
    num = len(sources)
    shard = Shard(
        sample_ids=[f"sample-{source}" for source in sources],
        sources=list(sources),
        offsets_N1=np.arange(num + 1) * 3,
        input_ids_T=np.zeros(3 * num, dtype=np.int32),
        response_T=np.tile([False, True, True], num),
        turn_T=np.zeros(3 * num, dtype=np.int16),
    )
    return shard, np.full(3 * num, NAN, dtype=np.float32)


def scored(nll: list[float], *sources: str) -> tuple[Shard, np.ndarray]:
    shard, nll_T = samples(*sources)
    nll_T[shard.response_T] = nll
    return shard, nll_T


def test_every_token_counts_the_same_whatever_sample_or_shard_it_is_in():
    loss = held_out_loss([scored([1, 2, 3, NAN], "a", "b"), scored([4, 5], "a")])

    assert loss.total == MeanLoss(3.0, 5)
    assert loss.by_source == {"a": MeanLoss(3.0, 4), "b": MeanLoss(3.0, 1)}


def test_each_sample_can_be_paired_with_that_of_another_model():
    loss = held_out_loss([scored([1, 2, 3, NAN], "a", "b"), scored([4, 5], "c")])

    assert loss.sample_ids == ["sample-a", "sample-b", "sample-c"]
    assert loss.nll_sum_N.tolist() == [3.0, 3.0, 9.0]
    assert loss.num_tokens_N.tolist() == [2, 1, 2]


def test_tokens_without_a_finite_score_are_counted_and_take_no_part():
    shard, nll_T = scored([1, np.inf, NAN, 3], "a", "b")
    nll_T[0] = 100.0  # of a prompt

    loss = held_out_loss([(shard, nll_T)])

    assert loss.total == MeanLoss(2.0, 2)
    assert loss.num_unscored == 2


def test_a_source_without_a_scored_token_has_no_mean():
    assert list(held_out_loss([scored([NAN, NAN, 1, 2], "a", "b")]).by_source) == ["b"]


def test_the_mean_does_not_depend_on_how_samples_lie_in_shards():
    nll = np.random.default_rng(0).lognormal(sigma=12, size=2000).astype(np.float32).tolist()
    one = held_out_loss([scored(nll, *["a"] * 1000)])
    parts = [scored(nll[n : n + 20], *["a"] * 10) for n in range(0, 2000, 20)]

    assert held_out_loss(reversed(parts)).total == one.total


def test_sums_are_not_rounded_to_float32():
    loss = held_out_loss([scored([2**24, 1.0] * 4, *"abcd")])

    assert loss.total.mean == (2**24 + 1) / 2


def test_held_out_data_without_a_scored_token_is_refused():
    with pytest.raises(InputError, match="no response token with a score"):
        held_out_loss([samples("a")])
    with pytest.raises(InputError, match="no response token with a score"):
        held_out_loss([])
