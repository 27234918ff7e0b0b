"""Answers without their questions: what becomes a sample, and where the scores go."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from tests.tiny_attention import build, shard_of
from tokensieve.corpus import Shard
from tokensieve.scoring import score_shard
from tokensieve.settings import ScoringSettings
from tokensieve.unprompted import score_without_prompts, without_prompts

CONTEXT = (7, 8)
COLUMNS = ("nll", "entropy", "prompt_attention")


def conversation(*samples: str) -> Shard:
    """Return samples of ids 10, 11, ...; `p` begins a turn where a response came before it."""
    shard = shard_of(*samples)
    for span in shard.slices():
        begins = shard.response_T[span][:-1] & ~shard.response_T[span][1:]
        shard.turn_T[span][1:] = np.cumsum(begins)
    shard.input_ids_T[:] = np.arange(10, 10 + len(shard.input_ids_T))
    return shard


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return build()


def run(model: PreTrainedModel, shard: Shard, context=CONTEXT, on_batch=lambda num_tokens: None):
    settings = ScoringSettings(batch_tokens=8)
    return score_without_prompts(model, shard, context, settings, COLUMNS, on_batch)


def test_each_turn_becomes_the_context_and_its_answer():
    shard = conversation("pprr", "prpprrrp", "ppp", "prr")
    answers, token_S = without_prompts(shard, CONTEXT)
    ids = [answers.input_ids_T[span].tolist() for span in answers.slices()]
    assert ids == [[7, 8, 12, 13], [7, 8, 15], [7, 8, 18, 19, 20], [7, 8, 26, 27]]
    assert answers.response_T.tolist() == (answers.input_ids_T > 8).tolist()
    assert token_S.tolist() == [2, 3, 5, 8, 9, 10, 16, 17]
    assert answers.sample_ids == ["s0, turn 0", "s1, turn 0", "s1, turn 1", "s3, turn 0"]
    assert answers.turn_T.tolist() == [0] * 7 + [1] * 5 + [0] * 4


def test_a_token_that_no_model_can_predict_stays_without_a_score():
    answers, token_S = without_prompts(conversation("rr", "r"), CONTEXT)
    assert answers.input_ids_T.tolist() == [7, 8, 10, 11]
    assert answers.response_T.tolist() == [False, False, False, True]
    assert token_S.tolist() == [1]


@pytest.mark.parametrize("samples", [(), ("ppp",), ("r",)])
def test_nothing_to_score_gives_no_answers(model, samples):
    shard = conversation(*samples)
    answers, token_S = without_prompts(shard, CONTEXT)
    assert (answers.num_samples, len(answers.input_ids_T), len(token_S)) == (0, 0, 0)
    found, counts = run(model, shard)
    assert np.isnan(found["nll"]).all()
    assert (counts["tokens"], counts["scored_tokens"]) == (len(shard.input_ids_T), 0)
    assert counts["unscorable_tokens"] == shard.response_T.sum()


@given(st.lists(st.text("pr", min_size=1, max_size=12), max_size=6), st.integers(0, 3))
def test_every_scorable_token_is_in_exactly_one_answer(samples, num_context):
    shard = conversation(*samples)
    answers, token_S = without_prompts(shard, [99] * num_context)
    np.testing.assert_array_equal(token_S, np.flatnonzero(shard.scorable_T))
    np.testing.assert_array_equal(
        answers.input_ids_T[answers.response_T], shard.input_ids_T[token_S]
    )
    if num_context:
        assert answers.scorable_T.sum() == shard.scorable_T.sum()


def test_a_score_is_that_of_the_answer_after_the_context_alone(model):
    shard = conversation("pprr", "prpprrrp")
    found, counts = run(model, shard)
    assert np.isfinite(found["nll"]).tolist() == shard.scorable_T.tolist()
    ids = torch.tensor([[7, 8, 18, 19, 20]])
    log_p = model(input_ids=ids).logits[0].log_softmax(-1)
    expected = [-log_p[n - 1, ids[0, n]].item() for n in (2, 3, 4)]
    np.testing.assert_allclose(found["nll"][8:11], expected, atol=2e-5)
    assert counts == {
        "tokens": 12,
        "response_tokens": 6,
        "scored_tokens": 6,
        "non_finite_tokens": 0,
        "unscorable_tokens": 0,
        "padded_tokens": 1,
        "oom_splits": 0,
    }


def test_an_answer_that_stood_first_after_the_same_context_keeps_its_scores(model):
    shard = conversation("pprrr")
    context = shard.input_ids_T[:2].tolist()
    prompted, counts = score_shard(model, shard, ScoringSettings(), COLUMNS, lambda _: None)
    found, unprompted_counts = run(model, shard, context)
    for name, values_T in prompted.items():
        np.testing.assert_array_equal(found[name], values_T)
    assert unprompted_counts == counts


def test_without_any_context_the_first_token_of_each_turn_is_unscorable(model):
    shard = conversation("pprr", "prpprrr")
    found, counts = run(model, shard, context=())
    assert np.flatnonzero(np.isfinite(found["nll"])).tolist() == [3, 9, 10]
    assert (counts["response_tokens"], counts["scored_tokens"]) == (6, 3)
    assert (counts["unscorable_tokens"], counts["non_finite_tokens"]) == (3, 0)


@pytest.mark.parametrize("context", [(), CONTEXT])
def test_progress_adds_up_to_the_tokens_of_the_shard(model, context):
    calls: list[int] = []
    run(model, conversation("pprr", "prpprrrp", "ppp"), context, calls.append)
    assert sum(calls) == 15
    assert len(calls) > 2
    assert min(calls) >= 0
