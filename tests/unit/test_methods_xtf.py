"""XTF: importance, novelty and relevance, as its paper says and as its released code does."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from tests.judging import NAN, X, decided, kept, reasons, scores_of, selector_of, shard_of
from tokensieve.methods import METHODS, Evidence, Selector, find_method
from tokensieve.methods.otsu import class_starts, multi_otsu
from tokensieve.methods.relevance import Relevance, relevance
from tokensieve.methods.within_samples import SampleOrder
from tokensieve.settings import SelectionSettings

P = [0.99, 0.2, 0.97, 0.5, 0.96, 0.1, 0.999, 0.8, 0.98, 0.3]
RELEVANCE = [0.5, 0.1, 0.6, 0.7, 0.05, 0.4, 0.3, 0.2, 0.8, 0.9]
RECEIVED = [0.02, 0.05, 0.06, 0.055, 0.07, 0.08, 0.065, 0.3, 0.001, 0.06]
NLL = [NAN, *(-np.log(P)).tolist()]
LABELS = [[X, *range(1, 11)]]
"""Of each token id 1 to 10 the relevance is that of the same place."""


def evidence_of(received: list[float], nll: list[float] = NLL) -> Evidence:
    columns = {"nll": [nll], "received_attention": [[NAN, *received]]}
    return Evidence(shard_of(LABELS), scores_of(base=columns), 0)


def decided_on(name: str, evidence: Evidence, cuts: list[float], parameters=None):
    """Return the decision with the relevance of the published example."""
    method = find_method(name, parameters)
    fitted = Relevance(np.array([NAN, *RELEVANCE]), cuts, [0.9 / (k + 1) for k in range(len(cuts))])
    rule = method.rule(SelectionSettings())
    return Selector(method, rule, fitted, {}, {}).decide(evidence)


def test_the_released_rules_drop_the_published_token():
    decision = decided_on("xtf-released", evidence_of(RECEIVED), [0.25, 0.5, 0.6, 0.7])
    assert sorted({*range(1, 11)} - set(kept(decision))) == [5]  # place 4 of the answer
    assert reasons(decision)[5] == "relevance"


def test_the_released_rules_may_drop_as_much_as_their_shares():
    parameters = {"kn": 0.3, "tr": 0.3}
    decision = decided_on("xtf-released", evidence_of(RECEIVED), [0.25], parameters)
    dropped = {place - 1: reason for place, reason in enumerate(reasons(decision)) if reason}
    # sorted p from place int(10 x 0.7) on: 0.98 0.99 0.999, of which the first is kept
    assert dropped == {0: "novelty", 1: "relevance", 4: "relevance", 6: "novelty", 7: "relevance"}
    nothing = decided_on("xtf-released", evidence_of(RECEIVED), [0.25], {"kn": 0.0, "tr": 0.0})
    assert len(kept(nothing)) == 10


def test_the_released_cut_is_the_one_before_the_shares_exceed_one():
    parameters = {"kn": 0.0, "tr": 1.0}
    fitted = [
        ([0.25, 0.45, 0.65], [0.9, 0.6, 0.3], 0.25),
        ([0.25, 0.45, 0.65], [0.5, 0.4, 0.3], 0.45),
        ([0.25, 0.45, 0.65], [0.5, 0.3, 0.1], 0.65),
    ]
    for cuts, shares, cut in fitted:
        method = find_method("xtf-released", parameters)
        relevance_V = Relevance(np.array([NAN, *RELEVANCE]), cuts, shares)
        rule = method.rule(SelectionSettings())
        decision = Selector(method, rule, relevance_V, {}, {}).decide(evidence_of(RECEIVED))
        assert kept(decision) == [1 + place for place, r in enumerate(RELEVANCE) if r >= cut]


def test_the_papers_novelty_drops_what_the_base_knows():
    even = [0.05] * 10
    decision = decided_on("xtf", evidence_of(even), [])
    assert [place - 1 for place, reason in enumerate(reasons(decision)) if reason] == [
        0,
        2,
        4,
        6,
        8,
    ]
    assert set(reasons(decision)) == {None, "novelty"}
    np.testing.assert_allclose(decision.attributes["novelty"][1:], 1 - np.array(P), atol=1e-6)


def test_the_papers_importance_drops_what_little_attention_goes_to():
    unknown = [NAN, *[5.0] * 10]
    decision = decided_on("xtf", evidence_of(RECEIVED, unknown), [])
    assert [place - 1 for place, reason in enumerate(reasons(decision)) if reason] == [0, 8]
    assert set(reasons(decision)) == {None, "importance"}
    wide = decided_on("xtf", evidence_of(RECEIVED, unknown), [], {"importance_iqr": 2.5})
    assert [place - 1 for place, reason in enumerate(reasons(wide)) if reason] == [8]


def test_the_papers_relevance_drops_the_second_lowest_class_only():
    unknown = [NAN, *[5.0] * 10]
    decision = decided_on("xtf", evidence_of([0.05] * 10, unknown), [0.2, 0.45, 0.65, 0.85])
    dropped = [RELEVANCE[place - 1] for place, reason in enumerate(reasons(decision)) if reason]
    assert dropped == [0.4, 0.3, 0.2]
    assert set(reasons(decision)) == {None, "relevance"}


def test_every_combination_of_reasons_is_named():
    decision = decided_on("xtf", evidence_of(RECEIVED), [0.2, 0.55])
    assert reasons(decision) == [
        None,
        "importance+novelty+relevance",
        None,
        "novelty",
        None,
        "novelty",
        "relevance",
        "novelty+relevance",
        "relevance",
        "importance+novelty",
        None,
    ]
    assert decision.score_T[1:].tolist() == [-2, 1, 0, 1, 0, 0, -1, 0, -1, 1]
    assert METHODS["xtf"].reasons[:3] == ("importance", "novelty", "importance+novelty")
    assert len(METHODS["xtf"].reasons) == 7


def test_importance_that_is_the_same_for_all_drops_nothing_and_other_importance_does():
    unknown = [NAN, *[5.0] * 10]
    constant = decided_on("xtf", evidence_of([1 / 11] * 10, unknown), [])
    assert len(kept(constant)) == 10  # what the released code finds of every token
    assert len(kept(decided_on("xtf", evidence_of(RECEIVED, unknown), []))) == 8


def test_quartiles_are_those_of_the_sample():
    labels = [LABELS[0], [X, 1, 2]]
    received = [[NAN, *RECEIVED], [NAN, 0.001, 0.001]]
    nll = [[NAN, *[5.0] * 10], [NAN, 5.0, 5.0]]
    scores = scores_of(base={"nll": nll, "received_attention": received})
    decision = decided_on("xtf", Evidence(shard_of(labels), scores, 0), [])
    assert sorted({*range(1, 11), 12, 13} - set(kept(decision))) == [1, 9]


def test_a_token_without_a_score_takes_no_part_in_its_samples_quartiles():
    received = [0.01, 0.01, 0.01, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.01]
    nll = [NAN, NAN, NAN, NAN, *[5.0] * 7]
    decision = decided_on("xtf", evidence_of(received, nll), [])
    assert kept(decision) == [4, 5, 6, 7, 8, 9]
    assert reasons(decision)[10] == "importance"  # with the first three it would be in range


def test_a_random_selection_of_the_same_rate_can_be_made():
    decision = decided_on("xtf", evidence_of(RECEIVED), [0.2, 0.55])
    num_kept = len(kept(decision))
    share = (num_kept + 0.5) / 10
    assert len(kept(decided("random", evidence_of(RECEIVED), keep=share))) == num_kept == 3


def test_order_statistics_of_samples_are_numpys():
    rng = np.random.default_rng(2)
    lengths = [0, 1, 2, 5, 8, 0, 40]
    value_T = rng.normal(size=sum(lengths))
    value_T[rng.random(len(value_T)) < 0.2] = NAN
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    order = SampleOrder(value_T, offsets)
    for share in (0.0, 0.25, 0.5, 0.6, 0.75, 1.0):
        expected = []
        for start, end in pairwise(offsets):
            values = value_T[start:end][~np.isnan(value_T[start:end])]
            expected.append(np.quantile(values, share) if len(values) else NAN)
        np.testing.assert_array_equal(order.quantile(share), expected)


# relevance


def test_relevance_is_the_nearness_to_the_mean_embedding_of_the_corpus():
    embeddings_VH = np.array([[1, 0], [0, 2], [3, 3], [5, 5], [9, 9]], dtype=np.float32)
    relevance_V = relevance(embeddings_VH, np.array([3, 1, 0, 2, 0]))
    mean = (3 * embeddings_VH[0] + embeddings_VH[1] + 2 * embeddings_VH[3]) / 6  # 13/6, 2
    cosine = embeddings_VH @ mean / np.linalg.norm(embeddings_VH, axis=1) / np.linalg.norm(mean)
    lowest, highest = cosine[1], cosine[3]
    assert np.isnan(relevance_V).tolist() == [False, False, True, False, True]
    assert relevance_V[[1, 3]].tolist() == [0, 1]
    assert relevance_V[0] == pytest.approx((cosine[0] - lowest) / (highest - lowest))


def test_relevance_of_embeddings_that_are_all_alike_or_of_length_zero_is_a_number():
    alike = relevance(np.ones((3, 2), dtype=np.float32), np.array([1, 2, 0]))
    assert alike.tolist()[:2] == [1, 1]
    zero = relevance(np.array([[0, 0], [1, 0], [1, 1]], dtype=np.float32), np.array([1, 2, 1]))
    assert zero[0] == 0
    assert np.isnan(relevance(np.ones((2, 2), dtype=np.float32), np.zeros(2, dtype=int))).all()


def test_xtf_learns_the_relevance_of_the_whole_corpus():
    angle = np.linspace(0, np.pi / 2, 12)
    embeddings_VH = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    ids = [[X, 1, 2, 3, 4, 5, 6], [X, 8, 9, 10, 11]]
    evidence = []
    for number, row in enumerate(ids):
        nll = [[NAN, *[5.0] * (len(row) - 1)]]
        columns = {"nll": nll, "received_attention": [[NAN, *[0.1] * (len(row) - 1)]]}
        evidence.append(Evidence(shard_of([row]), scores_of(base=columns), 0, number))
    method = find_method("xtf", {"relevance_classes": 3})
    selector = selector_of(method, evidence, embeddings_VH)
    relevance_T = [selector.decide(each).attributes["relevance"][1:] for each in evidence]
    count_V = np.array([0, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1])  # prompts have id 7
    expected_V = relevance(embeddings_VH, count_V)
    np.testing.assert_allclose(
        np.concatenate(relevance_T), np.delete(expected_V, [0, 7]), atol=1e-7
    )
    cuts = selector.notes["relevance_cuts"]
    assert len(cuts) == len(selector.notes["relevance_shares"]) == 2
    decisions = [selector.decide(each) for each in evidence]
    for decision, values in zip(decisions, relevance_T, strict=True):
        dropped = (values >= cuts[0]) & (values < cuts[1])
        assert (decision.weight_T[1:] == 0).tolist() == dropped.tolist()
    assert sum(int((d.weight_T[1:] == 0).sum()) for d in decisions) > 0


@pytest.mark.parametrize("name", ["xtf", "xtf-released"])
def test_too_few_values_for_the_classes_drop_nothing(name):
    embeddings_VH = np.eye(12, 4, dtype=np.float32)
    evidence = evidence_of([0.05] * 10, [NAN, *[5.0] * 10])
    decision = decided(name, evidence, embeddings=embeddings_VH)
    assert len(kept(decision)) == 10


# multi-Otsu


def between_class_variance(count_B: np.ndarray, starts: tuple[int, ...]) -> float:
    bins = np.arange(len(count_B))
    mean = (count_B * bins).sum() / count_B.sum()
    total = 0.0
    for start, end in zip((0, *starts), (*starts, len(count_B)), strict=True):
        count = count_B[start:end].sum()
        if count:
            total += count * ((count_B * bins)[start:end].sum() / count - mean) ** 2
    return float(total)


@pytest.mark.parametrize("num_classes", [2, 3, 4, 5])
def test_multi_otsu_finds_the_greatest_variance_between_classes(num_classes):
    rng = np.random.default_rng(num_classes)
    for _ in range(20):
        count_B = rng.integers(0, 30, size=13) * (rng.random(13) < 0.8)
        starts = class_starts(count_B, num_classes)
        if np.count_nonzero(count_B) < num_classes:
            assert starts == []
            continue
        best = max(
            between_class_variance(count_B, each)
            for each in combinations(range(1, 13), num_classes - 1)
        )
        assert len(starts) == num_classes - 1
        assert between_class_variance(count_B, tuple(starts)) == pytest.approx(best, rel=1e-12)


def test_multi_otsu_separates_three_heaps():
    values = np.array([0.0, 0.01, 0.5, 0.52, 0.99, 1.0])
    low, high = multi_otsu(values, np.array([5, 5, 100, 1, 7, 7]), 3)
    assert 0.01 < low <= 0.5
    assert 0.52 < high <= 0.99


def test_multi_otsu_of_values_that_do_not_occur_is_not_asked():
    values = np.array([NAN, 0.0, 0.5, 1.0, 400.0])
    assert multi_otsu(values, np.array([0, 3, 3, 3, 0]), 3) == pytest.approx([1 / 256, 129 / 256])
    assert multi_otsu(values, np.zeros(5, dtype=int), 3) == []
    assert multi_otsu(values, np.array([0, 3, 3, 0, 0]), 3) == []
