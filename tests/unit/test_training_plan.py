"""What a step is made of: samples, forward passes, learning rates, and the share of each token."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from tests.tiny_training import tiny_data, tiny_shard
from tokensieve.corpus import Shard
from tokensieve.errors import InputError
from tokensieve.scoring import plan_batches
from tokensieve.settings import TrainingSettings
from tokensieve.training import TrainingData
from tokensieve.training.plan import divisors, learning_rate, micro_batch, plan_steps

# sample 0: positions 2-8, sample 1: 2-3, sample 2: 2-5, sample 3: 2-11, sample 4: 2-4
WEIGHTS = {0: [2, 3, 6], 1: [3], 2: [], 3: [2], 4: [2, 3, 4]}


def data_with(weights: dict[int, list[int]], value: float = 1.0) -> TrainingData:
    shard = tiny_shard()
    weight_T = np.zeros(len(shard.input_ids_T))
    for sample, positions in weights.items():
        weight_T[shard.offsets_N1[sample] + np.array(positions, dtype=int)] = value
    return tiny_data(weight_T)


def all_last(data_of: list[int] = (0, 1, 2, 3, 4)) -> TrainingData:
    """Return data in which the last token of each sample has a weight, so all must be read."""
    lengths = tiny_shard().lengths_N
    return data_with({sample: [int(lengths[sample]) - 1] for sample in data_of})


def planned(data: TrainingData, **settings) -> list[list[int]]:
    return [step.tolist() for step in plan_steps(data, TrainingSettings(**settings))]


def test_each_sample_is_read_up_to_its_last_weight():
    data = data_with(WEIGHTS)
    assert data.needed_N.tolist() == [6, 3, 0, 2, 4]
    assert data.num_kept_N.tolist() == [3, 1, 0, 1, 3]
    assert data.num_response_N.tolist() == [7, 2, 4, 10, 3]
    assert data.num_unlearned_N.tolist() == [0, 0, 0, 0, 0]
    below = data_with(WEIGHTS, -0.5)
    assert below.needed_N.tolist() == [6, 3, 0, 2, 4]
    assert below.num_unlearned_N.tolist() == [3, 1, 0, 1, 3]
    assert below.num_kept_N.tolist() == [0, 0, 0, 0, 0]


def test_other_weights_are_counted_anew_and_the_first_ones_stay():
    data = data_with(WEIGHTS)
    weight_T = np.zeros(36, np.float32)
    weight_T[[2, 4, 12]] = 0.25, -1, 1  # positions 2 and 4 of sample 0, 3 of sample 1
    other = data.weighted(weight_T)
    assert other.num_kept_N.tolist() == [1, 1, 0, 0, 0]
    assert other.num_unlearned_N.tolist() == [1, 0, 0, 0, 0]
    assert other.needed_N.tolist() == [4, 3, 0, 0, 0]
    assert other.num_response_N.tolist() == data.num_response_N.tolist()
    assert data.num_kept_N.tolist() == [3, 1, 0, 1, 3]


def test_samples_taken_by_themselves_are_those_samples_in_the_order_asked_for():
    data = data_with(WEIGHTS)
    taken = data.taken(np.array([4, 0, 2]))
    assert taken.sample_ids == ["s4", "s0", "s2"]
    assert taken.offsets_N1.tolist() == [0, 5, 14, 20]
    assert taken.input_ids_T.tolist() == [
        *data.input_ids_T[31:36],
        *data.input_ids_T[0:9],
        *data.input_ids_T[13:19],
    ]
    assert np.flatnonzero(taken.weight_T).tolist() == [2, 3, 4, 5 + 2, 5 + 3, 5 + 6]
    assert taken.needed_N.tolist() == [4, 6, 0]
    assert taken.num_kept_N.tolist() == [3, 3, 0]
    assert taken.num_response_N.tolist() == [3, 7, 4]


def test_shards_are_joined_in_order_whatever_their_sizes():
    one = tiny_data()
    empty = tiny_shard([])
    joined = TrainingData.joined(
        [
            (empty, np.zeros(0, np.float32)),
            (tiny_shard([3, 0, 4]), np.array([0, 0, 1, 0, 0, 1, 0], np.float32)),
            (tiny_shard(), one.weight_T),
        ]
    )
    assert joined.sample_ids == ["s0", "s1", "s2", "s0", "s1", "s2", "s3", "s4"]
    assert joined.offsets_N1.tolist() == [0, 3, 3, 7, 16, 20, 26, 38, 43]
    assert joined.needed_N.tolist() == [2, 0, 2, *one.needed_N]
    assert joined.num_response_N.tolist() == [1, 0, 2, 7, 2, 4, 10, 3]
    assert TrainingData.joined([]).num_samples == 0


def test_a_token_takes_nine_bytes_of_memory_and_hardly_more_while_shards_are_joined():
    def shards() -> Iterator[tuple[Shard, np.ndarray]]:
        for _ in range(20):
            shard = tiny_shard([500] * 100)
            yield shard, shard.response_T.astype(np.float32)

    tracemalloc.start()
    data = TrainingData.joined(shards())
    stays, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    num_tokens = len(data.input_ids_T)
    assert num_tokens == 1_000_000
    assert stays / num_tokens < 9.5
    assert most / num_tokens < 13  # of which a shard at hand is 3


@pytest.mark.parametrize("token", [0, 1, 9])
def test_a_weight_outside_the_responses_is_our_error(token):
    weight_T = np.zeros(36)
    weight_T[token] = 1
    with pytest.raises(AssertionError, match="only response tokens"):
        tiny_data(weight_T)


@pytest.mark.parametrize("wrong", [np.full(36, np.nan), np.zeros(35)])
def test_a_weight_that_is_no_number_or_has_no_token_is_our_error(wrong):
    with pytest.raises(AssertionError, match="weight"):
        TrainingData.joined([(tiny_shard(), wrong.astype(np.float32))])


def test_every_epoch_trains_each_sample_once_in_its_own_order():
    steps = planned(all_last(), epochs=3, step_samples=1)
    order = [sample for step in steps for sample in step]
    epochs = [order[start : start + 5] for start in (0, 5, 10)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 3
    assert all(one != other for one, other in pairwise(epochs))
    assert planned(all_last(), epochs=3, step_samples=1) == steps
    assert planned(all_last(), epochs=3, step_samples=1, seed=1) != steps


def test_a_step_is_cut_into_passes_within_the_budget_of_tokens():
    needed_N = all_last().needed_N
    cut = [batch.tolist() for batch in plan_batches(needed_N, 11)]
    assert cut == [[3], [0], [2, 4], [1]]  # 11; 8; 5 + 4, padded to 10; 3
    assert [batch.tolist() for batch in plan_batches(needed_N, 1)] == [[3], [0], [2], [4], [1]]


def test_a_sample_without_a_weight_is_in_no_step():
    steps = planned(all_last([0, 1, 2, 4]), step_samples=3)
    assert [len(step) for step in steps] == [3, 1]
    assert sorted(steps[0] + steps[1]) == [0, 1, 2, 4]


def test_without_any_weight_there_is_nothing_to_train_on():
    for weights, value in ({}, 1), (WEIGHTS, -1):
        with pytest.raises(InputError, match="none of the 5 samples has a token to train on"):
            plan_steps(data_with(weights, value), TrainingSettings())


def rates(num_steps: int, **settings) -> list[float]:
    settings = TrainingSettings(learning_rate=8.0, **settings)
    return [learning_rate(step, num_steps, settings) for step in range(num_steps)]


def test_the_learning_rate_rises_in_the_warm_up_and_falls_towards_zero():
    assert rates(8, warmup=0.5) == [2, 4, 6, 8, 8, 6, 4, 2]
    assert rates(4, warmup=0) == [8, 6, 4, 2]
    assert rates(2, warmup=1) == [4, 8]
    cosine = [2, 4, 6, 8, 8, 6.828427, 4, 1.171573]  # 4 + 4 cos(0, 45, 90, 135 degrees)
    assert rates(8, warmup=0.5, schedule="cosine") == pytest.approx(cosine, abs=1e-6)


def test_the_highest_learning_rate_is_that_of_the_tuning_unless_it_is_set():
    assert TrainingSettings().peak_rate == 1e-4
    assert TrainingSettings(tuning="full").peak_rate == 2e-5
    assert TrainingSettings(tuning="full", learning_rate=3e-3).peak_rate == 3e-3


@pytest.mark.parametrize(
    ("normaliser", "expected"),
    [
        # kept tokens: 3 and 3 in the first pass, 1 and 1 in the second; 8 in the step
        ("kept-in-step", [[8, 8], [8, 8]]),
        # 2 passes of 6 and of 2 kept tokens
        ("kept-in-batch", [[12, 12], [4, 4]]),
        # response tokens of samples 0, 4, 1 and 3: 7 + 3 + 2 + 10
        ("all-tokens", [[22, 22], [22, 22]]),
        # 4 samples of 3, 3, 1 and 1 kept tokens
        ("sample-share", [[12, 12], [4, 4]]),
    ],
)
def test_each_normaliser_divides_as_its_method_says(normaliser, expected):
    step = data_with(WEIGHTS).taken(np.array([0, 1, 3, 4]))
    found = divisors(step, [np.array([0, 3]), np.array([1, 2])], normaliser)
    assert [each.tolist() for each in found] == expected


def test_all_tokens_are_those_of_the_samples_that_keep_nothing_too():
    data = data_with(WEIGHTS)
    [found] = divisors(data, [np.array([0, 4])], "all-tokens")
    assert found.tolist() == [26, 26]  # 7 + 2 + 4 + 10 + 3


@pytest.mark.parametrize(
    ("normaliser", "expected"),
    [
        ("kept-in-step", [[3, 3], [3]]),
        ("kept-in-batch", [[6, 6], [2]]),
        ("all-tokens", [[12, 12], [12]]),
        ("sample-share", [[9, 9], [3]]),
    ],
)
def test_a_normaliser_counts_the_tokens_that_are_kept_and_not_their_weights(normaliser, expected):
    shard = tiny_shard()
    weight_T = np.zeros(36)
    weight_T[[2, 3, 6]] = 0.5, 0.25, 2  # sample 0
    weight_T[[33, 34, 35]] = -1  # sample 4: nothing is kept
    weight_T[shard.offsets_N1[1] + 3] = -0.5  # sample 1: nothing is kept
    step = tiny_data(weight_T).taken(np.array([0, 1, 4]))
    found = divisors(step, [np.array([0, 2]), np.array([1])], normaliser)
    assert [each.tolist() for each in found] == expected


def test_a_pass_holds_the_rows_targets_and_shares_of_its_tokens():
    data = data_with(WEIGHTS, -0.5)
    micro = micro_batch(data, np.array([4, 0]), np.array([2.0, 4.0]))
    assert micro.batch.input_ids_BL.tolist() == [
        [*data.input_ids_T[31:35], 0, 0],
        [*data.input_ids_T[0:6]],
    ]
    assert micro.row_K.tolist() == [1, 2, 3, 6 + 1, 6 + 2, 6 + 5]
    assert micro.target_K.tolist() == [*data.input_ids_T[33:36], *data.input_ids_T[[2, 3, 6]]]
    assert micro.share_K.tolist() == [-0.25, -0.25, -0.25, -0.125, -0.125, -0.125]
