"""A corpus and scores drawn from a seed, shard by shard, published by the real protocol.

Like SFT data where it costs something: sample lengths are log-normal around 400 tokens, 60 % of the
tokens are response, token ids follow Zipf's law, losses are as hard to compress as real ones.

Shapes: N = samples of a shard, T = all their tokens one after another.
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from tokensieve.artifact import CODE_VERSION, Artifact
from tokensieve.corpus import Bools, Float32s, Int64s, Shard, scores_table
from tokensieve.ingest.quarantine import REJECTED_SCHEMA
from tokensieve.ingest.shard import ROWS_SCHEMA
from tokensieve.storage import LocalStorage
from tokensieve.vocabulary import VOCABULARY_SCHEMA

SHARD_TOKENS = 1_000_000
ROLES = ("base", "reference")
WORKERS = 2

_MEAN_LENGTH, _SIGMA = 400, 0.8
_RESPONSE_SHARE = 0.6
_MAX_TURNS = 3
_NUM_SOURCES = 20
_NUM_TOKENS = 128_000


def declared(workspace: Path, num_shards: int) -> tuple[Artifact, dict[str, Artifact]]:
    """Return the corpus and its scores by role, declared."""
    storage = LocalStorage(workspace)
    named = {"code": CODE_VERSION, "num_shards": num_shards}
    corpus = Artifact(storage, "corpora", {"kind": "corpora", **named})
    plan = {"kind": "scores", **named, "corpus": corpus.id, "columns": ["nll", "entropy"]}
    scores = {role: Artifact(storage, "scores", {**plan, "model": role}) for role in ROLES}
    for artifact in (corpus, *scores.values()):
        artifact.declare()
    return corpus, scores


def publish_shards(workspace: Path, num_shards: int) -> None:
    """Draw and publish every shard of corpus and scores; the driver's commits are left to do."""
    declared(workspace, num_shards)
    work = [(workspace, num_shards, shard) for shard in range(num_shards)]
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        list(pool.map(_publish_shard, work, chunksize=4))


def _publish_shard(work: tuple[Path, int, int]) -> None:
    workspace, num_shards, number = work
    corpus, scores = declared(workspace, num_shards)
    rng = np.random.default_rng(number)
    shard = drawn_shard(rng, number)
    num_response = int(shard.response_T.sum())
    counted = {"tokens": len(shard.input_ids_T), "response_tokens": num_response}
    tables = {"shards": shard.to_table(), "rows": _rows(shard), "rejected": _REJECTED}
    if number == 0:
        tables["vocabulary"] = _vocabulary()
    rows = {"rows": shard.num_samples, "scored": shard.num_samples, "quarantined": 0, "skipped": 0}
    corpus.publish(number, tables, counted | rows)
    wrong = {"non_finite_tokens": 0, "unscorable_tokens": 0, "scored_tokens": num_response}
    for role, columns in _drawn_scores(rng, shard.scorable_T).items():
        scores[role].publish(number, {"shards": scores_table(shard, columns)}, counted | wrong)


def drawn_shard(rng: np.random.Generator, number: int) -> Shard:
    """Return whole samples of at most SHARD_TOKENS together."""
    mean = np.log(_MEAN_LENGTH) - _SIGMA**2 / 2
    drawn = rng.lognormal(mean, _SIGMA, 2 * SHARD_TOKENS // _MEAN_LENGTH)
    lengths_N = drawn.clip(8, 8192).astype(np.int64)
    lengths_N = lengths_N[np.cumsum(lengths_N) <= SHARD_TOKENS]
    offsets_N1 = np.concatenate([[0], np.cumsum(lengths_N)])
    num_samples, num_tokens = len(lengths_N), int(offsets_N1[-1])
    response_T, turn_T = _conversations(rng, lengths_N, offsets_N1)
    sources = [f"source-{n}" for n in _zipf(rng, _NUM_SOURCES, num_samples).tolist()]
    return Shard(
        sample_ids=[f"{number:06x}-{n}" for n in range(num_samples)],
        sources=sources,
        offsets_N1=offsets_N1,
        input_ids_T=_zipf(rng, _NUM_TOKENS, num_tokens).astype(np.int32),
        response_T=response_T,
        turn_T=turn_T.astype(np.int16),
    )


def _conversations(
    rng: np.random.Generator, lengths_N: Int64s, offsets_N1: Int64s
) -> tuple[Bools, Int64s]:
    """Return response_T and turn_T of exchanges of equal length, each a question and an answer."""
    turns_N = rng.integers(1, _MAX_TURNS + 1, len(lengths_N))
    position_T = np.arange(offsets_N1[-1]) - np.repeat(offsets_N1[:-1], lengths_N)
    exchange_T = position_T * np.repeat(turns_N / lengths_N, lengths_N)
    turn_T = exchange_T.astype(np.int64)
    return exchange_T - turn_T >= 1 - _RESPONSE_SHARE, turn_T


def _zipf(rng: np.random.Generator, num_kinds: int, size: int) -> Int64s:
    """Return kinds from 0, the n-th about as often as 1 / n."""
    return (num_kinds ** rng.random(size)).astype(np.int64) - 1


def _drawn_scores(rng: np.random.Generator, scorable_T: Bools) -> dict[str, Mapping[str, Float32s]]:
    """Return the columns of each role: most influences near zero, with heavy tails."""
    num = len(scorable_T)
    base_T = rng.standard_exponential(num, np.float32) * rng.standard_exponential(num, np.float32)
    shift_T = rng.laplace(0.05, 0.4, num).astype(np.float32)
    reference_T = np.abs(base_T - shift_T)
    nll = dict(zip(ROLES, (base_T, reference_T), strict=True))
    return {
        role: {"nll": _known(nll_T, scorable_T), "entropy": _known(np.sqrt(nll_T), scorable_T)}
        for role, nll_T in nll.items()
    }


def _known(values_T: Float32s, scorable_T: Bools) -> Float32s:
    return np.where(scorable_T, values_T, np.float32(np.nan))


def _rows(shard: Shard) -> pa.Table:
    """Return where the samples come from, as ingest records it."""
    lines = range(1, shard.num_samples + 1)
    hashes = [hashlib.blake2b(id.encode(), digest_size=16).digest() for id in shard.sample_ids]
    short = [each[:8] for each in hashes]
    columns = [[0] * shard.num_samples, lines, hashes, short, short]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, ROWS_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=ROWS_SCHEMA)


def _vocabulary() -> pa.Table:
    ids = range(_NUM_TOKENS)
    texts = [f"token {id}" for id in ids]
    return pa.table([ids, texts, [False] * _NUM_TOKENS], schema=VOCABULARY_SCHEMA)


_REJECTED = pa.Table.from_pylist([], schema=REJECTED_SCHEMA)
