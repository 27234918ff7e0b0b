"""The weight of every token, and the dataset that is trained on.

Shapes: T = tokens of a shard, C = its candidates (tokens with a score), N = its samples,
G = groups, within each of which the share is counted.
"""

import numpy as np
import pyarrow as pa

from tokensieve.corpus import Bools, Float32s, Float64s, Int64s, Shard, list_array
from tokensieve.ranking import Rule, ScoredShard, UInt64s, per_candidate, ranks
from tokensieve.thresholds import Threshold

NOT_TRAINED = -100
"""The label that every trainer leaves out of the loss."""


def select_shard(
    scored: ScoredShard, shard: int, rule: Rule, thresholds: dict[str, Threshold]
) -> Float32s:
    """Return weight_T: 1 where the token is kept, else 0.

    `thresholds` are those of `find_thresholds`, so shards can be selected in any order and again.
    Raises InputError if a score is infinite.
    """
    candidate_T, score_C = scored.candidates()
    weight_T = np.zeros(len(candidate_T), dtype=np.float32)
    if rule.direction == "test":
        weight_T[candidate_T] = score_C > 0
        return weight_T
    key_C = rule.keys(score_C)
    numbers = {name: g for g, name in enumerate(thresholds)}
    group_C = scored.groups(candidate_T, rule, numbers)
    assert len(numbers) == len(thresholds), "thresholds of other data"
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
    shard: Shard, score_T: Float64s, weight_T: Float32s, keep_empty: bool
) -> tuple[dict[str, pa.Table], dict[str, int]]:
    """Return the shard's tables by part, and what was counted.

    Part `shards` holds each sample's weights and the number of tokens it keeps; part `train` is
    the dataset as trainers take it. Samples without a trained token are left out of `train` unless
    `keep_empty`. A response token without a score is unscorable and never trained on.
    """
    counts = _counts(shard, score_T, weight_T)
    num_kept_N = _sums(weight_T != 0, shard.offsets_N1)
    train = _train_table(shard, weight_T)
    if not keep_empty:
        train = train.filter(pa.array(num_kept_N > 0))
    counts["empty_samples"] = int(np.count_nonzero(num_kept_N == 0))
    counts["train_samples"] = train.num_rows
    return {"shards": _weights_table(shard, weight_T, num_kept_N), "train": train}, counts


def _counts(shard: Shard, score_T: Float64s, weight_T: Float32s) -> dict[str, int]:
    """Return the counts of tokens. Every response token is kept, dropped or unscorable."""
    has_score_T = ~np.isnan(score_T)
    response_tokens = int(shard.response_T.sum())
    kept_tokens = int(np.count_nonzero(weight_T))
    dropped_tokens = int(np.count_nonzero(has_score_T & (weight_T == 0)))
    unscorable_tokens = int(np.count_nonzero(shard.response_T & ~has_score_T))
    assert response_tokens == kept_tokens + dropped_tokens + unscorable_tokens, (
        f"{response_tokens} response tokens, but {kept_tokens} kept, {dropped_tokens} dropped, "
        f"{unscorable_tokens} unscorable"
    )
    return {
        "samples": shard.num_samples,
        "tokens": len(shard.input_ids_T),
        "response_tokens": response_tokens,
        "kept_tokens": kept_tokens,
        "dropped_tokens": dropped_tokens,
        "unscorable_tokens": unscorable_tokens,
    }


def _sums(value_T: Bools, offsets_N1: Int64s) -> Int64s:
    """Return the number of True values of each sample."""
    until_T1 = np.concatenate([[0], np.cumsum(value_T)])
    return np.diff(until_T1[offsets_N1])


def _weights_table(shard: Shard, weight_T: Float32s, num_kept_N: Int64s) -> pa.Table:
    columns = {
        "sample_id": pa.array(shard.sample_ids, pa.string()),
        "source": pa.array(shard.sources, pa.string()),
        "weight": list_array(shard.offsets_N1, weight_T),
        "num_kept": pa.array(num_kept_N, pa.int32()),
    }
    return pa.table(columns)


def _train_table(shard: Shard, weight_T: Float32s) -> pa.Table:
    trained_T = weight_T != 0
    label_T = np.where(trained_T, shard.input_ids_T, np.int32(NOT_TRAINED))
    columns = {
        "input_ids": list_array(shard.offsets_N1, shard.input_ids_T),
        "attention_mask": list_array(shard.offsets_N1, np.ones_like(label_T, dtype=np.int8)),
        "labels": list_array(shard.offsets_N1, label_T),
        "assistant_masks": list_array(shard.offsets_N1, trained_T.astype(np.int8)),
    }
    return pa.table(columns)
