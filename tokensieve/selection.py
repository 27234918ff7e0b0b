"""The weight of every token, and the dataset that is trained on.

Shapes: T = tokens of a shard, C = its candidates (tokens with a score), N = its samples,
G = groups, within each of which the share is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tokensieve.corpus import Bools, Float32s, Float64s, Int8s, Int32s, Int64s, Shard, list_array
from tokensieve.errors import InputError, shortened
from tokensieve.ranking import Rule, ScoredShard, UInt64s, per_candidate, ranks
from tokensieve.thresholds import Threshold

NOT_TRAINED = -100
"""The label that every trainer leaves out of the loss."""
POLICY = "policy"
"""Column of the policy that decided on a token against the method."""


@dataclass(frozen=True)
class Words:
    """One of a few words for each token, or none."""

    code_T: Int8s | Int64s
    """Which of `names`; below 0: none."""
    names: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """What was decided on the tokens of a shard, and why."""

    score_T: Float64s
    """The method's number for each token; NaN where the token is no candidate."""
    weight_T: Float32s
    """1 kept, 0 dropped, below 0 unlearned; or anything in between."""
    attributes: Mapping[str, Float32s] = field(default_factory=dict)
    """Further numbers of the method; NaN where there is none."""
    reason_T: Int64s | None = None
    """Which of `reasons` speaks against the token; -1: none."""
    reasons: tuple[str, ...] = ()
    words: Mapping[str, Words] = field(default_factory=dict)
    """What else is said of tokens, by column."""


def select_shard(
    scored: ScoredShard, shard: int, rule: Rule, thresholds: dict[str, Threshold]
) -> Float32s:
    """Return weight_T: 1 where the token is kept, else 0; or what the scores say it weighs.

    `thresholds` are those of `find_thresholds`, so shards can be selected in any order and again.
    Raises InputError if a score is infinite.
    """
    candidate_T, score_C = scored.candidates()
    weight_T = np.zeros(len(candidate_T), dtype=np.float32)
    if rule.direction == "test":
        weight_T[candidate_T] = score_C > 0
        return weight_T
    if rule.direction == "weight":
        assert (score_C >= 0).all(), "a weight is not negative"
        weight_T[candidate_T] = score_C
        return weight_T
    key_C = rule.keys(score_C)
    numbers = {name: g for g, name in enumerate(thresholds)}
    group_C = scored.groups(candidate_T, rule, numbers)
    if len(numbers) > len(thresholds):
        unknown = sorted(numbers.keys() - thresholds.keys())
        raise InputError(
            f"source {shortened(unknown[0])}: has no threshold in the selection whose thresholds "
            f"are frozen ({len(unknown)} such sources in the shard). Freeze one that has seen it, "
            "or refit."
        )
    if rule.has_thresholds:
        weight_T[candidate_T] = _beyond(key_C, group_C, shard, rule, thresholds)
    else:
        weight_T[candidate_T] = _best_of_each(key_C, group_C, rule)
    return weight_T


def _best_of_each(key_C: UInt64s, group_C: Int64s, rule: Rule) -> Bools:
    """Return which candidates are among the best of their group, all of which is here."""
    kept_G = rule.num_kept(np.bincount(group_C))
    kept_C: Bools = ranks(group_C, key_C) < kept_G[group_C]
    return kept_C


def _beyond(
    key_C: UInt64s, group_C: Int64s, shard: int, rule: Rule, thresholds: dict[str, Threshold]
) -> Bools:
    """Return which candidates are better than their group's threshold, or early ties."""
    last_G = _last_keys(rule, thresholds)
    last_C = per_candidate(last_G, group_C)
    kept_C: Bools = key_C > last_C
    tied = np.flatnonzero(key_C == last_C)
    ties_G = np.array([_num_ties(t, shard, len(tied)) for t in thresholds.values()], dtype=np.int64)
    kept_C[tied] = ranks(group_C[tied], key_C[tied]) < ties_G[group_C[tied]]
    return kept_C


def _last_keys(rule: Rule, thresholds: dict[str, Threshold]) -> UInt64s:
    """Return the key of each threshold's score; above all keys where nothing is kept."""
    score_G = np.array([0.0 if t.score is None else t.score for t in thresholds.values()])
    is_empty_G = np.array([t.score is None for t in thresholds.values()], dtype=bool)
    return np.where(is_empty_G, np.uint64(2**64 - 1), rule.keys(score_G))


def _num_ties(threshold: Threshold, shard: int, num_tied: int) -> int:
    """Return how many of at most `num_tied` tokens at the threshold the shard may keep."""
    if shard == threshold.shard:
        return threshold.num_ties
    return num_tied if shard < threshold.shard else 0


def selection_tables(
    shard: Shard, decision: Decision, keep_empty: bool
) -> tuple[dict[str, pa.Table], dict[str, int]]:
    """Return the shard's tables by part, and what was counted.

    Part `shards` holds each sample's weights, the number of tokens it keeps and what the method
    said of each token; part `train` is the dataset as trainers take it. Only tokens with a weight
    above 0 have a label in it. Samples without one are left out of `train` unless `keep_empty`. A
    response token without a score is unscorable and never trained on.
    """
    weight_T = decision.weight_T
    counts = _counts(shard, decision)
    num_kept_N = _sums(weight_T > 0, shard.offsets_N1)
    train = _train_table(shard, weight_T)
    if not keep_empty:
        train = train.filter(pa.array(num_kept_N > 0))
    counts["empty_samples"] = int(np.count_nonzero(num_kept_N == 0))
    counts["train_samples"] = train.num_rows
    return {"shards": _weights_table(shard, decision, num_kept_N), "train": train}, counts


def _counts(shard: Shard, decision: Decision) -> dict[str, int]:
    """Return the counts of tokens. Every response token is in one of the four last."""
    weight_T, has_score_T = decision.weight_T, ~np.isnan(decision.score_T)
    response_tokens = int(shard.response_T.sum())
    kinds = {
        "kept_tokens": int(np.count_nonzero(weight_T > 0)),
        "unlearned_tokens": int(np.count_nonzero(weight_T < 0)),
        "dropped_tokens": int(np.count_nonzero(has_score_T & (weight_T == 0))),
        "unscorable_tokens": int(np.count_nonzero(shard.response_T & ~has_score_T)),
    }
    assert response_tokens == sum(kinds.values()), f"{response_tokens} response tokens, but {kinds}"
    return {
        "samples": shard.num_samples,
        "tokens": len(shard.input_ids_T),
        "response_tokens": response_tokens,
        **kinds,
        **_policy_counts(decision),
    }


def _policy_counts(decision: Decision) -> dict[str, int]:
    """Return how many tokens each policy kept against the method, and dropped against it."""
    if POLICY not in decision.words:
        return {}
    policy, kept_T = decision.words[POLICY], decision.weight_T > 0
    return {
        f"{name}_{verb}_tokens": int(np.count_nonzero((policy.code_T == code) & (kept_T == kept)))
        for code, name in enumerate(policy.names)
        for verb, kept in (("kept", True), ("dropped", False))
    }


def _sums(value_T: Bools, offsets_N1: Int64s) -> Int64s:
    """Return the number of True values of each sample."""
    until_T1 = np.concatenate([[0], np.cumsum(value_T)])
    return np.diff(until_T1[offsets_N1])


def _weights_table(shard: Shard, decision: Decision, num_kept_N: Int64s) -> pa.Table:
    score_T = np.where(shard.scorable_T, decision.score_T, np.nan).astype(np.float32)
    columns = {
        "sample_id": pa.array(shard.sample_ids, pa.string()),
        "source": pa.array(shard.sources, pa.string()),
        "weight": list_array(shard.offsets_N1, decision.weight_T),
        "num_kept": pa.array(num_kept_N, pa.int32()),
        "score": list_array(shard.offsets_N1, score_T),
    }
    for name, values_T in decision.attributes.items():
        columns[name] = list_array(shard.offsets_N1, values_T)
    if decision.reason_T is not None:
        code_T = np.where(_is_dropped(decision), decision.reason_T, -1)
        columns["reason"] = _word_lists(shard, Words(code_T, decision.reasons))
    for name, words in decision.words.items():
        columns[name] = _word_lists(shard, words)
    return pa.table(columns)


def _is_dropped(decision: Decision) -> Bools:
    dropped_T: Bools = (decision.weight_T <= 0) & ~np.isnan(decision.score_T)
    return dropped_T


def _word_lists(shard: Shard, words: Words) -> pa.ListArray:
    """Return each token's word; null where it has none."""
    codes = pa.array(words.code_T, pa.int32(), mask=words.code_T < 0)
    names = pa.DictionaryArray.from_arrays(codes, pa.array(words.names, pa.string()))
    return pa.ListArray.from_arrays(pa.array(shard.offsets_N1, pa.int32()), names)


def _train_table(shard: Shard, weight_T: Float32s) -> pa.Table:
    label_T = labels(shard.input_ids_T, weight_T)
    columns = {
        "input_ids": list_array(shard.offsets_N1, shard.input_ids_T),
        "attention_mask": list_array(shard.offsets_N1, np.ones_like(label_T, dtype=np.int8)),
        "labels": list_array(shard.offsets_N1, label_T),
        "assistant_masks": list_array(shard.offsets_N1, (weight_T > 0).astype(np.int8)),
    }
    return pa.table(columns)


def labels(input_ids_T: Int32s, weight_T: Float32s) -> Int32s:
    """Return label_T: the token itself where its weight is above 0, else NOT_TRAINED."""
    return np.where(weight_T > 0, input_ids_T, np.int32(NOT_TRAINED))
