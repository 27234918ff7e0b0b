"""The loss of a step, the plan of the steps, and a training run."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from tests.tiny_models import build_tiny_model
from tokensieve.corpus import Shard
from tokensieve.errors import TokensieveError
from tokensieve.settings import TrainingSettings
from tokensieve.training import learning_rate, plan_steps, step_loss, train

LENGTHS = [9, 4, 6, 12, 5]


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("model"), hidden=32)


@pytest.fixture
def model(model_directory):
    return LlamaForCausalLM.from_pretrained(model_directory)


@pytest.fixture(scope="module")
def shard() -> Shard:
    offsets_N1 = np.concatenate([[0], np.cumsum(LENGTHS)])
    ids_T = np.random.default_rng(0).integers(3, 512, offsets_N1[-1]).astype(np.int32)
    position_T = np.concatenate([np.arange(length) for length in LENGTHS])
    return Shard(
        sample_ids=[f"s{n}" for n in range(len(LENGTHS))],
        sources=["a"] * len(LENGTHS),
        offsets_N1=offsets_N1,
        input_ids_T=ids_T,
        response_T=position_T >= 2,
        turn_T=np.zeros(len(ids_T), dtype=np.int16),
    )


@pytest.fixture(scope="module")
def weights(shard) -> np.ndarray:
    kept_T = np.random.default_rng(1).random(len(shard.response_T)) < 0.6
    return (kept_T & shard.response_T).astype(np.float32)


def gradients(model) -> torch.Tensor:
    flat = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.zero_grad()
    return flat


def loss_by_full_logits(model, shard: Shard, weight_T: np.ndarray) -> torch.Tensor:
    """The definition: one sample at a time, every logit, one division at the end."""
    total = torch.zeros(())
    for span in shard.slices():
        ids = torch.from_numpy(shard.input_ids_T[span]).long()
        nll = cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
        total = total + (nll * torch.from_numpy(weight_T[span])[1:]).sum()
    return total / np.abs(weight_T).sum()


@pytest.mark.parametrize(
    "step", [[[0, 1, 2, 3, 4]], [[3, 0], [2, 4, 1]], [[0], [1], [2], [3], [4]]]
)
@pytest.mark.parametrize("sign", [1.0, -0.5])
def test_a_step_gives_the_same_loss_and_gradient_however_it_is_cut(
    model, shard, weights, step, sign
):
    weight_T = np.where(np.arange(len(weights)) % 3 == 0, sign, 1.0) * weights
    weight_T = weight_T.astype(np.float32)
    expected = loss_by_full_logits(model, shard, weight_T)
    expected.backward()
    expected_gradient = gradients(model)

    loss = step_loss(model, shard, weight_T, [np.array(batch) for batch in step])

    assert loss == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradients(model), expected_gradient, rtol=1e-4, atol=1e-6)


def test_a_sample_with_few_kept_tokens_does_not_count_more(model, shard):
    one_T = np.zeros(len(shard.response_T), dtype=np.float32)
    one_T[2] = 1  # one token of sample 0
    all_T = shard.response_T.astype(np.float32)
    all_T[:9] = 0  # every token of the others: 2 + 4 + 10 + 3 = 19
    apart = [step_loss(model, shard, each, [np.arange(5)]) for each in (one_T, all_T)]
    together = step_loss(model, shard, one_T + all_T, [np.array([0]), np.arange(1, 5)])
    assert together == pytest.approx((apart[0] + 19 * apart[1]) / 20, rel=1e-5)


def planned(trained: list[int], **settings) -> list[list[list[int]]]:
    lengths_N = np.array(LENGTHS)
    steps = plan_steps(lengths_N, np.array(trained), TrainingSettings(**settings))
    return [[batch.tolist() for batch in step] for step in steps]


def test_every_epoch_trains_each_sample_once_in_its_own_order():
    steps = planned([0, 1, 2, 3, 4], epochs=3, step_samples=1, batch_tokens=100)
    order = [sample for step in steps for batch in step for sample in batch]
    epochs = [order[start : start + 5] for start in (0, 5, 10)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 3
    assert all(one != other for one, other in pairwise(epochs))
    assert planned([0, 1, 2, 3, 4], epochs=3, step_samples=1, seed=1) != steps


def test_a_step_is_cut_into_batches_within_the_budget_of_tokens():
    [step] = planned([0, 1, 2, 3, 4], step_samples=5, batch_tokens=12)
    assert step == [[3], [0], [2, 4], [1]]  # 12; 9; 6 + 5, padded to 12; 4
    [step] = planned([0, 1, 2, 3, 4], step_samples=5, batch_tokens=1)
    assert step == [[3], [0], [2], [4], [1]]
    assert [len(step[0]) for step in planned([0, 1, 2, 4], step_samples=3)] == [3, 1]


def test_the_learning_rate_rises_in_the_warm_up_and_falls_towards_zero():
    rates = [learning_rate(step, num_steps=8, num_warmup=4) for step in range(8)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert [learning_rate(step, num_steps=2, num_warmup=0) for step in range(2)] == [1.0, 0.5]


def test_the_same_training_gives_the_same_model(model_directory, shard, weights):
    settings = TrainingSettings(learning_rate=1e-3, epochs=20, step_samples=2, batch_tokens=16)
    models, losses = [], []
    for _ in range(2):
        model = LlamaForCausalLM.from_pretrained(model_directory, attention_dropout=0.2)
        torch.rand(1)  # what was drawn before is of no account
        losses.append(train(model, shard, weights, settings))
        models.append(model.state_dict())
    assert losses[0] == losses[1]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert len(losses[0]) == 40  # one of the five samples has no weight
    assert np.mean(losses[0][-3:]) < np.mean(losses[0][:3]) - 2  # nats


def test_training_leaves_the_mode_and_the_random_state_alone(model_directory, shard, weights):
    model = LlamaForCausalLM.from_pretrained(model_directory, attention_dropout=0.2).eval()
    before = torch.random.get_rng_state()
    train(model, shard, weights, TrainingSettings())
    assert not model.training
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_is_drawn_from_the_seed(model_directory, shard, weights):
    losses = []
    for seed in (0, 1):  # one step of all samples, so that only dropout differs
        model = LlamaForCausalLM.from_pretrained(model_directory, attention_dropout=0.2)
        losses += train(model, shard, weights, TrainingSettings(seed=seed))
    assert len(losses) == 2
    assert abs(losses[0] - losses[1]) > 1e-3


def test_training_is_adamw_on_the_loss_of_each_step(model_directory, shard, weights):
    settings = TrainingSettings(learning_rate=1e-3, warmup=0.5, epochs=2, step_samples=2)
    plain = LlamaForCausalLM.from_pretrained(model_directory)
    optimizer = torch.optim.AdamW(plain.parameters(), weight_decay=0.0)
    losses = []
    steps = plan_steps(shard.lengths_N, np.array([0, 1, 2, 3]), settings)
    for step, rate in zip(steps, [0.5e-3, 1e-3, 1e-3, 0.5e-3], strict=True):
        is_in_step_T = np.repeat(np.isin(np.arange(5), np.concatenate(step)), LENGTHS)
        loss = loss_by_full_logits(plain, shard, np.where(is_in_step_T, weights, 0).astype("f4"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        losses.append(loss.item())

    model = LlamaForCausalLM.from_pretrained(model_directory)
    assert train(model, shard, weights, settings) == pytest.approx(losses, rel=1e-4)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


def test_tokens_without_a_weight_are_not_learned(model_directory, shard):
    weight_T = np.zeros(len(shard.response_T), dtype=np.float32)
    weight_T[-1] = 1  # sample 4's last token
    results = []
    for last_but_one in (7, 8):
        ids_T = shard.input_ids_T.copy()
        ids_T[-6] = last_but_one  # sample 3's last token: not trained, and seen by nobody
        other = replace(shard, input_ids_T=ids_T)
        model = LlamaForCausalLM.from_pretrained(model_directory)
        results.append(train(model, other, weight_T, TrainingSettings(epochs=3)))
    assert results[0] == results[1]
    assert len(results[0]) == 3


def test_without_any_weight_nothing_is_trained(model, shard):
    before = {name: each.clone() for name, each in model.state_dict().items()}
    assert (
        train(model, shard, np.zeros(len(shard.response_T), np.float32), TrainingSettings()) == []
    )
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())


def test_a_loss_that_is_not_finite_stops_the_training(model, shard, weights):
    with torch.no_grad():
        model.model.norm.weight.fill_(math.inf)
    with pytest.raises(TokensieveError, match=r"training: step 1: the loss is nan\. Lower"):
        train(model, shard, weights, TrainingSettings())


@pytest.mark.parametrize("token", [0, 1])
def test_a_weight_outside_the_answers_is_our_error(model, shard, token):
    weight_T = np.zeros(len(shard.response_T), dtype=np.float32)
    weight_T[token] = 1
    with pytest.raises(AssertionError, match="only response tokens"):
        train(model, shard, weight_T, TrainingSettings())
