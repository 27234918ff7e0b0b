"""Attention columns against eager attention, and everything that must not change them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tests.tiny_attention import (
    FAMILIES,
    VOCABULARY,
    build,
    eager_attention,
    expected_columns,
    shard_of,
)
from tokensieve.corpus import Shard
from tokensieve.errors import InputError, SettingsError
from tokensieve.forward import NextTokens, padded
from tokensieve.scoring import (
    ATTENTION_COLUMNS,
    COLUMNS,
    ShardScoring,
    heads,
    score_shard,
)
from tokensieve.scoring.attention import Passage, read_with_attention
from tokensieve.settings import ScoringSettings

torch.set_num_threads(1)  # on tiny matrices threads only wait for each other

EXACT = {"rtol": 0, "atol": 2e-6}  # float32
TWO_TURNS = "pppp" + "rrr" + "ppppp" + "rrrrrr" + "pp"
SHARD = shard_of("pppp" + "r" * 9, TWO_TURNS, "prrr", "rrrppr", "ppp" + "r" * 20, "ppp")


def run(model: PreTrainedModel, shard: Shard = SHARD, columns=tuple(COLUMNS), **settings: object):
    return score_shard(model, shard, ScoringSettings(**settings), columns, lambda _: None)[0]


@pytest.mark.parametrize("batch_tokens", [1, 1000])
@pytest.mark.parametrize("layer", [0, -1])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_columns_are_those_of_eager_attention(family, layer, batch_tokens):
    expected = expected_columns(build(family, attn_implementation="eager"), SHARD, layer)
    found = run(build(family), batch_tokens=batch_tokens, attention_layer=layer)
    for name, values_T in expected.items():
        np.testing.assert_allclose(found[name], values_T, err_msg=name, **EXACT)
        assert np.nanstd(found[name]) > 0.01


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_bfloat16_gives_the_columns_of_eager_attention_within_its_precision(family):
    eager = build(family, torch.bfloat16, attn_implementation="eager")
    expected, found = expected_columns(eager, SHARD, -1), run(build(family, torch.bfloat16))
    for name, values_T in expected.items():
        difference_S = np.abs(found[name] - values_T)[SHARD.scorable_T]
        assert difference_S.max() < 0.03
        assert difference_S.mean() < 0.005


def attention_of(model: PreTrainedModel, passage: Passage, layer: int = 1) -> dict[str, np.ndarray]:
    """Return the columns over [B, L] of one batch."""
    _, columns_CBL = read_with_attention(model, layer, passage, tuple(ATTENTION_COLUMNS))
    return dict(zip(ATTENTION_COLUMNS, columns_CBL.numpy(), strict=True))


def passage_of(*lengths: int, side: str = "right", conditioning: bool = True) -> Passage:
    generator = np.random.default_rng(3)
    batch = padded([generator.integers(3, VOCABULARY, n, dtype=np.int32) for n in lengths], side)
    return Passage(batch, batch.laid_out([conditioning] * len(lengths), np.bool_), first=0)


# methods.md 2.4 S2: the released hook lets an unpadded batch look at the future
@pytest.mark.parametrize("lengths", [(20,), (20, 20), (20, 13, 5)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_token_pays_all_its_attention_to_tokens_up_to_itself(lengths, side):
    model = build()
    passage = passage_of(*lengths, side=side)
    everything = attention_of(model, passage)["prompt_attention"]
    for row, start, end in zip(
        everything, passage.batch.starts_B, passage.batch.ends_B, strict=True
    ):
        np.testing.assert_allclose(row[start:end], 1, **EXACT)
        assert not row[:start].any()
        assert not row[end:].any()


def test_tokens_that_come_later_change_nothing_that_a_token_pays():
    model, columns = build(), ("nll", "prompt_attention", "prompt_attention_but_first")
    longer = run(model, shard_of("ppppp" + "r" * 15), columns)
    shorter = run(model, shard_of("ppppp" + "r" * 4), columns)
    for name in columns[1:]:
        np.testing.assert_allclose(shorter[name][5:], longer[name][5:9], **EXACT)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3_text", "gpt2"])
def test_padding_on_either_side_gives_the_columns_of_single_samples(family):
    model = build(family)
    for side in ("left", "right"):
        passage = passage_of(17, 9, 4, side=side)
        together = attention_of(model, passage)
        for index, start in enumerate(passage.batch.starts_B):
            ids = passage.batch.input_ids_BL[index, start : passage.batch.ends_B[index]]
            batch = padded([ids.astype(np.int32)])
            alone = attention_of(model, Passage(batch, batch.laid_out([True], np.bool_), 0))
            for name, values_BL in together.items():
                found = values_BL[index, start : start + len(ids)]
                np.testing.assert_allclose(found, alone[name][0], err_msg=name, **EXACT)


# S1: the released code takes as many leading tokens for the prompt as are masked anywhere
def test_what_conditions_a_second_answer_is_both_questions_and_not_the_first_answer():
    model, shard = build(), shard_of(TWO_TURNS)
    attention_SS = eager_attention(build(attn_implementation="eager"), shard.input_ids_T, layer=-1)
    paid = run(model, shard)["prompt_attention"]
    both = attention_SS[:, :4].sum(axis=1) + attention_SS[:, 7:12].sum(axis=1)
    np.testing.assert_allclose(paid[12:18], both[12:18], **EXACT)
    np.testing.assert_allclose(paid[4:7], attention_SS[4:7, :4].sum(axis=1), **EXACT)
    assert (paid[12:18] < 1 - attention_SS[12:18, 4:7].sum(axis=1)).all()


# S3: position 0 takes up the attention that has no aim
def test_attention_paid_to_position_0_is_in_one_column_and_not_in_the_other():
    found = run(build(), shard := shard_of("ppp" + "rrrr"))
    sink_S = eager_attention(build(attn_implementation="eager"), shard.input_ids_T, -1)[3:, 0]
    difference_S = found["prompt_attention"][3:] - found["prompt_attention_but_first"][3:]
    np.testing.assert_allclose(difference_S, sink_S, **EXACT)
    assert sink_S.min() > 0.001


# 3.3 X1: the released importance is the mean over the keys, which is 1/S whatever the model does
def test_received_attention_differs_between_tokens_and_the_mean_over_keys_does_not():
    shard = shard_of("p" * 5 + "r" * 15)
    attention_SS = eager_attention(build(attn_implementation="eager"), shard.input_ids_T, -1)
    np.testing.assert_allclose(attention_SS.mean(axis=1), 1 / 20, rtol=1e-6)
    received_S = run(build(), shard)["received_attention"][5:]
    assert received_S.std() > 0.02
    assert received_S.max() > 3 * received_S.min()


def test_a_token_that_all_see_alike_receives_the_mean_of_what_they_pay():
    model = build()
    for name, weight in model.named_parameters():
        if "q_proj" in name:
            weight.zero_()  # every query looks at all it can see with the same share
    received_S = run(model, shard_of("pp" + "rr"))["received_attention"]
    np.testing.assert_allclose(received_S[2:], [(1 / 3 + 1 / 4) / 2, 1 / 4], **EXACT)


def test_the_model_reads_what_attention_needs_and_no_more():
    model = build()
    shapes: list[tuple[int, int]] = []
    model.model.embed_tokens.register_forward_pre_hook(
        lambda _, args: shapes.append(tuple(args[0].shape))
    )
    shard = shard_of("pp" + "rrr" + "pppp", "ppppp")
    for column in ("entropy", "prompt_attention", "received_attention"):
        run(model, shard, ("nll", column))
    assert shapes == [(1, 4), (1, 5), (1, 9)]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_pass_itself_is_the_same_to_the_bit(family):
    model, passage = build(family), passage_of(17, 9)
    listened, _ = read_with_attention(model, 0, passage, ("prompt_attention",))
    assert torch.equal(listened.hidden_BLH, NextTokens(model, passage.batch).hidden_BLH)
    assert model.config._attn_implementation == ("eager" if family == "gemma2" else "sdpa")


def test_nobody_listens_any_more_after_a_pass_or_an_error():
    model = build()
    run(model)
    assert "get_interface" not in vars(ALL_ATTENTION_FUNCTIONS)

    def fail(*args: object) -> None:
        raise KeyboardInterrupt

    model.model.norm.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        run(model)
    assert "get_interface" not in vars(ALL_ATTENTION_FUNCTIONS)


def test_scores_are_the_same_to_the_bit_with_attention_if_the_batches_are():
    shard = shard_of("pppp" + "r" * 8, "ppprrr")
    plain = ShardScoring(build(), shard, ("nll", "entropy"), -1)
    plain.needed_N += 1
    attentive = ShardScoring(build(), shard, ("nll", "entropy", "prompt_attention"), -1)
    assert plain.needed_N.tolist() == attentive.needed_N.tolist() == [12, 6]
    for scoring in (plain, attentive):
        scoring.score(np.array([0, 1]))
    expected, found = plain.result()[0], attentive.result()[0]
    np.testing.assert_array_equal(found["nll"], expected["nll"])
    np.testing.assert_array_equal(found["entropy"], expected["entropy"])


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that was made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        sizes = [each.numel() for each in tree_leaves(answer) if isinstance(each, torch.Tensor)]
        self.numel = max(self.numel, *sizes, 0)
        return answer


def test_blocks_give_the_same_columns_and_no_array_over_heads_and_pairs(monkeypatch):
    model, passage = build(), passage_of(120, 120)
    whole = attention_of(model, passage)
    monkeypatch.setitem(heads._BLOCK_BYTES, "cpu", 4 * 2 * 4 * 120 * 7)  # 7 queries at a time
    with Largest() as largest:
        pieces = attention_of(model, passage)
    for name, values_BL in whole.items():
        np.testing.assert_allclose(pieces[name], values_BL, **EXACT)
    assert largest.numel < 120 * 120  # two samples, four heads


def test_the_same_call_gives_the_same_bits():
    first, second = run(build()), run(build())
    for name, values_T in first.items():
        np.testing.assert_array_equal(second[name], values_T)


def test_a_model_spread_over_devices_gives_the_same_columns():
    expected, model = run(build()), build()
    parts = {name: "cpu" for name, _ in model.named_children()} | {"model": "cpu"}
    found = run(dispatch_model(model, parts, force_hooks=True))
    for name, values_T in expected.items():
        np.testing.assert_array_equal(found[name], values_T)


def test_a_layer_that_does_not_exist_is_refused():
    for layer in (2, -3):
        with pytest.raises(SettingsError, match=rf"attention_layer: is {layer}, .* has 2 layers"):
            run(build(), attention_layer=layer)


def test_a_layer_without_softmax_attention_is_refused_with_those_that_have_it():
    run(build("lfm2"), attention_layer=1)
    with pytest.raises(InputError, match=r"layer 0 has no softmax attention; these have: 1\. Set"):
        run(build("lfm2"), attention_layer=0)


def test_a_model_with_attention_functions_of_its_own_is_refused():
    config = AutoConfig.for_model("gptj", vocab_size=101, n_embd=32, n_layer=1, n_head=4)
    config.rotary_dim = 4
    with pytest.raises(InputError, match="does not go through the functions of transformers"):
        run(AutoModelForCausalLM.from_config(config).eval())


def sharper(*args: object, scaling: float, **more: object) -> object:
    return sdpa_attention_forward(*args, scaling=1.3 * scaling, **more)


def gated(*args: object, **more: object) -> object:
    output_BLHE, weights = sdpa_attention_forward(*args, **more)
    return 0.95 * output_BLHE, weights


def gated_at_first(*args: object, **more: object) -> object:
    output_BLHE, weights = sdpa_attention_forward(*args, **more)
    output_BLHE[:, : output_BLHE.shape[1] // 2] *= 0.8
    return output_BLHE, weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attend", [sharper, gated, gated_at_first])
def test_a_layer_that_does_something_unknown_to_its_attention_is_refused(
    monkeypatch, dtype, attend
):
    monkeypatch.setitem(AttentionInterface._global_mapping, "unknown", attend)
    with pytest.raises(InputError, match=r"layer 1 does something .* output differs by \d"):
        run(build(dtype=dtype, attn_implementation="unknown"))


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_layer_is_refused_for_the_rounding_of_bfloat16(family, kind):
    if kind == "sdpa" and family in ("gpt_oss", "gemma2"):
        pytest.skip("its sinks and caps have no such kernel")
    model = build(family, torch.bfloat16, attn_implementation=kind)
    for name, weight in model.named_parameters():
        if any(each in name for each in ("q_proj", "k_proj", "c_attn")):
            weight.mul_(3)  # logits so large that eager code rounds them by whole percents
    for layer in (0, 1):
        run(model, columns=("nll", "prompt_attention"), attention_layer=layer)
    with torch.autocast("cpu", torch.bfloat16):
        run(model.float(), columns=("nll", "prompt_attention"))


def test_a_model_in_training_can_be_scored_and_trained_afterwards():
    expected = run(build(), columns=("nll", "prompt_attention"))
    model = build().requires_grad_().train()
    scoring = ShardScoring(model, SHARD, ("nll", "prompt_attention"), -1)
    for samples in scoring.plan(1000):
        scoring.score(samples)
    found, _ = scoring.result()
    for name, values_T in expected.items():
        np.testing.assert_array_equal(found[name], values_T)
    ids_1S = torch.from_numpy(SHARD.input_ids_T[:13]).long()[None]
    model(input_ids=ids_1S, labels=ids_1S).loss.backward()
    assert model.training
    assert all(weight.grad is not None for weight in model.parameters())


def test_autocast_changes_the_pass_and_not_the_precision_of_the_columns():
    model, passage = build(), passage_of(30, 11)
    with torch.autocast("cpu", torch.bfloat16):
        columns = attention_of(model, passage)
    for row, end in zip(columns["prompt_attention"], passage.batch.ends_B, strict=True):
        np.testing.assert_allclose(row[:end], 1, **EXACT)


def test_what_a_query_may_look_at_is_limited_by_each_of_sample_window_and_the_models_mask():
    torch.manual_seed(0)
    query_BHLD, key_BGLD = torch.randn(1, 2, 6, 4), torch.randn(1, 1, 6, 4)
    allowed = torch.ones(1, 1, 6, 6, dtype=torch.bool)
    allowed[..., 1] = False
    added = torch.zeros(1, 1, 6, 6).masked_fill(~allowed, torch.finfo(torch.bfloat16).min)
    cases = [
        ("right", None, {}, [0, 1, 2, 3]),
        ("left", None, {}, [2, 3]),
        ("right", None, {"sliding_window": 2}, [2, 3]),
        ("right", allowed, {}, [0, 2, 3]),
        ("right", added, {}, [0, 2, 3]),
        ("right", added.bfloat16(), {"sliding_window": 3}, [2, 3]),
    ]
    for side, mask, options, keys in cases:
        batch = padded([np.arange(6, dtype=np.int32), np.arange(4, dtype=np.int32)], side)
        batch = replace(batch, starts_B=batch.starts_B[1:], ends_B=batch.ends_B[1:])
        call = heads.Call(0, query_BHLD, key_BGLD, key_BGLD, mask, options, query_BHLD)
        exp_BHQK, total_BHQ1 = heads.Heads(call, batch).block(3, 4)
        logits_HK = (query_BHLD[0, :, 3] @ key_BGLD[0, 0, keys].T) / 2
        expected_HK = torch.zeros(2, 4)
        expected_HK[:, keys] = logits_HK.softmax(dim=-1)
        found_HK = (exp_BHQK / total_BHQ1)[0, :, 0]
        np.testing.assert_allclose(found_HK, expected_HK, rtol=0, atol=1e-6)
