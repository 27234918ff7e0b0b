"""What policies change about a method's decision, in which order, and the account of it."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.corpus import Shard
from tokensieve.policies import overridden, policy_names
from tokensieve.policies.changes import filled, guarded, smoothed
from tokensieve.ranking import Rule
from tokensieve.selection import POLICY, Decision, selection_tables
from tokensieve.settings import PolicySettings

NAN = math.nan
RULE = Rule("high", "dataset", 0.5, "floor")
ALL = PolicySettings(
    protect=("eos", "numbers"), protect_pattern="x", min_kept_tokens=2, smooth_spans=2
)


def offsets(lengths):
    return np.cumsum([0, *lengths]).astype(np.int64)


def weights(text):
    """Return weight_T and candidate_T: 1 kept, 0 dropped, - unlearned, . no candidate."""
    values = {"1": 1.0, "0": 0.0, "-": -1.0, ".": 0.0}
    weight_T = np.array([values[each] for each in text], dtype=np.float32)
    return weight_T, np.array([each != "." for each in text], dtype=bool)


def smooth(text, span=2, lengths=None):
    weight_T, candidate_T = weights(text)
    return "".join(
        f"{weight:.0f}" if candidate else "."
        for weight, candidate in zip(
            smoothed(weight_T, candidate_T, offsets(lengths or [len(text)]), span),
            candidate_T,
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("00100", "00000"),
        ("11011", "11111"),
        ("0010011011", "0000011111"),
        ("001100", "001100"),  # two together are not lone
        ("0100", "0100"),  # too near to an end
        ("00101", "00101"),
        ("0010100", "0010100"),  # none of them has two of the others on both sides
        ("00100.00100", "00000.00000"),
        ("00.100", "00.100"),  # a token without a score is no neighbour
    ],
)
def test_a_lone_token_becomes_what_two_on_each_side_of_it_are(given, expected):
    assert smooth(given) == expected


def test_the_span_says_how_many_neighbours_it_takes():
    assert smooth("0001000", span=3) == "0000000"
    assert smooth("001000", span=3) == "001000"


def test_tokens_of_another_sample_are_no_neighbours():
    assert smooth("00100", lengths=[5]) == "00000"
    assert smooth("00100", lengths=[2, 3]) == "00100"
    assert smooth("00100", lengths=[2, 0, 0, 3]) == "00100"
    assert smooth("", lengths=[0, 0]) == smooth("", lengths=[]) == ""


def test_a_lone_kept_token_among_unlearned_ones_is_dropped_and_not_unlearned():
    weight_T, candidate_T = weights("--1--")

    changed_T = smoothed(weight_T, candidate_T, offsets([5]), 2)

    assert changed_T.tolist() == [-1, -1, 0, -1, -1]


decided = st.text(alphabet="10-.", max_size=60)
spans = st.integers(2, 4)


def lone_by_definition(kept, lengths, span):
    """Return the places of lone tokens; `kept` has None for what is no candidate."""
    edges = offsets(lengths)
    found = set()
    for first, end in pairwise(edges):
        for place in range(first + span, end - span):
            around = [*kept[place - span : place], *kept[place + 1 : place + span + 1]]
            if kept[place] is not None and all(each is (not kept[place]) for each in around):
                found.add(place)
    return found


def kept_of(weight_T, candidate_T):
    return [
        bool(w > 0) if is_candidate else None
        for w, is_candidate in zip(weight_T, candidate_T, strict=True)
    ]


@given(decided, spans, st.data())
def test_smoothing_changes_the_lone_tokens_and_no_other_and_leaves_none(text, span, data):
    cut = data.draw(st.integers(0, len(text)))
    lengths = [cut, len(text) - cut]
    weight_T, candidate_T = weights(text)
    lone = lone_by_definition(kept_of(weight_T, candidate_T), lengths, span)

    once_T = smoothed(weight_T, candidate_T, offsets(lengths), span)

    assert set(np.flatnonzero(once_T != weight_T).tolist()) == lone
    assert not lone_by_definition(kept_of(once_T, candidate_T), lengths, span)
    np.testing.assert_array_equal(smoothed(once_T, candidate_T, offsets(lengths), span), once_T)


@given(decided, spans)
def test_no_two_lone_tokens_are_within_a_span_so_that_their_order_is_of_no_account(text, span):
    weight_T, candidate_T = weights(text)
    lone = sorted(lone_by_definition(kept_of(weight_T, candidate_T), [len(text)], span))

    assert all(later - earlier > span for earlier, later in pairwise(lone))


def test_a_protected_token_weighs_at_least_1_and_never_more_than_it_did_if_that_is_more():
    weight_T = np.array([0, -1, 0.25, 1, 3, 0], dtype=np.float32)
    candidate_T = np.array([True] * 5 + [False])
    guard_T = np.array([0, 1, 0, 0, 0, 0], dtype=np.int8)

    assert guarded(weight_T, candidate_T, guard_T).tolist() == [1, 1, 1, 1, 3, 0]


def fill(text, key_T, least, lengths):
    weight_T, candidate_T = weights(text)
    keys = np.array(key_T, dtype=np.uint64)
    return filled(weight_T, keys, candidate_T, offsets(lengths), least).tolist()


def test_a_sample_that_keeps_too_little_gets_its_best_candidates_and_ties_go_to_the_earlier():
    assert fill("0000.", [5, 7, 7, 1, 9], 2, [5]) == [0, 1, 1, 0, 0]
    assert fill("0000.", [7, 7, 7, 1, 9], 2, [5]) == [1, 1, 0, 0, 0]
    assert fill("1000", [5, 6, 7, 8], 2, [4]) == [1, 0, 0, 1]


def test_a_sample_gets_no_more_than_it_has_and_others_get_nothing():
    assert fill("0.." + "110" + "-0", [1] * 8, 2, [3, 0, 3, 2]) == [1, 0, 0, 1, 1, 0, 1, 1]
    assert fill("", [], 2, [0]) == []


def decision_of(text, scores=None, reasons=None):
    weight_T, candidate_T = weights(text)
    score_T = np.array(scores or [0.0] * len(text), dtype=np.float64)
    reason_T = None if reasons is None else np.array(reasons)
    return Decision(
        np.where(candidate_T, score_T, NAN), weight_T, {}, reason_T, ("noise", "novelty")
    )


def names_of(decision):
    words = decision.words[POLICY]
    return [words.names[code] if code >= 0 else None for code in words.code_T.tolist()]


def test_the_policies_are_applied_in_a_fixed_order_however_they_are_written():
    settings = PolicySettings(
        smooth_spans=2, protect=("numbers", "eos"), min_kept_tokens=1, protect_pattern="a"
    )

    assert policy_names(settings) == (
        "smooth_spans",
        "eos",
        "numbers",
        "protect_pattern",
        "min_kept_tokens",
    )
    assert policy_names(PolicySettings()) == ()


def test_every_change_is_put_down_to_the_policy_that_made_it():
    guards, scores = [-1] * 11 + [1], [1, 2, 3, 4, 5, 1, 2, 3, 4, 0, 0, 0]
    decision = decision_of("00100" + "0000" + "110", scores)

    found = overridden(decision, offsets([5, 4, 3]), RULE, ALL, np.array(guards, dtype=np.int8))

    # the lone token of the first sample goes, and does not come back: it is the third best of two
    assert found.weight_T.tolist() == [0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1]
    smooth, least = "smooth_spans", "min_kept_tokens"
    of_samples = [None, None, smooth, least, least], [None, None, least, least]
    assert names_of(found) == [*of_samples[0], *of_samples[1], None, None, "numbers"]


def test_what_ends_as_the_method_said_was_overridden_by_none():
    decision = decision_of("00100", scores=[1, 2, 9, 4, 5])

    for settings, guards in (
        (PolicySettings(smooth_spans=2, min_kept_tokens=1), [-1] * 5),
        (PolicySettings(smooth_spans=2, protect=("eos",)), [-1, -1, 0, -1, -1]),
    ):
        found = overridden(decision, offsets([5]), RULE, settings, np.array(guards, dtype=np.int8))

        assert found.weight_T.tolist() == [0, 0, 1, 0, 0]
        assert names_of(found) == [None] * 5


def test_protected_tokens_count_towards_the_minimum():
    settings = PolicySettings(protect=("eos",), min_kept_tokens=2)
    guard_T = np.array([-1, -1, -1, 0], dtype=np.int8)

    found = overridden(decision_of("0000", [1, 2, 3, 0]), offsets([4]), RULE, settings, guard_T)

    assert found.weight_T.tolist() == [0, 0, 1, 1]
    assert names_of(found) == [None, None, "min_kept_tokens", "eos"]


@pytest.mark.parametrize(
    ("direction", "expected"), [("high", [0, 0, 1]), ("low", [1, 0, 0]), ("test", [0, 0, 1])]
)
def test_the_best_is_what_the_method_prefers(direction, expected):
    rule, settings = replace(RULE, direction=direction), PolicySettings(min_kept_tokens=1)
    decision = decision_of("000", scores=[-3.0, -2.0, -1.0])

    found = overridden(decision, offsets([3]), rule, settings, np.full(3, -1, np.int8))

    assert found.weight_T.tolist() == expected


def test_a_protected_token_is_never_unlearned():
    settings = PolicySettings(protect=("eos",))

    found = overridden(
        decision_of("-1-"), offsets([3]), RULE, settings, np.array([-1, -1, 0], np.int8)
    )

    assert found.weight_T.tolist() == [-1, 1, 1]


def test_a_reason_of_the_method_goes_where_a_policy_decided():
    decision = decision_of("00100", reasons=[0, 1, 0, 1, 0])
    settings = PolicySettings(smooth_spans=2, protect=("eos",))

    found = overridden(
        decision, offsets([5]), RULE, settings, np.array([0, -1, -1, -1, -1], np.int8)
    )

    assert found.weight_T.tolist() == [1, 0, 0, 0, 0]
    assert found.reason_T.tolist() == [-1, 1, -1, 1, 0]


scored = st.lists(
    st.tuples(st.sampled_from("10-."), st.integers(-3, 3), st.integers(-1, 2)), max_size=40
)


@given(scored, st.integers(1, 6), spans, st.data())
def test_no_token_is_lost_and_every_policy_holds_in_the_end(tokens, least, span, data):
    cut = data.draw(st.integers(0, len(tokens)))
    text = "".join(each for each, _, _ in tokens)
    guard_T = np.array([guard for _, _, guard in tokens], dtype=np.int8)
    decision = decision_of(text, [float(score) for _, score, _ in tokens])
    settings = ALL.model_copy(update={"min_kept_tokens": least, "smooth_spans": span})

    found = overridden(decision, offsets([cut, len(text) - cut]), RULE, settings, guard_T)

    policy = found.words[POLICY]
    has_score_T, kept_T = ~np.isnan(decision.score_T), found.weight_T > 0
    was_kept_T, is_other_T = decision.weight_T > 0, policy.code_T >= 0
    np.testing.assert_array_equal(is_other_T, found.weight_T != decision.weight_T)
    assert kept_T.sum() == (
        was_kept_T.sum() + (is_other_T & kept_T).sum() - (is_other_T & was_kept_T).sum()
    )
    assert kept_T[has_score_T & (guard_T >= 0)].all()
    assert not found.weight_T[~has_score_T].any()
    for part in (slice(0, cut), slice(cut, len(text))):
        assert kept_T[part].sum() >= min(least, has_score_T[part].sum())


def shard_of(text):
    return Shard(
        sample_ids=["s"],
        sources=["a"],
        offsets_N1=offsets([len(text) + 1]),
        input_ids_T=np.arange(len(text) + 1, dtype=np.int32),
        response_T=np.array([False] + [True] * len(text)),
        turn_T=np.zeros(len(text) + 1, dtype=np.int16),
    )


def test_the_selection_names_the_policy_of_each_token_and_counts_them():
    settings = PolicySettings(smooth_spans=2, protect=("eos",))
    guard_T = np.array([-1] * 6 + [0], dtype=np.int8)
    decision = decision_of("." + "001000")

    found = overridden(decision, offsets([7]), RULE, settings, guard_T)
    tables, counts = selection_tables(shard_of("001000"), found, keep_empty=True)

    assert tables["shards"]["policy"].to_pylist() == [
        [None, None, None, "smooth_spans", None, None, "eos"]
    ]
    assert tables["train"]["assistant_masks"].to_pylist() == [[0, 0, 0, 0, 0, 0, 1]]
    assert (
        counts
        | {
            "kept_tokens": 1,
            "dropped_tokens": 5,
            "smooth_spans_kept_tokens": 0,
            "smooth_spans_dropped_tokens": 1,
            "eos_kept_tokens": 1,
            "eos_dropped_tokens": 0,
        }
        == counts
    )


def test_without_policies_the_selection_has_no_word_of_them():
    tables, counts = selection_tables(shard_of("01"), decision_of(".01"), keep_empty=True)

    assert tables["shards"].column_names == ["sample_id", "source", "weight", "num_kept", "score"]
    assert not [name for name in counts if "policy" in name or "kept_tokens" in name[5:]]
