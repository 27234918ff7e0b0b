"""On any evidence, of every method: every response token is kept, unlearned, dropped or unscorable.

Whatever the scores are: none, equal, far apart, in samples of one candidate or of no answer.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.judging import selector_of
from tokensieve.corpus import Shard
from tokensieve.methods import METHODS, Evidence, Method
from tokensieve.selection import selection_tables
from tokensieve.settings import SelectionSettings

VOCABULARY = 12
EMBEDDINGS = np.random.default_rng(0).normal(size=(VOCABULARY, 4)).astype(np.float32)

FITTED_HERE = [method for method in METHODS.values() if not method.plants]
token = st.tuples(st.integers(0, VOCABULARY - 1), st.booleans(), st.integers(0, 1))
shards = st.lists(st.lists(st.lists(token, max_size=6), max_size=4), min_size=1, max_size=3)


def shard_of(samples: list[list[tuple[int, bool, int]]], number: int) -> Shard:
    lengths = [len(each) for each in samples]
    tokens = [each for sample in samples for each in sample]
    return Shard(
        sample_ids=[f"{number}-{n}" for n in range(len(samples))],
        sources=["ab"[n % 2] for n in range(len(samples))],
        offsets_N1=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        input_ids_T=np.array([id for id, _, _ in tokens], dtype=np.int32),
        response_T=np.array([response for _, response, _ in tokens], dtype=bool),
        turn_T=np.array([turn for _, _, turn in tokens], dtype=np.int16),
    )


def evidence_of(method: Method, shard: Shard, number: int, seed: int, spread: float) -> Evidence:
    """Return scores as wide as `spread`, some of them missing."""
    rng = np.random.default_rng([seed, number])
    scores = {}
    for role, names in method.columns.items():
        scores[role] = {
            name: (spread * rng.random(len(shard.input_ids_T))).astype(np.float32) for name in names
        }
        for values_T in scores[role].values():
            values_T[rng.random(len(values_T)) < 0.2] = np.nan
    return Evidence(shard, scores, seed, number)


@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("method", FITTED_HERE, ids=lambda method: method.name)
@given(
    samples=shards,
    seed=st.integers(0, 3),
    spread=st.sampled_from([0.0, 1.0, 900.0]),
    keep=st.sampled_from([0.01, 0.5, 0.6, 1.0]),
    scope=st.sampled_from([None, "dataset", "source", "sample"]),
)
def test_every_response_token_is_accounted_for_and_none_without_a_score_is_kept(
    method, samples, seed, spread, keep, scope
):
    evidence = [
        evidence_of(method, shard_of(each, number), number, seed, spread)
        for number, each in enumerate(samples)
    ]
    selector = selector_of(method, evidence, EMBEDDINGS, keep=keep, scope=scope, seed=seed)
    num_candidates = num_kept = 0
    for each in evidence:
        decision = selector.decide(each)
        missing_T = ~each.shard.scorable_T
        for columns in each.scores.values():
            for values_T in columns.values():
                missing_T |= np.isnan(values_T)
        assert np.isnan(decision.score_T).tolist() == missing_T.tolist()
        assert np.isfinite(decision.weight_T).all()
        assert not decision.weight_T[missing_T].any()
        for values_T in decision.attributes.values():
            assert values_T.dtype == np.float32
            assert np.isnan(values_T[missing_T]).all()
        _, counts = selection_tables(each.shard, decision, keep_empty=False)
        kinds = ("kept", "unlearned", "dropped", "unscorable")
        assert sum(counts[f"{kind}_tokens"] for kind in kinds) == each.shard.response_T.sum()
        num_candidates += int((~missing_T).sum())
        num_kept += counts["kept_tokens"]
        if decision.reason_T is not None:
            says_why_T = decision.reason_T >= 0
            assert (decision.reason_T < len(method.reasons)).all()
            assert (says_why_T | (decision.weight_T > 0) | missing_T).all()
    rule = method.rule(SelectionSettings(keep=keep, scope=scope))
    if rule.counts and rule.scope == "dataset":
        assert num_kept == rule.num_kept(np.array([num_candidates]))[0]
