"""Exact selection: counts, ties, scopes, bounded memory, and the tables that come of it."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.corpus import Shard
from tokensieve.errors import InputError
from tokensieve.methods import METHODS, Evidence
from tokensieve.ranking import Rule, ScoredShard
from tokensieve.selection import Decision, select_shard, selection_tables
from tokensieve.settings import SelectionSettings
from tokensieve.thresholds import Threshold, find_thresholds

NAN = math.nan
GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/token_cleaning_gsm8k.jsonl"

X = -100
LABELS = [[X, X, 11, 12, 13, 14, 15], [X, 21, 22, 23], [X, X, X, 31, 32, 33, 34, 35]]
BASE = [[0, 0, 2.0, 1.0, 0.5, 3.0, 0.25], [0, 4.0, 1.0, 1.0], [0, 0, 0, 0.5, 0.5, 2.0, 6.0, 1.0]]
REFERENCE = [
    [0, 0, 1.0, 1.0, 0.25, 1.0, 0.5],
    [0, 1.0, 0.5, 1.0],
    [0, 0, 0, 0.25, 1.0, 2.0, 7.0, 0.5],
]


def shard_of(labels: list[list[int]], sources: list[str] | None = None) -> Shard:
    lengths = [len(each) for each in labels]
    flat = np.array([token for each in labels for token in each], dtype=np.int32)
    return Shard(
        sample_ids=[f"s{n}" for n in range(len(labels))],
        sources=sources or ["a"] * len(labels),
        offsets_N1=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        input_ids_T=np.where(flat == X, 7, flat).astype(np.int32),
        response_T=flat != X,
        turn_T=np.zeros(len(flat), dtype=np.int16),
    )


def scored_of(samples: list[list[float]], sources: list[str] | None = None) -> ScoredShard:
    lengths = [len(each) for each in samples]
    return ScoredShard(
        score_T=np.array([score for each in samples for score in each], dtype=np.float64),
        offsets_N1=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        sources=sources or ["a"] * len(samples),
    )


def selected(shards: list[ScoredShard], rule: Rule, max_held: int = 1 << 20) -> list[list[float]]:
    thresholds = find_thresholds(shards.__getitem__, len(shards), rule, max_held)
    return [
        select_shard(scored, shard, rule, thresholds).tolist()
        for shard, scored in enumerate(shards)
    ]


def kept_by_one_sort(shards: list[ScoredShard], rule: Rule) -> list[list[float]]:
    """The definition: per group, the first int(n * keep) of a stable sort."""
    weights = [[0.0] * len(scored.score_T) for scored in shards]
    groups: dict[object, list[tuple[float, int, int]]] = {}
    for s, scored in enumerate(shards):
        for n, source in enumerate(scored.sources):
            name = {"dataset": "", "source": source, "sample": (s, n)}[rule.scope]
            for t in range(scored.offsets_N1[n], scored.offsets_N1[n + 1]):
                if not math.isnan(scored.score_T[t]):
                    groups.setdefault(name, []).append((float(scored.score_T[t]), s, t))
    for tokens in groups.values():
        count = len(tokens) * rule.keep
        num_kept = int(count) if rule.rounding == "floor" else math.ceil(count)
        best = sorted(tokens, key=lambda token: token[0], reverse=rule.direction == "high")
        for _, s, t in best[:num_kept]:
            weights[s][t] = 1.0
    return weights


def golden_scored(method: str, scope: str) -> tuple[Rule, ScoredShard]:
    flat = [np.array([x for each in rows for x in each]) for rows in (BASE, REFERENCE)]
    scores = {"base": {"nll": flat[0]}, "reference": {"nll": flat[1]}}
    rule = METHODS[method].rule(SelectionSettings(keep=0.6, scope=scope))
    return rule, METHODS[method].scored(Evidence(shard_of(LABELS), scores, seed=0))


def kept_places(weights: list[float]) -> list[tuple[int, int]]:
    places = [(n, j) for n, labels in enumerate(LABELS) for j in range(len(labels))]
    return [place for place, weight in zip(places, weights, strict=True) if weight]


def test_the_published_example_keeps_the_published_tokens_over_the_dataset():
    rule, scored = golden_scored("fixed-model", "dataset")
    assert kept_places(selected([scored], rule)[0]) == [
        (0, 2), (0, 4), (0, 5), (1, 1), (1, 2), (2, 3), (2, 7),
    ]  # fmt: skip


def test_the_published_example_keeps_the_published_tokens_of_each_sample():
    rule, scored = golden_scored("rho", "sample")
    assert kept_places(selected([scored], rule)[0]) == [
        (0, 2), (0, 4), (0, 5), (1, 1), (2, 3), (2, 5), (2, 7),
    ]  # fmt: skip


@pytest.mark.skipif(not GOLDEN.exists(), reason="the shared golden files are not here")
@pytest.mark.parametrize(
    ("method", "kept_column"), [("fixed-model", "kept_global"), ("rho", "kept_sample")]
)
def test_the_authors_ranking_of_real_scores_is_matched_token_for_token(method, kept_column):
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    shards = []
    for chunk in (rows[:20], rows[20:21], [], rows[21:]):
        columns = [
            np.array([x for row in chunk for x in row[name]], dtype=np.float64)
            for name in ("base_nll", "reference_nll")
        ]
        scores = {"base": {"nll": columns[0]}, "reference": {"nll": columns[1]}}
        evidence = Evidence(shard_of([row["labels"] for row in chunk]), scores, seed=0)
        shards.append(METHODS[method].scored(evidence))
    rule = METHODS[method].rule(SelectionSettings(keep=0.6))

    weights = iter(np.concatenate(selected(shards, rule, max_held=256)))
    kept = [[j for j in range(len(row["labels"])) if next(weights)] for row in rows]

    assert kept == [row[kept_column] for row in rows]
    assert sum(map(len, kept)) == {"kept_global": 4643, "kept_sample": 4615}[kept_column]


score = st.sampled_from([NAN, -0.0, 0.0, 1.0, 5e-324, -5e-324, 1.7e308]) | st.floats(
    allow_infinity=False
)
sample = st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.lists(score, max_size=6))
corpora = st.lists(st.lists(sample, max_size=4), min_size=1, max_size=5)


@settings(deadline=None, max_examples=400)
@given(
    corpus=corpora,
    scope=st.sampled_from(["dataset", "source", "sample"]),
    direction=st.sampled_from(["high", "low"]),
    keep=st.sampled_from([0.01, 0.29, 0.5, 0.6, 1.0]),
    rounding=st.sampled_from(["floor", "ceil"]),
    max_held=st.sampled_from([1, 2, 16, 1 << 20]),
)
def test_passes_over_shards_keep_what_one_stable_sort_keeps(
    corpus, scope, direction, keep, rounding, max_held
):
    shards = [
        scored_of([scores for _, scores in samples], [source for source, _ in samples])
        for samples in corpus
    ]
    rule = Rule(direction, scope, keep, rounding)
    assert selected(shards, rule, max_held) == kept_by_one_sort(shards, rule)


@pytest.mark.parametrize("max_held", [1, 1 << 20])
def test_equal_scores_are_kept_from_the_first_sample_on(max_held):
    shards = [scored_of([[0.0, -0.0], [0.0]]), scored_of([]), scored_of([[-0.0, NAN, 0.0, 0.0]])]
    rule = Rule("high", "dataset", 0.7, "floor")
    assert selected(shards, rule, max_held) == [[1.0, 1.0, 1.0], [], [1.0, 0.0, 0.0, 0.0]]


def test_a_reference_equal_to_the_base_leaves_only_ties():
    nll_T = np.array([9.0, 2.5, 0.1, 0.3, 9.0, 1.7], dtype=np.float32)
    evidence = Evidence(
        shard_of([[X, 1, 2, 3], [X, 4]]), {"base": {"nll": nll_T}, "reference": {"nll": nll_T}}, 0
    )
    method = METHODS["fixed-model"]
    rule = method.rule(SelectionSettings(keep=0.5))
    assert selected([method.scored(evidence)], rule) == [[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]]


def test_a_shard_selects_the_same_without_the_others():
    shards = [scored_of([[1.0, 2.0]]), scored_of([[2.0, 2.0]]), scored_of([[2.0, 3.0]])]
    rule = Rule("high", "dataset", 0.5, "floor")
    thresholds = find_thresholds(shards.__getitem__, 3, rule)
    stored = {
        name: Threshold(**json.loads(json.dumps(vars(threshold))))
        for name, threshold in thresholds.items()
    }
    assert stored == {"": Threshold(num_candidates=6, num_kept=3, score=2.0, shard=1, num_ties=1)}
    assert select_shard(shards[2], 2, rule, stored).tolist() == [0.0, 1.0]
    assert select_shard(shards[1], 1, rule, stored).tolist() == [1.0, 0.0]
    assert select_shard(shards[0], 0, rule, stored).tolist() == [0.0, 1.0]


def test_the_share_is_counted_in_each_source():
    shards = [
        scored_of([[1.0, 2.0], [9.0, 8.0]], ["a", "b"]),
        scored_of([[3.0], [7.0]], ["a", "b"]),
    ]
    assert selected(shards, Rule("high", "source", 0.4, "floor")) == [[0, 0, 1, 0], [1, 0]]
    assert selected(shards, Rule("low", "source", 0.4, "ceil")) == [[1, 1, 0, 1], [0, 1]]


def test_many_sources_are_narrowed_down_in_the_memory_of_few_bins():
    rng = np.random.default_rng(0)
    shards = [
        scored_of(rng.normal(size=(300, 5)).tolist(), [f"source {n}" for n in range(300)])
        for _ in range(3)
    ]
    rule = Rule("high", "source", 0.6, "floor")
    assert selected(shards, rule, max_held=64) == kept_by_one_sort(shards, rule)
    assert sum(map(sum, selected(shards, rule))) == 300 * 9


@pytest.mark.parametrize("scope", ["dataset", "sample"])
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_score_is_refused(scope, value):
    with pytest.raises(InputError, match=r"token 2 of the shard: score: is -?inf"):
        selected([scored_of([[1.0, NAN, value]])], Rule("high", scope, 0.5, "floor"))


def test_a_token_without_a_score_is_no_candidate_and_no_obstacle():
    scores = np.random.default_rng(1).normal(size=1000)
    rule = Rule("high", "dataset", 0.6, "floor")
    without = selected([scored_of([np.delete(scores, 500).tolist()])], rule)[0]
    scores[500] = NAN
    with_it = selected([scored_of([scores.tolist()])], rule)[0]
    assert with_it[500] == 0
    assert with_it[:500] + with_it[501:] == without
    assert sum(without) == 599


@pytest.mark.parametrize(
    ("candidates", "keep", "rounding", "num_kept"),
    [
        (13, 0.6, "floor", 7),
        (100, 0.29, "floor", 28),  # 28.999999999999996
        (1, 0.6, "floor", 0),
        (1, 0.6, "ceil", 1),
        (5, 0.6, "ceil", 3),
        (7, 1.0, "ceil", 7),
        (0, 0.6, "ceil", 0),
        (10**12 + 1, 1.0, "floor", 10**12 + 1),
    ],
)
def test_counts_are_those_of_pythons_product(candidates, keep, rounding, num_kept):
    rule = Rule("high", "dataset", keep, rounding)
    assert rule.num_kept(np.array([candidates])).tolist() == [num_kept]


def test_a_test_keeps_what_is_above_zero():
    rule = Rule("test", "dataset", 0.1, "floor")
    assert selected([scored_of([[1.0, 0.0, NAN, -2.0, 0.5]])], rule) == [[1, 0, 0, 0, 1]]


def small_selection(keep_empty: bool):
    shard = shard_of([[X, 5, 6, 8], [3, X], [X, 9]], ["a", "b", "b"])
    score_T = np.array([NAN, 1.0, 2.0, NAN, NAN, NAN, NAN, 3.0])
    weight_T = np.array([0, 0, 1, 0, 0, 0, 0, 1], dtype=np.float32)
    return selection_tables(shard, Decision(score_T, weight_T), keep_empty)


def test_the_tables_hold_weights_and_a_dataset_ready_for_training():
    tables, counts = small_selection(keep_empty=False)
    assert tables["shards"].to_pydict() == {
        "sample_id": ["s0", "s1", "s2"],
        "source": ["a", "b", "b"],
        "weight": [[0, 0, 1, 0], [0, 0], [0, 1]],
        "num_kept": [1, 0, 1],
        "score": [[None, 1, 2, None], [None, None], [None, 3]],
    }
    assert tables["train"].to_pydict() == {
        "input_ids": [[7, 5, 6, 8], [7, 9]],
        "attention_mask": [[1, 1, 1, 1], [1, 1]],
        "labels": [[-100, -100, 6, -100], [-100, 9]],
        "assistant_masks": [[0, 0, 1, 0], [0, 1]],
    }
    assert counts == {
        "samples": 3,
        "tokens": 8,
        "response_tokens": 5,
        "kept_tokens": 2,
        "unlearned_tokens": 0,
        "dropped_tokens": 1,
        "unscorable_tokens": 2,
        "empty_samples": 1,
        "train_samples": 2,
    }


def test_samples_without_a_trained_token_stay_if_asked_for():
    tables, counts = small_selection(keep_empty=True)
    assert tables["train"]["labels"].to_pylist()[1] == [-100, -100]
    assert (counts["empty_samples"], counts["train_samples"]) == (1, 3)


def test_a_kept_token_that_is_no_response_token_is_our_error():
    shard = shard_of([[X, 5]])
    with pytest.raises(AssertionError, match=r"1 response tokens, but .*'kept_tokens': 2"):
        selection_tables(shard, Decision(np.array([NAN, 1.0]), np.ones(2, np.float32)), False)


def test_datasets_reads_the_training_part_as_it_stands(tmp_path):
    tables, _ = small_selection(keep_empty=False)
    pq.write_table(tables["train"], tmp_path / "train.parquet")
    files = str(tmp_path / "train.parquet")
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert rows.features["labels"].feature.dtype == "int32"
    assert rows.features["assistant_masks"].feature.dtype == "int8"
    assert rows[1] == {
        "input_ids": [7, 9],
        "attention_mask": [1, 1],
        "labels": [-100, 9],
        "assistant_masks": [0, 1],
    }


def num_reads(shards: list[ScoredShard], max_held: int) -> int:
    reads = []
    rule = Rule("high", "dataset", 0.5, "floor")
    find_thresholds(lambda s: reads.append(s) or shards[s], len(shards), rule, max_held)
    assert reads == list(range(len(shards))) * (len(reads) // len(shards))
    return len(reads) // len(shards)


def test_no_more_keys_than_the_memory_bound_are_held():
    shards = [scored_of([[float(n) for n in range(1000)]]), scored_of([[-1.0] * 24])]
    assert num_reads(shards, max_held=1024) == 1  # all are held
    assert num_reads(shards, max_held=1023) == 2  # count in 2 ** 9 bins, hold one bin's
    assert num_reads([scored_of([[3.0] * 17])], max_held=16) == 17  # 16 times 4 bits: never fits


def test_a_source_without_a_threshold_is_refused():
    rule = Rule("high", "source", 0.5, "floor")
    thresholds = find_thresholds([scored_of([[1.0]], ["a"])].__getitem__, 1, rule)
    with pytest.raises(InputError, match="source 'b': has no threshold"):
        select_shard(scored_of([[1.0]], ["b"]), 0, rule, thresholds)
