"""The sieve as a method: it learns from a planted copy, judges the corpus, and says why."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tokensieve.chat import Encoder
from tokensieve.corpus import Shard
from tokensieve.methods import Evidence, PlantedEvidence, Selector, Source, find_method
from tokensieve.noise.corpus import make_records
from tokensieve.noise.demo import build_tokenizer
from tokensieve.noise.encoding import encode_records
from tokensieve.settings import SelectionSettings
from tokensieve.sieve import KINDS, SIGNALS, Vocabulary, plant
from tokensieve.templates import load_template
from tokensieve.vocabulary import vocabulary_table

SURPRISE = 4.0


@pytest.fixture(scope="module")
def corpus() -> tuple[Shard, Vocabulary]:
    records = make_records(400, seed=0)
    tokenizer = build_tokenizer(records)
    encoder = Encoder(tokenizer, load_template("model", tokenizer), 512)
    table = vocabulary_table(tokenizer)
    texts, special = table["text"].to_pylist(), table["special"].to_pylist()
    return encode_records(records, encoder), Vocabulary.of(texts, special)


def evidence_of(shard: Shard, surprising_T: np.ndarray, seed: int) -> Evidence:
    """Return evidence of a reference that is surprised by some tokens."""
    usual_T = np.random.default_rng(seed).exponential(0.3, len(shard.input_ids_T))
    nll_T = np.where(shard.scorable_T, usual_T + SURPRISE * surprising_T, np.nan)
    return Evidence(shard, {"reference": {"nll": nll_T.astype(np.float32)}}, seed=0)


@pytest.fixture(scope="module")
def noisy(corpus):
    """Return a corpus of which every tenth sample is garbled here and there, and where."""
    shard, _ = corpus
    draw = np.random.default_rng(5)
    is_noise_T = shard.scorable_T & (draw.random(len(shard.input_ids_T)) < 0.5)
    sample_T = np.repeat(np.arange(shard.num_samples), shard.lengths_N)
    is_noise_T &= sample_T % 10 == 0
    ids_T = shard.input_ids_T.copy()
    ids_T[is_noise_T] = draw.choice(ids_T[shard.scorable_T], is_noise_T.sum())
    return replace(shard, input_ids_T=ids_T), is_noise_T


def selector_of(shard: Shard, is_noise_T: np.ndarray, vocabulary: Vocabulary, **parameters):
    evidence = evidence_of(shard, is_noise_T, seed=1)
    copy, label_P = plant(shard, vocabulary, 0.3, seed=0)
    planted = PlantedEvidence(evidence_of(copy, label_P > 0, seed=2), label_P)
    source = Source(
        lambda _: evidence,
        num_shards=1,
        planted=lambda: iter([planted]),
        vocabulary=lambda: vocabulary,
    )
    method = find_method("sieve", parameters)
    settings = SelectionSettings(method="sieve", keep=0.5)
    return Selector.of(method, settings, source), evidence


def test_what_looks_like_planted_noise_is_dropped_and_the_rest_kept(noisy, corpus):
    shard, is_noise_T = noisy
    selector, evidence = selector_of(shard, is_noise_T, corpus[1])

    decision = selector.decide(evidence)

    candidate_T = ~np.isnan(decision.score_T)
    dropped_T = candidate_T & (decision.weight_T == 0)
    assert (candidate_T == shard.scorable_T).all()
    assert dropped_T[is_noise_T].mean() > 0.6
    assert dropped_T[candidate_T & ~is_noise_T].mean() < 0.02
    noise_T = decision.attributes["noise"][candidate_T]
    assert noise_T == pytest.approx(-decision.score_T[candidate_T], rel=1e-6)


def test_every_dropped_token_has_a_kind_of_noise_and_a_signal(noisy, corpus):
    shard, is_noise_T = noisy
    selector, evidence = selector_of(shard, is_noise_T, corpus[1])

    decision = selector.decide(evidence)

    code_T = decision.reason_T[(decision.weight_T == 0) & ~np.isnan(decision.score_T)]
    told = {decision.reasons[code] for code in code_T}
    names = {f"{kind}: {signal.name}" for kind in KINDS for signal in SIGNALS}
    assert (code_T >= 0).all()
    assert told <= names
    assert max(told, key=[decision.reasons[code] for code in code_T].count).startswith("garbled: ")


def test_a_share_can_be_asked_for_instead(noisy, corpus):
    shard, is_noise_T = noisy
    selector, evidence = selector_of(shard, is_noise_T, corpus[1], rule="share")

    decision = selector.decide(evidence)

    assert decision.weight_T.sum() == shard.scorable_T.sum() // 2
    lowest = decision.score_T[decision.weight_T == 1].min()
    assert lowest >= np.nanmax(np.where(decision.weight_T == 0, decision.score_T, np.nan))


def test_the_rates_of_noise_go_on_record_as_plain_json(noisy, corpus):
    shard, is_noise_T = noisy
    selector, _ = selector_of(shard, is_noise_T, corpus[1])

    notes = json.loads(json.dumps(selector.notes))

    assert set(notes["rates"]) == set(KINDS)
    assert 0 < notes["rates"]["garbled"] < 0.2
