"""Harmful data that grows by the samples of a drop in which the most harmful tokens stand.

TOSS-Pro (arXiv 2603.01185): the k samples of the highest-scoring tokens join what the harmful model
is trained on. The score is that of TOSS: reference nll - harmful nll, in nats, high where harmful.

Shapes: N = samples of a shard, T = all their tokens one after another.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tokensieve.artifact import CODE_VERSION, Artifact, Commit
from tokensieve.corpus import CORPUS_SCHEMA, Float64s, Samples, Shard, read_shard
from tokensieve.evidence import EvidenceReader
from tokensieve.methods import Evidence
from tokensieve.methods.toss import TOSS
from tokensieve.methods.within_samples import SampleOrder

PICKED = "picked"
"""The part of a grown corpus that says which samples were added last."""
PICKED_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
"""`sample_id` is that of the drop; `score` is the highest of the sample, in nats."""


class Pick(NamedTuple):
    """A sample that is added. The smaller of two comes first: by score, then as the files have it.

    Without duplicates `row` is that of the shard's samples as `read_shard` returns them.
    """

    negative_score: float
    shard: int
    row: int


@dataclass(frozen=True)
class Growth:
    """One step of growth: a corpus, and what is added to it."""

    artifact: Artifact
    former: Artifact
    """The corpus as it was."""
    drop: Artifact
    scores: Mapping[str, Artifact]
    """Of the drop, by role: `reference` and `harmful`."""
    num_added: int
    """Samples to add; fewer if the drop has no more."""


def growth_of(
    former: Artifact, drop: Artifact, scores: Mapping[str, Artifact], num_added: int
) -> Growth:
    """Return how a corpus grows by samples of a drop. It has a shard more; nothing is read."""
    used = {role: scores[role] for role in TOSS.roles}
    plan = {
        "kind": "corpora",
        "code": CODE_VERSION,
        "num_shards": former.num_shards + 1,
        "tokenizer": former.plan["tokenizer"],
        "grown_from": former.id,
        "drop": drop.id,
        "scores": {role: artifact.id for role, artifact in used.items()},
        "num_added": num_added,
    }
    return Growth(Artifact(former.storage, "corpora", plan), former, drop, used, num_added)


def grow_corpus(growth: Growth) -> Commit:
    """Return the commit of the grown corpus, made of committed artifacts unless it is there.

    Its last shard holds what is added; the ids in it begin with that of the drop, because both
    corpora may have given the same.
    """
    grown = growth.artifact
    finished = grown.committed()
    if finished is not None:
        return finished
    grown.declare()
    former = growth.former.required_commit()
    for number in range(growth.former.num_shards):
        if grown.stated_receipt(number) is None:
            shard = read_shard(growth.former, former, number)
            grown.publish(number, {"shards": shard.to_table()}, _counts(shard, num_picked=0))
    if grown.stated_receipt(growth.former.num_shards) is None:
        _add(growth, pick_samples(growth))
    return grown.commit()


def pick_samples(growth: Growth) -> list[Pick]:
    """Return the samples to add, in the order of the drop: those with the highest-scoring token.

    Of equal ones the earlier counts. A sample whose very tokens the corpus has, added before or
    harmful from the start, does not count again, nor one that no token of has a score.
    """
    known = _known(growth)
    reader = EvidenceReader(growth.drop, growth.scores, TOSS.columns, seed=0)
    best: dict[bytes, Pick] = {}
    for number in range(growth.drop.num_shards):
        evidence = reader.read(number)
        for digest, pick in _candidates(evidence):
            if digest not in known:
                best[digest] = min(best.get(digest, pick), pick)
        best = dict(sorted(best.items(), key=lambda each: each[1])[: growth.num_added])
    return sorted(best.values(), key=lambda pick: (pick.shard, pick.row))


def picked_scores(grown: Artifact) -> list[float]:
    """Return the highest score of each sample that was added last to a committed corpus."""
    receipt = grown.required_commit().receipts[-1]
    scores: list[float] = grown.read_table(receipt, PICKED)["score"].to_pylist()
    return scores


def _candidates(evidence: Evidence) -> Iterator[tuple[bytes, Pick]]:
    """Yield the samples of a shard of which a token has a score."""
    highest_N = _highest(evidence)
    digests = _digests(evidence.shard)
    for row, (digest, score) in enumerate(zip(digests, highest_N.tolist(), strict=True)):
        if not np.isnan(score):
            yield digest, Pick(-score, evidence.number, row)


def _highest(evidence: Evidence) -> Float64s:
    """Return the score of each sample's most harmful token; NaN if none has one."""
    order = SampleOrder(TOSS.judged(evidence).score_T, evidence.shard.offsets_N1)
    return order.at(order.count_N - 1)


def _digests(samples: Samples) -> Iterator[bytes]:
    """Yield a hash of each sample's tokens."""
    for bounds in samples.slices():
        yield hashlib.blake2b(samples.input_ids_T[bounds].tobytes(), digest_size=16).digest()


def _known(growth: Growth) -> set[bytes]:
    """Return the hashes of what the corpus has already."""
    former, commit = growth.former, growth.former.required_commit()
    shards = (read_shard(former, commit, number) for number in range(former.num_shards))
    return {digest for shard in shards for digest in _digests(shard)}


def _add(growth: Growth, picks: list[Pick]) -> None:
    """Publish the last shard."""
    table = _picked_table(growth, picks)
    ids = table["sample_id"].to_pylist()
    scores = [-pick.negative_score for pick in picks]
    columns = [pa.array(ids, pa.string()), pa.array(scores, pa.float64())]
    picked = pa.Table.from_arrays(columns, schema=PICKED_SCHEMA)
    unique = pa.array([f"{growth.drop.id}/{id}" for id in ids], pa.string())
    table = table.set_column(0, CORPUS_SCHEMA.field("sample_id"), unique)
    counts = _counts(Shard.from_table(table), num_picked=len(picks))
    growth.artifact.publish(growth.former.num_shards, {"shards": table, PICKED: picked}, counts)


def _picked_table(growth: Growth, picks: list[Pick]) -> pa.Table:
    """Return the samples as the drop has them, one of its shards in memory at a time."""
    commit, tables = growth.drop.required_commit(), [CORPUS_SCHEMA.empty_table()]
    for number, group in groupby(picks, key=lambda pick: pick.shard):
        rows = pa.array([pick.row for pick in group], pa.int64())
        tables.append(read_shard(growth.drop, commit, number).to_table().take(rows))
    return pa.concat_tables(tables)


def _counts(shard: Shard, num_picked: int) -> dict[str, int]:
    return {
        "rows": shard.num_samples,
        "scored": shard.num_samples,
        "quarantined": 0,
        "skipped": 0,
        "tokens": len(shard.input_ids_T),
        "response_tokens": int(shard.response_T.sum()),
        "picked": num_picked,
    }
