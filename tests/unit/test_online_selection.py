"""Selection inside training: what is chosen at a step, by what the model then says of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.tiny_models import build_tiny_model
from tests.tiny_training import chosen_data, nll_by_full_logits, tiny_shard
from tokensieve.corpus import Shard
from tokensieve.errors import TokensieveError
from tokensieve.methods import METHODS, Method
from tokensieve.methods.method import CURRENT
from tokensieve.scoring import score_shard
from tokensieve.settings import LoraSettings, ScoringSettings, SelectionSettings, TrainingSettings
from tokensieve.training import (
    Observer,
    StepMethod,
    StepRecord,
    Trainee,
    TrainingData,
    TrainingState,
    load_trainee,
    train,
)

FULL = TrainingSettings(tuning="full", learning_rate=1e-3, precision="float32")
LORA = TrainingSettings(learning_rate=1e-2, precision="float32", lora=LoraSettings(rank=4))
STANDING = {"learning_rate": 1e-12}
"""So small that the model is the same after a step."""
RHO_1, SSTOKEN = (SelectionSettings(method=name) for name in ("rho-1", "sstoken-online"))
PROFIT = SelectionSettings(method="profit", parameters={"tau": 0.001})
"""A random model finds hardly any token more probable than 1 in 100."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("model"), hidden=32)


@pytest.fixture
def model(path):
    return LlamaForCausalLM.from_pretrained(path)


class Decided(Observer):
    """Keeps what was decided, every state and every record."""

    def __init__(self) -> None:
        self.weight_T, self.states, self.records = None, [], []

    def step_done(self, record: StepRecord) -> None:
        self.records.append(record)

    def wants_state(self) -> bool:
        return True

    def keep_state(self, state: TrainingState) -> None:
        self.states.append(state)

    def weights_decided(self, weight_T) -> None:
        assert self.weight_T is None
        self.weight_T = weight_T


def changed(settings, **values):
    return settings.model_copy(update=values)


def decided(model, data: TrainingData, **settings) -> tuple[np.ndarray, list[StepRecord]]:
    """Return what each token weighed in the last epoch of a training, and the records."""
    watch = Decided()
    records = train(Trainee(model), data, changed(FULL, **settings), observer=watch)
    return watch.weight_T, records


def own_nll(model, data: TrainingData) -> np.ndarray:
    """Return what the model says of every token out of training mode, with all its logits."""
    nll_T = np.full(len(data.input_ids_T), np.nan)
    with torch.no_grad():
        for sample, span in enumerate(data.slices()):
            nll_T[span.start + 1 : span.stop] = nll_by_full_logits(model.eval(), data, sample)
    return nll_T


def highest(score_T: np.ndarray, share: float, rounded=math.floor) -> np.ndarray:
    """Return weight_T: 1 for the share of highest numbers, NaN where there is none."""
    weight_T = np.where(np.isnan(score_T), np.nan, 0.0)
    order = sorted(np.flatnonzero(~np.isnan(score_T)), key=lambda token: -score_T[token])
    weight_T[order[: rounded(len(order) * share)]] = 1
    return weight_T


def nll_of(data: TrainingData, role: str) -> np.ndarray:
    return data.step_method.evidence.scores[role]["nll"].astype(np.float64)


@pytest.mark.parametrize("batch_tokens", [1, 16, 1000])
def test_rho_1_keeps_the_top_share_of_the_whole_step_however_it_is_cut(model, batch_tokens):
    data = chosen_data(RHO_1)
    excess_T = own_nll(model, data) - nll_of(data, "reference")
    expected = highest(excess_T, 0.6)
    by_sample = np.concatenate([highest(excess_T[span], 0.6) for span in data.slices()])

    weight_T, [record] = decided(model, data, batch_tokens=batch_tokens)

    np.testing.assert_array_equal(weight_T, expected)
    assert not np.array_equal(expected, by_sample, equal_nan=True)
    assert record.kept_tokens == 9  # of 16: 7 + 2 + 4 + 3, the fourth sample has no reference
    assert np.isnan(weight_T[data.offsets_N1[3] : data.offsets_N1[4]]).all()


def test_every_step_has_its_own_share(model):
    data = chosen_data(RHO_1)
    excess_T = own_nll(model, data) - nll_of(data, "reference")

    weight_T, records = decided(model, data, step_samples=1, **STANDING)

    expected = [highest(excess_T[span], 0.6) for span in data.slices()]
    np.testing.assert_array_equal(weight_T, np.concatenate(expected))
    assert sorted(record.kept_tokens for record in records) == [1, 1, 2, 4]  # of 2, 3, 4, 7


def test_ties_go_to_the_earlier_token_of_the_corpus_whatever_the_order_of_the_step(model):
    alike = Method("alike", "", "", lambda evidence: np.ones(36), {CURRENT: ("nll",)}, "high")
    data = chosen_data(SelectionSettings(method="profit"))
    chosen = StepMethod(alike, SelectionSettings(), data.step_method.evidence)

    for seed in range(3):
        weight_T, _ = decided(model, replace(data, step_method=chosen), seed=seed)

        kept = np.flatnonzero(data.weight_T)[:15]  # of 26
        assert np.flatnonzero(np.nan_to_num(weight_T)).tolist() == kept.tolist()


def two_turns() -> Shard:
    """Return `tiny_shard` with a question in the middle of the first sample's answer."""
    shard = tiny_shard()
    response_T, turn_T = shard.response_T.copy(), shard.turn_T.copy()
    response_T[4:6] = False
    turn_T[4:9] = 1
    return replace(shard, response_T=response_T, turn_T=turn_T)


def to_prompt(model, data: TrainingData, shard: Shard, layer: int = -1) -> np.ndarray:
    """Return the attention that each token pays to its prompt in a layer, by eager code."""
    eager = LlamaForCausalLM.from_pretrained(model.name_or_path, attn_implementation="eager")
    attention_T = np.full(len(data.input_ids_T), np.nan)
    for span in data.slices():
        ids = torch.from_numpy(data.input_ids_T[span]).long()[None]
        with torch.no_grad():
            heads_HQK = eager.eval()(ids, output_attentions=True).attentions[layer][0]
        prompt_K = torch.from_numpy(~shard.response_T[span])
        attention_T[span] = heads_HQK.mean(0)[:, prompt_K].sum(-1)
    return attention_T


def test_sstoken_keeps_the_top_share_of_each_sample_by_gain_and_attention(model):
    shard = two_turns()
    data = chosen_data(SSTOKEN, shard)
    gain_T = nll_of(data, "base") - own_nll(model, data)
    attention_T = to_prompt(model, data, shard)
    expected = []
    for span in data.slices():
        low, high = np.nanmin([*gain_T[span], 99]), np.nanmax([*gain_T[span], -99])
        normalised = (gain_T[span] - low) / (high - low + 1e-8)
        score = 0.5 * normalised + 0.5 * attention_T[span]
        expected.append(highest(score, 0.6, math.ceil))

    weight_T, [record] = decided(model, data, batch_tokens=16)

    np.testing.assert_array_equal(weight_T, np.concatenate(expected))
    assert record.kept_tokens == 3 + 2 + 3 + 2  # of 5, 2, 4, 3


def test_profit_leaves_out_exactly_what_is_less_probable_than_tau(model):
    data = chosen_data(PROFIT)
    p_T = np.exp(-own_nll(model, data))
    p_T[~tiny_shard().scorable_T] = np.nan

    weight_T, [record] = decided(model, data)

    expected = np.where(np.isnan(p_T), np.nan, p_T >= 0.001)
    np.testing.assert_array_equal(weight_T, expected)
    assert 0 < record.kept_tokens == np.nansum(expected) < 26


def plain_step(model, data: TrainingData, weigh) -> tuple[float, float]:
    """Return the loss, mean of weight x nll over all responses, and the norm of its gradient."""
    losses = []
    for sample, span in enumerate(data.slices()):
        ids = torch.from_numpy(data.input_ids_T[span]).long()
        logits = model(ids[None]).logits[0, :-1]
        scorable = torch.from_numpy(data.weight_T[span] > 0)[1:]
        losses.append((weigh(logits, ids[1:]) * nll_by_full_logits(model, data, sample))[scorable])
    loss = torch.cat(losses).mean()
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    model.zero_grad()
    return loss.item(), norm


def probability(logits, ids):
    return logits.detach().softmax(-1).gather(1, ids[:, None])[:, 0]


def uncertainty(logits, ids):
    p = logits.detach().topk(20).values.softmax(-1)
    return -(p * p.log()).sum(-1) / math.log(20)


@pytest.mark.parametrize(("name", "weigh"), [("dft", probability), ("eaft", uncertainty)])
def test_soft_weights_give_the_mean_of_weight_times_loss_and_no_gradient_of_the_weight(
    model, name, weigh
):
    data = chosen_data(SelectionSettings(method=name))
    loss, norm = plain_step(model, data, weigh)

    weight_T, [record] = decided(model, data, batch_tokens=16)

    assert record.loss == pytest.approx(loss, rel=1e-4)
    assert record.gradient_norm == pytest.approx(norm, rel=1e-3)
    assert record.kept_tokens == 26
    assert ((weight_T[~np.isnan(weight_T)] > 0) & (weight_T[~np.isnan(weight_T)] < 1)).all()


@pytest.mark.parametrize("batch_tokens", [16, 1000])
def test_forgetting_takes_off_more_and_more_of_the_mean_loss_of_what_is_not_kept(
    model, batch_tokens
):
    data = chosen_data(SelectionSettings(method="forgetting"))
    nll_T = own_nll(model, data)
    assert (np.sum(data.weight_T > 0), np.sum(data.weight_T < 0)) == (11, 4)  # of 16: .7 and .3

    watch = Decided()
    settings = changed(FULL, epochs=4, batch_tokens=batch_tokens, warmup=0, **STANDING)
    records = train(Trainee(model), data, settings, observer=watch)

    kept, unlearned = nll_T[data.weight_T > 0].mean(), nll_T[data.weight_T < 0].mean()
    strengths = [(0.25 - 1e-5) * done for done in (0, 0.25, 0.5, 0.75)]
    expected = [kept - strength * unlearned for strength in strengths]
    assert [record.loss for record in records] == pytest.approx(expected, rel=1e-5)
    assert [record.kept_tokens for record in records] == [11] * 4
    assert [record.scored_tokens for record in records] == [0] * 4
    assert watch.weight_T is None
    assert watch.states[-1].tensors.keys() == {
        f"{kind}/{name}"
        for kind in ("weight", "first", "second")
        for name, _ in model.named_parameters()
        if name in Trainee(model).trained
    }


def test_tokens_are_chosen_without_dropout_and_trained_on_with_it(path):
    config = LlamaConfig.from_pretrained(path)
    config.attention_dropout = 0.5
    model = LlamaForCausalLM.from_pretrained(path, config=config)
    data = chosen_data(RHO_1)
    expected = highest(own_nll(model, data) - nll_of(data, "reference"), 0.6)
    modes = []
    model.lm_head.register_forward_pre_hook(lambda *_: modes.append(model.training))
    model.train()

    weight_T, [record] = decided(model, data, batch_tokens=1000)

    np.testing.assert_array_equal(weight_T, expected)
    assert modes == [False, True]
    assert model.training
    no_dropout = LlamaForCausalLM.from_pretrained(path)
    [without] = decided(no_dropout, data, batch_tokens=1000)[1]
    assert abs(record.loss - without.loss) > 0.01


TAU = changed(PROFIT, parameters={"tau": 0.002})
"""Of the tiny model two samples keep nothing; the others 2 tokens each, the last at 7, 3 and 11."""


def test_a_sample_that_keeps_nothing_is_not_read_again_nor_what_follows_the_last_kept_token(model):
    read = []
    model.model.embed_tokens.register_forward_pre_hook(
        lambda _, args: read.append(tuple(args[0].shape)) if model.training else None
    )

    weight_T, [record] = decided(model, chosen_data(TAU), batch_tokens=1)

    assert np.flatnonzero(np.nan_to_num(weight_T)).tolist() == [2, 7, 9 + 2, 9 + 3, 19 + 3, 19 + 11]
    assert read == [(1, 11), (1, 7), (1, 3)]
    assert (record.kept_tokens, record.tokens) == (6, 11 + 7 + 3)
    assert record.scored_tokens == 8 + 3 + 5 + 11 + 4


def test_a_step_that_keeps_nothing_is_skipped_and_counted_and_nothing_becomes_nan(model):
    _, records = decided(model, chosen_data(TAU), step_samples=1, **STANDING)

    skipped = [record for record in records if record.loss is None]
    assert (len(records), len(skipped)) == (5, 2)
    assert {(each.kept_tokens, each.tokens, each.gradient_norm) for each in skipped} == {
        (0, 0, None)
    }
    assert sorted(each.scored_tokens for each in skipped) == [4, 5]
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_training_that_never_keeps_anything_leaves_the_model_as_it_was(model):
    before = model.lm_head.weight.clone()

    weight_T, records = decided(
        model, chosen_data(changed(PROFIT, parameters={"tau": 1})), epochs=2
    )

    assert [record.loss for record in records] == [None, None]
    assert np.nansum(weight_T) == 0
    assert np.count_nonzero(~np.isnan(weight_T)) == 26
    assert torch.equal(model.lm_head.weight, before)


def test_samples_without_a_candidate_are_not_scored_and_have_a_place_only_if_they_are_kept(model):
    records = decided(model, chosen_data(RHO_1), step_samples=1)[1]
    kept = decided(model, chosen_data(RHO_1, keep_empty=True), step_samples=1)[1]

    assert len(records) == 4
    assert sorted(each.scored_tokens for each in kept) == [0, 3, 4, 5, 8]


def test_scores_that_are_not_finite_end_the_training_before_anything_is_chosen(model):
    with torch.no_grad():
        model.model.embed_tokens.weight[int(tiny_shard().input_ids_T[3])] = torch.nan

    with pytest.raises(TokensieveError, match=r"scores of 7 tokens are not finite.* 's0'\."):
        decided(model, chosen_data(RHO_1))
    assert model.training is False


@pytest.mark.parametrize("name", [name for name, each in METHODS.items() if each.each_step])
@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
def test_every_method_of_this_kind_trains(path, name, settings):
    selection = PROFIT if name == "profit" else SelectionSettings(method=name)
    data, watch = chosen_data(selection), Decided()
    trainee = load_trainee(str(path), settings, 0)

    records = train(trainee, data, changed(settings, epochs=2, step_samples=3), observer=watch)

    assert all(np.isfinite(record.loss) for record in records if record.loss is not None)
    candidate_T = ~np.isnan(watch.weight_T)
    np.testing.assert_array_equal(candidate_T, data.weight_T > 0)
    half = len(records) // 2
    kept = sum(record.kept_tokens for record in records[half:])
    assert 0 < kept == np.count_nonzero(np.nan_to_num(watch.weight_T) > 0)


def test_methods_that_choose_at_each_step_can_be_combined_with_stored_ones(model):
    together = {"methods": ("rho-1", "random"), "how": "intersection", "keep": 0.5}
    data = chosen_data(SelectionSettings(method="combine", parameters=together, seed=3))
    excess_T = own_nll(model, data) - nll_of(data, "reference")

    weight_T, [record] = decided(model, data)

    assert 0 < record.kept_tokens < 8
    assert (np.nan_to_num(weight_T) <= np.nan_to_num(highest(excess_T, 0.5))).all()


def test_cutting_a_step_into_passes_changes_neither_the_choice_nor_the_weights(path):
    results = []
    for batch_tokens in (1, 16, 1000):
        trainee, watch = load_trainee(str(path), FULL, 0), Decided()
        settings = changed(FULL, epochs=2, step_samples=3, batch_tokens=batch_tokens)
        train(trainee, chosen_data(RHO_1), settings, observer=watch)
        results.append((trainee.trained, watch.weight_T))
    for trained, weight_T in results[1:]:
        np.testing.assert_array_equal(weight_T, results[0][1])
        for name in trained:
            torch.testing.assert_close(trained[name], results[0][0][name], rtol=0, atol=2e-5)


LONGER = [45, 60, 21, 33, 52, 28] * 8


def of_the_model_itself(model, selection: SelectionSettings) -> TrainingData:
    """Return samples whose stored scores are what the model in training says of them at first."""
    shard = tiny_shard(LONGER)
    scores, _ = score_shard(model.eval(), shard, ScoringSettings(), ("nll",), lambda _: None)
    data = chosen_data(selection, shard)
    roles = data.step_method.method.roles
    stored = replace(data.step_method.evidence, scores=dict.fromkeys(roles, scores))
    weight_T = shard.scorable_T.astype(np.float32)  # what is random has no score in `chosen_data`
    chosen = replace(data.step_method, evidence=stored)
    return TrainingData.joined([(shard, weight_T)], step_method=chosen)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_before_the_model_has_learned_anything_rounding_puts_no_token_before_another(model, gamma):
    cuts = {}
    for name, parameters in (("rho-1", {}), ("sstoken-online", {"gamma": gamma})):
        selection = SelectionSettings(method=name, parameters=parameters)
        data = of_the_model_itself(model, selection)
        cuts[name] = [
            decided(model, data, batch_tokens=budget, step_samples=48, **STANDING)[0]
            for budget in (100, 300, 3000)
        ]
        for weight_T in cuts[name][1:]:
            np.testing.assert_array_equal(weight_T, cuts[name][0])
    candidates = np.flatnonzero(data.weight_T)
    first = candidates[: int(0.6 * len(candidates))]
    assert np.flatnonzero(np.nan_to_num(cuts["rho-1"][0])).tolist() == first.tolist()


@pytest.mark.parametrize("layer", [0, -1])
def test_attention_is_that_of_the_layer_that_the_selection_names(model, layer):
    alone = changed(SSTOKEN, parameters={"gamma": 0.0})
    data = chosen_data(alone, two_turns())
    data = replace(data, step_method=replace(data.step_method, attention_layer=layer))
    attention_T = to_prompt(model, data, two_turns(), layer)
    attention_T[np.isnan(nll_of(data, "base"))] = np.nan
    expected = [highest(attention_T[span], 0.6, math.ceil) for span in data.slices()]

    weight_T, _ = decided(model, data)

    np.testing.assert_array_equal(weight_T, np.concatenate(expected))


@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("selection", [RHO_1, SSTOKEN, PROFIT], ids=lambda each: each.method)
def test_training_taken_up_after_any_step_ends_with_the_same_bits(
    path, settings, selection, tmp_path
):
    settings = changed(settings, epochs=2, step_samples=2, batch_tokens=16)
    data = chosen_data(selection)
    whole, watch = load_trainee(str(path), settings, 0), Decided()
    records = train(whole, data, settings, observer=watch)
    assert len(records) == len(watch.records) > 2
    for number, state in enumerate(watch.states):
        state.write(tmp_path / f"{number}", "this training")
        read = TrainingState.read(tmp_path / f"{number}", "this training")
        before = state.tensors["decided"].clone()
        again, other = load_trainee(str(path), settings, 0), Decided()
        assert train(again, data, settings, state=state, observer=other) == records
        np.testing.assert_array_equal(other.weight_T, watch.weight_T)
        assert all(torch.equal(again.trained[n], whole.trained[n]) for n in whole.trained)
        assert torch.equal(state.tensors["decided"].nan_to_num(9), before.nan_to_num(9))
        assert torch.equal(read.tensors["decided"].nan_to_num(9), before.nan_to_num(9))


def test_what_is_held_for_a_method_is_3_bytes_a_token_and_4_for_each_stored_score():
    stored = chosen_data(SSTOKEN).step_method.evidence
    arrays = [stored.response_T, stored.turn_T, stored.scores["base"]["nll"]]
    assert [array.nbytes for array in arrays] == [36, 2 * 36, 4 * 36]
    assert chosen_data(SelectionSettings(method="forgetting")).step_method.evidence is None


def test_evidence_of_several_shards_is_that_of_one():
    data = chosen_data(RHO_1)
    stored = data.step_method.evidence
    halves = [stored.of(data, np.array(part), seed=0) for part in ([0, 1], [2, 3, 4])]
    joined = type(stored).joined(halves)
    assert joined.sources == stored.sources
    np.testing.assert_array_equal(joined.response_T, stored.response_T)
    np.testing.assert_array_equal(joined.turn_T, stored.turn_T)
    np.testing.assert_array_equal(
        joined.scores["reference"]["nll"], stored.scores["reference"]["nll"]
    )
    assert halves[1].shard.sample_ids == ["s2", "s3", "s4"]
    assert halves[1].shard.offsets_N1.tolist() == [0, 6, 18, 23]
    assert halves[1].shard.input_ids_T.tolist() == data.input_ids_T[13:].tolist()
