"""The methods' published examples, token for token, and bugs of released code that are not here."""

import math

import numpy as np
import pytest

from tests.judging import NAN, X, decided, kept, reasons, scores_of, selector_of, shard_of
from tokensieve.artifact import Artifact
from tokensieve.methods import METHODS, Evidence, find_method
from tokensieve.planning.steps import selection_step
from tokensieve.selection import selection_tables
from tokensieve.settings import SelectionSettings
from tokensieve.storage import LocalStorage

LABELS = [[X, X, 11, 12, 13, 14, 15], [X, 21, 22, 23], [X, X, X, 31, 32, 33, 34, 35]]
BASE = [[0, 0, 2.0, 1.0, 0.5, 3.0, 0.25], [0, 4.0, 1.0, 1.0], [0, 0, 0, 0.5, 0.5, 2.0, 6.0, 1.0]]
REFERENCE = [
    [0, 0, 1.0, 1.0, 0.25, 1.0, 0.5],
    [0, 1.0, 0.5, 1.0],
    [0, 0, 0, 0.25, 1.0, 2.0, 7.0, 0.5],
]
PLACES = [(n, j) for n, row in enumerate(LABELS) for j in range(len(row))]

HISTORY = [1.6, 1.0, 0.3, 2.0, 0.5]
CURRENT = [1.386294, 0.743668, 0.340753, 2.214283, 0.139206]
ATTENTION = [0.9, 0.7, 0.4, 0.9, 0.4]


def influence_evidence(base=BASE, reference=REFERENCE, labels=LABELS) -> Evidence:
    scores = scores_of(base={"nll": base}, reference={"nll": reference})
    return Evidence(shard_of(labels), scores, seed=0)


def kept_places(decision) -> list[tuple[int, int]]:
    return [PLACES[token] for token in kept(decision)]


# Token Cleaning (arXiv 2502.01968)


def test_token_cleaning_over_the_dataset():
    decision = decided("fixed-model", influence_evidence(), keep=0.6)
    assert kept_places(decision) == [(0, 2), (0, 4), (0, 5), (1, 1), (1, 2), (2, 3), (2, 7)]
    assert decision.score_T[2:7].tolist() == [1, 0, 0.25, 2, -0.25]


def test_rho_ranks_within_samples_so_it_is_not_fixed_model():
    decision = decided("rho", influence_evidence(), keep=0.6)
    assert kept_places(decision) == [(0, 2), (0, 4), (0, 5), (1, 1), (2, 3), (2, 5), (2, 7)]


def test_a_sample_is_chosen_from_alike_whatever_samples_are_beside_it():
    together = decided("rho", influence_evidence(), keep=0.6)
    for n, span in enumerate((slice(0, 7), slice(7, 11), slice(11, 19))):
        alone = influence_evidence([BASE[n]], [REFERENCE[n]], [LABELS[n]])
        assert decided("rho", alone, keep=0.6).weight_T.tolist() == together.weight_T[span].tolist()


def test_random_keeps_as_many_and_other_seeds_keep_others():
    drawn = [
        kept(decided("random", Evidence(shard_of(LABELS), {}, seed), keep=0.6, seed=seed))
        for seed in range(4)
    ]
    assert [len(each) for each in drawn] == [7, 7, 7, 7]
    assert len({tuple(each) for each in drawn}) == 4


def test_nothing_kept_and_nothing_to_keep_are_counted_and_are_no_nan():
    labels = [[X, 5], [X, X, X], []]
    zeros = [[0.0, 1.0], [0.0, 0.0, 0.0], []]
    evidence = influence_evidence(zeros, zeros, labels)
    decision = decided("rho", evidence, keep=0.6)
    assert decision.weight_T.tolist() == [0, 0, 0, 0, 0]
    tables, counts = selection_tables(evidence.shard, decision, keep_empty=False)
    assert (counts["empty_samples"], counts["train_samples"]) == (3, 0)
    assert tables["train"].num_rows == 0


def test_selections_of_other_shares_or_parameters_have_other_names(tmp_path):
    corpus = Artifact(LocalStorage(str(tmp_path)), "corpora", {"num_shards": 1})
    scores = {
        role: Artifact(corpus.storage, "scores", {"of": role}) for role in ("base", "reference")
    }
    chosen = [
        {"method": "rho", "keep": 0.6},
        {"method": "rho", "keep": 0.5},
        {"method": "fixed-model", "keep": 0.6},
        {"method": "sstoken", "keep": 0.6},
        {"method": "sstoken", "keep": 0.6, "parameters": {"gamma": 0.25}},
    ]
    steps = [selection_step(corpus, scores, SelectionSettings(**each)) for each in chosen]
    assert len({step.artifact.id for step in steps}) == 5


def test_a_reference_equal_to_the_base_leaves_only_ties_which_go_to_the_first():
    evidence = influence_evidence(BASE, BASE)
    assert kept_places(decided("fixed-model", evidence, keep=0.3)) == [(0, 2), (0, 3), (0, 4)]
    assert kept_places(decided("rho", evidence, keep=0.4)) == [
        (0, 2), (0, 3), (1, 1), (2, 3), (2, 4),
    ]  # fmt: skip


# ssToken (arXiv 2510.18250)


def sstoken_evidence(history=HISTORY, current=CURRENT, role="reference", **columns) -> Evidence:
    attention = columns.get("attention", ATTENTION)
    without_first = columns.get("without_first", [a / 2 for a in attention])
    prompt = [NAN, NAN, NAN]
    scores = scores_of(
        base={"nll": [prompt + history]},
        **{
            role: {
                "nll": [prompt + current],
                "prompt_attention": [prompt + attention],
                "prompt_attention_but_first": [prompt + without_first],
            }
        },
    )
    return Evidence(shard_of([[X, X, X, 1, 2, 3, 0, 1]]), scores, seed=0)


@pytest.mark.parametrize(
    ("gamma", "score", "places"),
    [
        (0.0, [0.9, 0.7, 0.4, 0.9, 0.4], [3, 4, 6]),
        (0.5, [0.822115, 0.759176, 0.350875, 0.45, 0.7], [3, 4, 7]),
        (1.0, [0.744229, 0.818351, 0.301751, 0.0, 1.0], [3, 4, 7]),
    ],
)
@pytest.mark.parametrize(
    ("name", "role"), [("sstoken", "reference"), ("sstoken-online", "current")]
)
def test_sstoken(name, role, gamma, score, places):
    decision = decided(name, sstoken_evidence(role=role), {"gamma": gamma}, keep=0.6)
    np.testing.assert_allclose(decision.score_T[3:], score, atol=2e-6)
    assert kept(decision) == places  # 3 is 5 x 0.6 rounded up


def test_sstoken_rounds_up():
    assert len(kept(decided("sstoken", sstoken_evidence(), keep=0.61))) == 4


def test_sstoken_can_do_without_the_attention_to_the_first_position():
    evidence = sstoken_evidence(without_first=[0.1, 0.1, 0.4, 0.3, 0.4])
    parameters = {"gamma": 0.0, "first_position": False}
    assert kept(decided("sstoken", evidence, parameters, keep=0.6)) == [5, 6, 7]


def test_sstoken_chooses_from_every_turn_and_from_no_token_of_a_user():
    labels, turns = [[X, X, 1, 2, X, X, 3, 0]], [[0, 0, 0, 0, 1, 1, 1, 1]]
    high = 9.0  # of the user's second message, were it asked for
    attention = [[NAN, NAN, 0.1, 0.9, high, high, 0.2, 0.8]]
    nll = [[NAN, NAN, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    scores = scores_of(base={"nll": nll}, reference={"nll": nll, "prompt_attention": attention})
    decision = decided("sstoken", Evidence(shard_of(labels, turns), scores, 0), keep=0.5)
    assert kept(decision) == [3, 7]


def test_sstoken_of_a_sample_with_one_candidate_or_equal_gains_is_a_number():
    labels = [[X, 5], [X, 6, 8]]
    ones = [[NAN, 1.0], [NAN, 1.0, 1.0]]
    scores = scores_of(
        base={"nll": ones},
        reference={"nll": ones, "prompt_attention": [[NAN, 0.5], [NAN, 0.25, 0.75]]},
    )
    decision = decided("sstoken", Evidence(shard_of(labels), scores, 0), keep=0.5)
    assert decision.score_T[[1, 3, 4]].tolist() == [0.25, 0.125, 0.375]
    assert kept(decision) == [1, 4]


@pytest.mark.parametrize(("spread", "first"), [(1e-7, 0.0), (0.2, 0.0), (0.3, 1.0)])
def test_sstoken_goes_by_attention_alone_where_gains_differ_by_no_more_than_rounding(spread, first):
    current = [1 - spread, 1, 1, 1, 1 - spread / 2]
    evidence = sstoken_evidence([1.0] * 5, current, role="current")
    decision = decided("sstoken-online", evidence, {"gamma": 0.5}, keep=0.4)
    gain = np.array([first, 0, 0, 0, first / 2])
    np.testing.assert_allclose(decision.score_T[3:], (gain + ATTENTION) / 2, atol=1e-6)
    assert kept(decision) == [3, 6]


def test_sstoken_leaves_tokens_without_a_score_out_of_the_samples_range():
    attention = [0.5, 0.5, NAN, 0.5, 0.5]
    evidence = sstoken_evidence([1.0, 2.0, 900.0, 3.0, 5.0], [0.0] * 5, attention=attention)
    decision = decided("sstoken", evidence, {"gamma": 1.0}, keep=1.0)
    np.testing.assert_allclose(decision.score_T[[3, 4, 6, 7]], [0, 0.25, 0.5, 1], atol=1e-6)
    assert kept(decision) == [3, 4, 6, 7]


# Rho-1 (arXiv 2404.07965)


def test_rho_1_keeps_what_the_current_model_knows_least_beside_the_reference():
    scores = scores_of(current={"nll": BASE}, reference={"nll": REFERENCE})
    decision = decided("rho-1", Evidence(shard_of(LABELS), scores, 0), keep=0.2)
    assert kept_places(decision) == [(0, 5), (1, 1)]
    assert decision.score_T[5] == 2.0


def test_self_reference_keeps_the_low_end_of_loss_and_of_entropy():
    entropy = [[5.0 - value for value in row] for row in REFERENCE]
    scores = scores_of(reference={"nll": REFERENCE, "entropy": entropy})
    evidence = Evidence(shard_of(LABELS), scores, 0)
    assert len(kept(decided("reference-loss", evidence))) == 9  # int(13 x 0.7)
    assert kept_places(decided("reference-loss", evidence, keep=0.2)) == [(0, 4), (2, 3)]
    assert kept_places(decided("reference-entropy", evidence, keep=0.2)) == [(2, 5), (2, 6)]


# Forgetting (arXiv 2508.04329)


def test_forgetting_unlearns_the_next_ones_and_leaves_the_rest():
    decision = decided("forgetting", influence_evidence())
    weights = [decision.weight_T[PLACES.index(place)] for place in PLACES]
    order = sorted(
        (token for token, place in enumerate(PLACES) if LABELS[place[0]][place[1]] != X),
        key=lambda token: -decision.score_T[token],
    )
    assert [weights[token] for token in order] == [1] * 9 + [-1] * 3 + [0]  # int(13 x .7, x .3)


def test_forgetting_weighs_the_last_token_of_the_longest_sample():
    nll = [[NAN, 1.0, 1.0, 3.0], [NAN, 1.0, 1.0]]
    reference = [[NAN, 2.0, 2.0, 1.0], [NAN, 2.0, 2.0]]
    evidence = influence_evidence(nll, reference, [[X, 1, 2, 3], [X, 4, 5]])
    assert decided("forgetting", evidence, keep=0.5).weight_T[3] == 1
    evidence = influence_evidence(reference, nll, [[X, 1, 2, 3], [X, 4, 5]])
    assert decided("forgetting", evidence, keep=0.8).weight_T.tolist() == [0, 1, 1, 0, 0, 1, 1]
    assert decided("forgetting", evidence, keep=0.5).weight_T.tolist() == [0, 1, 1, 0, 0, -1, -1]


def forgetting_loss(weight: list[float], nll: list[float], progress: float) -> float:
    reweigh = METHODS["forgetting"].reweigh
    assert reweigh is not None
    weight_T = reweigh(np.array(weight, dtype=np.float32), progress)
    return float((weight_T * np.array(nll)).sum() / np.count_nonzero(weight_T > 0))


def test_forgettings_loss_is_the_published_one():
    weight, nll = [1, 1, -1, -1, -1, 0], [1.0, 1.4, 0.3, 0.4, 0.5, 9.0]
    assert forgetting_loss(weight, nll, 300 / 1000) == pytest.approx(1.170001, abs=2e-7)
    assert forgetting_loss(weight, nll, 0.0) == pytest.approx(1.2)


def test_forgetting_without_positives_or_negatives_divides_by_nothing():
    reweigh = METHODS["forgetting"].reweigh
    assert reweigh is not None
    for weight in ([-1, -1, 0], [0, 0, 0]):
        assert not reweigh(np.array(weight, dtype=np.float32), 0.5).any()
    assert reweigh(np.ones(3, dtype=np.float32), 0.5).tolist() == [1, 1, 1]


# TOSS (arXiv 2603.01185), T3S (arXiv 2601.10348)


@pytest.mark.parametrize("num_tokens", [1, 2, 9, 10, 11, 19, 30, 99, 100, 101, 1000, 1230])
def test_toss_drops_the_tenth_that_the_harmful_model_expects_most(num_tokens):
    labels = [[X, *[5] * num_tokens]]
    reference = [[NAN, *range(num_tokens)]]
    scores = scores_of(reference={"nll": reference}, harmful={"nll": [[NAN, *[1.0] * num_tokens]]})
    decision = decided("toss", Evidence(shard_of(labels), scores, 0))
    num_dropped = int(num_tokens * 0.1)
    assert kept(decision) == list(range(1, 1 + num_tokens - num_dropped))


def test_toss_drops_the_same_count_as_published_for_every_count_of_tokens():
    rule = METHODS["toss"].rule(SelectionSettings())
    count = np.arange(300_000)
    assert (count - rule.num_kept(count)).tolist() == [int(n * 0.1) for n in count.tolist()]


def test_t3s_masks_what_the_bottleneck_had_learned():
    nll = {"base": [[NAN, 2.0, 2.0, 2.0]], "bottleneck": [[NAN, 1.0, 2.0, 3.0]]}
    scores = scores_of(**{role: {"nll": rows} for role, rows in nll.items()})
    decision = decided("t3s", Evidence(shard_of([[X, 1, 2, 3]]), scores, 0))
    assert kept(decision) == [2, 3]
    assert decision.attributes["gain"][1:].tolist() == [1, 0, -1]
    assert (decision.score_T[1:] > 0).tolist() == [False, True, True]


# the methods that look at the model in training


def current_evidence(**columns: list[float]) -> Evidence:
    rows = {name: [[NAN, *values]] for name, values in columns.items()}
    num_tokens = len(next(iter(columns.values())))
    return Evidence(shard_of([[X, *[5] * num_tokens]]), scores_of(current=rows), 0)


# Q-Tuning (arXiv 2509.23873)


def test_q_tuning_smooths_as_its_page_says():
    nll = [[NAN, 0.1, 2, 0.2, 0.3, 1.5, 1.4]]
    scores = scores_of(current={"nll": nll, "entropy": [[NAN, *[1.0] * 6]]})
    decision = decided("q-tuning", Evidence(shard_of([[X, *[5] * 6]]), scores, 0))
    smoothed = decision.attributes["smoothed_perplexity"][1:]
    np.testing.assert_allclose(
        smoothed, [4.7997, 4.8578, 4.9802, 3.5265, 4.9434, 6.2960], atol=6e-5
    )
    assert kept(decision) == [1, 2, 3, 4, 5]  # of the only sample all but the highest: 6 x 0.7 up
    assert reasons(decision)[6] == "token"


def test_q_tunings_smoothing_crosses_no_turn_no_gap_and_no_sample():
    labels, turns = [[X, 1, 2, X, 3, 4], [X, 5, 6]], [[0, 0, 0, 1, 1, 1], [0, 0, 0]]
    nll = [[NAN, 0.0, 1.0, 0.0, 2.0, NAN], [NAN, 0.0, 3.0]]
    scores = scores_of(current={"nll": nll, "entropy": nll})
    decision = decided("q-tuning", Evidence(shard_of(labels, turns), scores, 0))
    smoothed = decision.attributes["smoothed_perplexity"]
    one, e1, e2, e3 = 1.0, math.e, math.e**2, math.e**3
    expected = {
        1: one / 2 + (one + e1) / 2,
        2: e1 / 2 + (one + e1) / 2,
        4: e2 / 2 + (e2 + e2) / 2,
        7: one / 2 + (one + e3) / 2,
        8: e3 / 2 + (one + e3) / 2,
    }
    np.testing.assert_allclose(smoothed[list(expected)], list(expected.values()), rtol=1e-6)


def test_q_tunings_smoothing_ends_where_a_turn_follows_at_once():
    scores = scores_of(current={"nll": [[NAN, 0.0, 0.0, 2.0]], "entropy": [[NAN, 1.0, 1.0, 1.0]]})
    evidence = Evidence(shard_of([[X, 1, 2, 3]], [[0, 0, 0, 1]]), scores, 0)
    smoothed = decided("q-tuning", evidence).attributes["smoothed_perplexity"][1:]
    np.testing.assert_allclose(smoothed, [1.5, 1.5, 1.5 * math.e**2], rtol=1e-6)


def test_q_tuning_bears_a_perplexity_beyond_all_numbers():
    decision = decided("q-tuning", current_evidence(nll=[800.0, 800.0], entropy=[1.0, 1.0]))
    assert np.isfinite(decision.attributes["smoothed_perplexity"][1:]).all()
    assert kept(decision) == [1, 2]


def quadrant_evidence(samples: list[tuple[float, float]]) -> Evidence:
    nll = [[NAN, *[nll + step for step in (-0.2, 0.1, 0.1)]] for nll, _ in samples]
    entropy = [[NAN, *[entropy] * 3] for _, entropy in samples]
    scores = scores_of(current={"nll": nll, "entropy": entropy})
    return Evidence(shard_of([[X, 1, 2, 3]] * len(samples)), scores, 0)


def test_q_tuning_keeps_two_quadrants_and_says_what_speaks_against_the_others():
    corners = [(9, 9), (9, 1), (1, 1), (1, 9)]  # noise, misleading, redundant, unsure
    evidence = quadrant_evidence([*corners, *[(5, 5)] * 4])
    decision = decided("q-tuning", evidence)
    whole = {0: "noise", 2: "redundant", 4: "between", 7: "between"}
    assert {n: set(reasons(decision)[4 * n + 1 : 4 * n + 4]) for n in whole} == {
        n: {reason} for n, reason in whole.items()
    }
    assert kept(decision) == [5, 6, 7, 13, 14, 15]  # 3 x 0.7 rounded up is all of the second
    decision = decided("q-tuning", evidence, {"token_share": 0.5})
    assert kept(decision) == [5, 6, 13, 14, 15]
    decision = decided("q-tuning", evidence, {"token_share": 0.5, "token_direction": "high"})
    assert kept(decision) == [6, 7, 13, 14, 15]


@pytest.mark.parametrize("share", [0.125, 0.25, 0.4])
def test_q_tuning_takes_the_fewest_samples_that_make_the_share(share):
    samples = np.random.default_rng(0).uniform(1, 5, size=(48, 2))
    decision = decided("q-tuning", quadrant_evidence(samples.tolist()), {"sample_share": share})
    num_kept = int((decision.weight_T.reshape(48, 4).sum(axis=1) > 0).sum())

    perplexity, entropy = np.exp(samples[:, 0]), samples[:, 1]
    counts = set()
    for t in np.linspace(0, 0.5, 5001):
        easy, hard = np.quantile(perplexity, (t, 1 - t))
        sure, unsure = np.quantile(entropy, (t, 1 - t))
        misled = (perplexity >= hard) & (entropy <= sure)
        counts.add(int((misled | (perplexity <= easy) & (entropy >= unsure)).sum()))
    assert num_kept == min(count for count in counts if count >= 48 * share)


def test_q_tuning_keeps_less_where_perplexity_and_entropy_go_together():
    evidence = quadrant_evidence([(n, n) for n in range(1, 9)])
    assert kept(decided("q-tuning", evidence)) == []
    assert set(reasons(decided("q-tuning", evidence))) == {None, "noise", "redundant"}


# ProFit (arXiv 2601.09195), DFT (2508.05629), EAFT (2601.02151), ENT (2310.00840)


def test_profit_keeps_p_from_tau_on():
    exactly = float(np.float32(0.6931472))
    evidence = current_evidence(nll=[exactly, exactly + 1e-6, 0.1, 9.0])
    tau = math.exp(-exactly)
    assert kept(decided("profit", evidence, {"tau": tau})) == [1, 3]
    assert kept(decided("profit", evidence)) == [1, 2, 3]


def test_dft_weighs_by_probability():
    decision = decided("dft", current_evidence(nll=[0.0, math.log(2), math.log(4)]), keep=0.1)
    np.testing.assert_allclose(decision.weight_T, [0, 1, 0.5, 0.25], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "columns"), [("dft", {"nll": [900.0, 0.0]}), ("eaft", {"top_entropy": [0.0, 1.0]})]
)
def test_soft_weights_are_never_0_so_that_the_mean_is_over_all_candidates(name, columns):
    evidence = current_evidence(**columns)
    _, counts = selection_tables(evidence.shard, decided(name, evidence), keep_empty=False)
    assert (counts["kept_tokens"], counts["dropped_tokens"]) == (2, 0)


def test_eaft_weighs_by_the_entropy_of_the_twenty_likeliest():
    decision = decided("eaft", current_evidence(top_entropy=[0.0, math.log(20), math.log(20) / 2]))
    np.testing.assert_allclose(decision.weight_T, [0, 0, 1, 0.5], rtol=1e-6, atol=1e-30)
    beyond = decided("eaft", current_evidence(top_entropy=[-1e-7, math.log(20) + 1e-5]))
    np.testing.assert_allclose(beyond.weight_T, [0, 0, 1], rtol=0, atol=1e-30)


def test_ent_is_the_length_of_p_less_one_hot():
    p_KV = np.array([[0.7, 0.2, 0.1], [0.1, 0.9, 0.0], [0.1, 0.5, 0.4], [1.0, 0.0, 0.0]])
    nll, sum_p2 = -np.log(p_KV[:, 0]), (p_KV**2).sum(axis=1)
    decision = decided("ent", current_evidence(nll=nll.tolist(), sum_p2=sum_p2.tolist()), keep=0.75)
    length = np.linalg.norm(p_KV - np.eye(3)[0], axis=1)
    np.testing.assert_allclose(decision.score_T[1:], length, atol=1e-6)
    assert kept(decision) == [1, 3, 4]  # of equal p the surer error goes


def test_ents_rounding_below_zero_is_zero():
    decision = decided("ent", current_evidence(nll=[0.0], sum_p2=[0.9999999]), keep=1.0)
    assert decision.score_T[1] == 0


# numbers that were made elsewhere


def test_external_numbers_are_kept_from_the_highest_and_none_is_no_candidate():
    scores = scores_of(external={"value": [[NAN, 3.0, NAN, 1.0, 2.0]]})
    decision = decided("external", Evidence(shard_of([[X, 1, 2, 3, 4]]), scores, 0), keep=0.7)
    assert kept(decision) == [1, 4]
    assert np.isnan(decision.score_T).tolist() == [True, False, True, False, False]


def test_external_numbers_above_zero_are_kept_where_that_is_the_rule():
    scores = scores_of(external={"value": [[NAN, 3.0, 0.0, -1.0, 0.5, NAN]]})
    evidence = Evidence(shard_of([[X, 1, 2, 3, 4, 5]]), scores, 0)
    assert kept(decided("external", evidence, {"rule": "positive"}, keep=0.1)) == [1, 4]


# what every method has in common


@pytest.mark.parametrize("name", ["rho", "sstoken", "xtf", "fixed-model"])
def test_an_order_of_shards_changes_nothing(name):
    method = find_method(name)
    rng = np.random.default_rng(1)
    evidence = []
    for number in range(3):
        shard = shard_of([[X, *[5] * 6], [X, 5, 5]], first=2 * number)
        scores = {
            role: {each: rng.random(10).astype(np.float32) for each in names}
            for role, names in method.columns.items()
        }
        evidence.append(Evidence(shard, scores, 0, number))
    selector = selector_of(method, evidence, np.eye(8, 3, dtype=np.float32) + 0.1, keep=0.5)
    forwards = [selector.decide(each).weight_T.tolist() for each in evidence]
    backwards = [selector.decide(each).weight_T.tolist() for each in reversed(evidence)]
    assert forwards == backwards[::-1]
    if name == "fixed-model":
        assert sum(map(sum, forwards)) == 12  # int(24 x 0.5)
