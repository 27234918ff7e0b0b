"""Scores against the plain computation, and everything that must not change them."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tokensieve.corpus import Shard
from tokensieve.errors import InputError, ResourceError
from tokensieve.forward import NextTokens, check_forward, padded
from tokensieve.scoring import COLUMNS, check_finite, distribution, plan_batches, score_shard
from tokensieve.scoring.distribution import reduced
from tokensieve.settings import ScoringSettings

torch.set_num_threads(1)  # on tiny matrices threads only wait for each other

VOCABULARY = 211
TINY = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
FAMILIES = {
    "llama": TINY,
    "llama tied": TINY | {"tie_word_embeddings": True},
    "qwen2": TINY | {"tie_word_embeddings": False},
    "qwen2 tied": TINY | {"tie_word_embeddings": True},
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "initializer_range": 0.3,
    },
    "gemma2": TINY | {"final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    "granite": TINY | {"logits_scaling": 4.0, "embedding_multiplier": 3.0},
    "cohere": TINY | {"logit_scale": 0.25},
    "opt": TINY | {"ffn_dim": 64, "word_embed_proj_dim": 16, "init_std": 0.3},
    "mamba": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2},
}
PLAIN = ("nll", "entropy")
EXACT = {"rtol": 0, "atol": 2e-5}  # float32: nats


def build(family: str = "llama", dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.split()[0], **FAMILIES[family])
    return AutoModelForCausalLM.from_config(config).eval().requires_grad_(False).to(dtype)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return build()


@pytest.fixture
def fresh() -> PreTrainedModel:
    """A model that a test may hang hooks on."""
    return build()


def shard_of(spans: Sequence[tuple[int, int]], tail: int = 0) -> Shard:
    """Return samples of (prompt, response) tokens each, and `tail` prompt tokens after them."""
    lengths = [prompt + response + tail for prompt, response in spans]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    response_T = np.zeros(offsets[-1], dtype=bool)
    for start, (prompt, response) in zip(offsets, spans, strict=False):
        response_T[start + prompt : start + prompt + response] = True
    generator = np.random.default_rng(7)
    return Shard(
        sample_ids=[f"s{n}" for n in range(len(spans))],
        sources=["test"] * len(spans),
        offsets_N1=offsets,
        input_ids_T=generator.integers(0, VOCABULARY, offsets[-1], dtype=np.int32),
        response_T=response_T,
        turn_T=np.zeros(offsets[-1], dtype=np.int16),
    )


SHARD = shard_of([(5, 8), (3, 4), (10, 8), (1, 1), (2, 30), (6, 7), (4, 9)])


def run(model: PreTrainedModel, shard: Shard = SHARD, **settings: object):
    columns, counts = score_shard(model, shard, ScoringSettings(**settings), PLAIN, lambda _: None)
    return columns["nll"], columns["entropy"], counts


def plain(model: PreTrainedModel, shard: Shard) -> tuple[np.ndarray, np.ndarray]:
    """Return nll_T and entropy_T the slow way: each sample alone, all logits, float64."""
    nll_T, entropy_T = (np.full(len(shard.input_ids_T), np.nan) for _ in range(2))
    for span in shard.slices():
        ids = torch.from_numpy(shard.input_ids_T[span]).long()
        logits = model(input_ids=ids[None]).logits[0].double()
        loss = torch.nn.CrossEntropyLoss(reduction="none")(logits[:-1], ids[1:])
        nll_T[span][1:] = loss
        entropy_T[span][1:] = torch.distributions.Categorical(logits=logits[:-1]).entropy()
    return np.where(shard.scorable_T, nll_T, np.nan), np.where(shard.scorable_T, entropy_T, np.nan)


@pytest.mark.parametrize("family", FAMILIES)
def test_nll_is_the_shifted_cross_entropy_and_entropy_the_plain_one(family):
    model = build(family)
    nll_T, entropy_T, _ = run(model)
    expected_nll_T, expected_entropy_T = plain(model, SHARD)
    np.testing.assert_allclose(nll_T, expected_nll_T, **EXACT)
    np.testing.assert_allclose(entropy_T, expected_entropy_T, **EXACT)
    assert np.nanstd(nll_T) > 0.1  # the models do have opinions
    check_forward(model)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_what_is_collected_on_demand_is_that_of_all_logits_and_changes_no_other_bit(family):
    model = build(family)
    asked = ("top_entropy", "nll", "sum_p2", "entropy")
    found, counts = score_shard(model, SHARD, ScoringSettings(), asked, lambda _: None)
    assert tuple(found) == asked
    sum_p2_T, top_entropy_T = (np.full(len(SHARD.input_ids_T), np.nan) for _ in range(2))
    for span in SHARD.slices():
        ids = torch.from_numpy(SHARD.input_ids_T[span]).long()
        p_LV = model(input_ids=ids[None]).logits[0].double().softmax(-1)
        top_LV = p_LV.sort(descending=True).values[:, :20]
        sum_p2_T[span][1:] = p_LV[:-1].pow(2).sum(-1)
        top_entropy_T[span][1:] = torch.distributions.Categorical(probs=top_LV[:-1]).entropy()
    scorable_T = SHARD.scorable_T
    np.testing.assert_allclose(found["sum_p2"][scorable_T], sum_p2_T[scorable_T], **EXACT)
    np.testing.assert_allclose(found["top_entropy"][scorable_T], top_entropy_T[scorable_T], **EXACT)
    nll_T, entropy_T, plain_counts = run(model)
    np.testing.assert_array_equal(found["nll"], nll_T)
    np.testing.assert_array_equal(found["entropy"], entropy_T)
    assert counts == plain_counts


def test_the_sum_over_the_response_is_the_models_own_loss(model):
    shard = shard_of([(9, 20)])
    ids = torch.from_numpy(shard.input_ids_T).long()[None]
    labels = torch.where(torch.from_numpy(shard.response_T), ids, -100)
    own_loss = model(input_ids=ids, labels=labels).loss.item()
    assert np.nansum(run(model, shard)[0]) == pytest.approx(20 * own_loss, abs=1e-3)


def test_nll_and_entropy_of_distributions_known_by_heart():
    logits_KV = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1e4, 0.0, 0.0, 0.0], [1e4, 0.0, 0.0, 0.0]])
    nll_K, entropy_K = reduced(logits_KV, torch.tensor([2, 0, 1]), PLAIN).tolist()
    assert nll_K == pytest.approx([np.log(4), 0, 1e4])
    assert entropy_K == pytest.approx([np.log(4), 0, 0])


def test_sum_p2_and_top_entropy_of_distributions_known_by_heart():
    logits_KV = torch.zeros(3, 100)
    logits_KV[1, :2] = 1e4  # two tokens share all
    logits_KV[2, 7] = 1e4
    found = reduced(logits_KV, torch.tensor([0, 0, 0]), ("sum_p2", "top_entropy"))
    np.testing.assert_allclose(found[0], [0.01, 0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(found[1], [np.log(20), np.log(2), 0], rtol=1e-6)


def test_the_likeliest_tokens_of_a_small_vocabulary_are_all_of_it():
    entropy_K, top_entropy_K = reduced(
        torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([0]), ("entropy", "top_entropy")
    ).tolist()
    assert top_entropy_K == pytest.approx(entropy_K)


def test_bfloat16_logits_are_reduced_in_float32():
    logits_KV = torch.zeros(1, 4096, dtype=torch.bfloat16)  # a bfloat16 sum would stop at 256
    scores_2K = reduced(logits_KV, torch.tensor([0]), PLAIN)
    assert scores_2K.dtype == torch.float32
    np.testing.assert_allclose(scores_2K[:, 0], np.log(4096), rtol=1e-6)


# methods.md 1.9 B2: the released scorer reads left-padded rows as if they were padded on the right
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_on_either_side_gives_the_scores_of_single_samples(side, family, dtype):
    model = build(family, dtype)
    generator = np.random.default_rng(1)
    samples = [generator.integers(0, VOCABULARY, n, dtype=np.int32) for n in (7, 13, 18)]
    batch = padded(samples, side)
    assert batch.starts_B.tolist() == ([11, 5, 0] if side == "left" else [0, 0, 0])
    together, alone = NextTokens(model, batch), [NextTokens(model, padded([s])) for s in samples]
    for index, sample in enumerate(samples):
        tokens = np.arange(1, len(sample))
        rows = torch.from_numpy(batch.rows_before(index, tokens))
        targets = torch.from_numpy(sample[1:]).long()
        ours = reduced(together.logits(rows), targets, PLAIN)
        expected = reduced(alone[index].logits(torch.arange(len(sample) - 1)), targets, PLAIN)
        tolerance = 2e-5 if dtype == torch.float32 else 0.15
        np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)
        assert (ours - expected).abs().mean() < tolerance / 4


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 0.15)])
def test_one_sample_at_a_time_gives_the_scores_of_one_big_batch(dtype, tolerance):
    model = build(dtype=dtype)
    together, alone = run(model, batch_tokens=1000), run(model, batch_tokens=1)
    np.testing.assert_allclose(together[0], alone[0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(together[1], alone[1], rtol=0, atol=tolerance)
    assert together[2]["padded_tokens"] == 7 * 31 - 91  # the last token of 32 is not read
    assert alone[2]["padded_tokens"] == 0


def test_the_same_call_gives_the_same_bits(model):
    first, second = run(model), run(model)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_other_samples_of_the_shard_do_not_change_a_score(model):
    alone = shard_of([(5, 8)])
    np.testing.assert_array_equal(alone.input_ids_T, SHARD.input_ids_T[:13])
    np.testing.assert_allclose(run(model, alone)[0], run(model)[0][:13], **EXACT)


def test_only_response_tokens_after_position_0_have_scores(model):
    shard = shard_of([(0, 3), (2, 2)])
    nll_T, entropy_T, counts = run(model, shard)
    expected = [False, True, True, False, False, True, True]
    assert np.isfinite(nll_T).tolist() == expected
    assert np.isfinite(entropy_T).tolist() == expected
    assert counts == {
        "tokens": 7,
        "response_tokens": 5,
        "scored_tokens": 4,
        "non_finite_tokens": 0,
        "unscorable_tokens": 1,
        "padded_tokens": 1,
        "oom_splits": 0,
    }


def seen_by_the_body(model: PreTrainedModel) -> list[tuple[int, int]]:
    """Return a list that will fill with the shapes of the batches that are embedded."""
    shapes: list[tuple[int, int]] = []
    embed = model.model.embed_tokens
    embed.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
    return shapes


def test_the_body_reads_nothing_that_no_score_depends_on(fresh):
    seen = seen_by_the_body(fresh)
    spans = [(5, 8), (9, 0), (1, 0), (0, 1)]
    run(fresh, shard_of(spans, tail=6), batch_tokens=64)
    assert seen == [(1, 12)]  # 13 tokens to the end of the only response, its last is not read


def test_a_cpu_takes_at_most_1024_tokens_at_once(fresh):
    seen = seen_by_the_body(fresh)
    run(fresh, shard_of([(20, 44)] * 40))
    assert seen == [(16, 63), (16, 63), (8, 63)]


def test_the_head_sees_the_rows_before_response_tokens_in_chunks(fresh, monkeypatch):
    whole = run(fresh)
    rows = []
    fresh.lm_head.register_forward_pre_hook(lambda _, args: rows.append(args[0].numel() // 32))
    monkeypatch.setitem(distribution._HEAD_BYTES, "cpu", 4 * VOCABULARY * 10)
    monkeypatch.setitem(distribution._PASS_BYTES, "cpu", 4 * VOCABULARY * 3)
    pieces = run(fresh)
    assert sum(rows) == SHARD.scorable_T.sum()
    assert max(rows) <= 10
    np.testing.assert_allclose(pieces[0], whole[0], **EXACT)
    np.testing.assert_allclose(pieces[1], whole[1], **EXACT)


def test_progress_adds_up_to_the_tokens_of_the_shard(model):
    shard = shard_of([(5, 8), (3, 0), (0, 1), (2, 9)], tail=3)
    calls: list[int] = []
    score_shard(model, shard, ScoringSettings(batch_tokens=12), PLAIN, calls.append)
    assert len(calls) == 3
    assert sum(calls) == len(shard.input_ids_T)


def test_an_empty_shard_has_no_scores(model):
    nll_T, entropy_T, counts = run(model, shard_of([]))
    assert (len(nll_T), len(entropy_T), set(counts.values())) == (0, 0, {0})


def test_a_model_spread_over_devices_gives_the_same_scores(model, fresh):
    parts = {name: "cpu" for name, _ in fresh.named_children()} | {"model": "cpu"}
    spread = dispatch_model(fresh, parts, force_hooks=True)
    assert "forward" in vars(spread.model)  # accelerate stands in the way
    check_forward(spread)
    np.testing.assert_array_equal(run(spread)[0], run(model)[0])
    assert "forward" in vars(spread.model)


# F38
def fail_above(model: PreTrainedModel, num_tokens: int) -> None:
    def out_of_memory(module, args):
        if args[0].numel() > num_tokens:
            raise torch.OutOfMemoryError("no memory")

    model.model.embed_tokens.register_forward_pre_hook(out_of_memory)


def test_a_batch_that_does_not_fit_is_halved_and_counted(model, fresh):
    fail_above(fresh, 50)
    first, second, undisturbed = run(fresh), run(fresh), run(model)
    # read: 31 17 12 12 12 6 1 tokens. 7 samples fail, then the first 3; 1, 2 and 4 fit.
    assert (first[2]["oom_splits"], first[2]["padded_tokens"]) == (2, 5 + 17)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_allclose(first[0], undisturbed[0], **EXACT)
    np.testing.assert_allclose(first[1], undisturbed[1], **EXACT)


def test_a_single_sample_that_does_not_fit_is_named(fresh):
    fail_above(fresh, 20)
    with pytest.raises(ResourceError, match="sample s4: 32 tokens do not fit"):
        run(fresh)


# F40
def spoil(model: PreTrainedModel, row: int, value: float) -> None:
    def forward_hook(module, args, logits):
        logits[0, row, 5] = value
        return logits

    model.lm_head.register_forward_hook(forward_hook)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_counted_and_the_others_stay(model, fresh, value):
    spoil(fresh, 3, value)
    nll_T, entropy_T, counts = run(fresh)
    expected = run(model)[0]
    missing = np.flatnonzero(np.isnan(nll_T) & SHARD.scorable_T)
    assert len(missing) == 1
    assert np.isnan(entropy_T[missing]).all()
    assert (counts["non_finite_tokens"], counts["scored_tokens"]) == (1, 66)
    expected[missing] = np.nan
    np.testing.assert_array_equal(nll_T, expected)


def test_a_token_has_all_its_columns_or_none(fresh):
    spoil(fresh, 3, float("nan"))
    found, counts = score_shard(fresh, SHARD, ScoringSettings(), tuple(COLUMNS), lambda _: None)
    assert (counts["non_finite_tokens"], counts["scored_tokens"]) == (1, 66)
    for values_T in found.values():
        np.testing.assert_array_equal(np.isfinite(values_T), np.isfinite(found["nll"]))


def test_too_many_scores_that_are_not_finite_refuse_the_model():
    check_finite("models/base", num_wrong=1, num_response=100, max_share=0.01)
    with pytest.raises(InputError, match=r"^models/base: 2 of 100 response .*allowed: 1\.00%"):
        check_finite("models/base", num_wrong=2, num_response=100, max_share=0.01)


def test_a_model_that_looks_ahead_is_refused():
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", **(TINY | {"num_key_value_heads": 4}))
    with pytest.raises(InputError, match="not a causal language model"):
        check_forward(AutoModelForCausalLM.from_config(config).eval())


@pytest.mark.parametrize("wrong", [-1, VOCABULARY])
def test_a_token_without_an_embedding_is_refused_with_its_sample(model, wrong):
    shard = shard_of([(5, 8), (3, 4)])
    shard.input_ids_T[14] = wrong
    with pytest.raises(InputError, match=f"sample s1: token id {wrong} has no embedding"):
        run(model, shard)


# M15
def test_a_sample_longer_than_the_models_context_is_refused(model):
    with pytest.raises(InputError, match=r"sample s1: is 65 tokens long, .* was made for 64"):
        run(model, shard_of([(5, 8), (5, 60)]))


def test_batches_are_planned_longest_first_and_ties_in_order():
    lengths_N = np.array([3, 9, 3, 0, 5, 3, 20])
    plan = [batch.tolist() for batch in plan_batches(lengths_N, 10)]
    assert plan == [[6], [1], [4, 0], [2, 5]]


@given(st.lists(st.integers(0, 50)), st.integers(1, 120))
def test_every_sample_with_tokens_is_in_one_batch_within_the_budget(lengths, batch_tokens):
    lengths_N = np.array(lengths, dtype=np.int64)
    plan = plan_batches(lengths_N, batch_tokens)
    planned = sorted(sample for batch in plan for sample in batch.tolist())
    assert planned == np.flatnonzero(lengths_N).tolist()
    for batch in plan:
        assert len(batch) == 1 or len(batch) * lengths_N[batch].max() <= batch_tokens
