"""A copy of samples of a corpus with planted noise, as a corpus of its own."""

import numpy as np
import pyarrow as pa

from tokensieve.artifact import Artifact, Commit
from tokensieve.corpus import Shard, list_array, read_shard
from tokensieve.evidence import LABELS
from tokensieve.sieve.planting import Vocabulary, chosen_samples, plant

SEED = 0
"""Of which samples are copied and what is planted: always the same."""


def plant_artifact(planted: Artifact, corpus: Artifact) -> Commit:
    """Return the commit of the declared copy, made from a committed corpus.

    Of its one shard the part `labels` says which token is noise, and of which kind: 1 + its place
    in `planting.KINDS`, 0 where the token is as it was.
    """
    if planted.stated_receipt(0) is None:
        commit = corpus.required_commit()
        share = planted.plan["num_tokens"] / max(1, commit.totals["tokens"])
        chosen = _chosen(corpus, commit, share)
        vocabulary = _vocabulary(corpus, commit)
        shard, label_T = plant(chosen, range(chosen.num_samples), vocabulary, SEED)
        labels = pa.table({"label": list_array(shard.offsets_N1, label_T)})
        counts = {
            "samples": shard.num_samples,
            "tokens": len(shard.input_ids_T),
            "response_tokens": int(shard.response_T.sum()),
            "noise_tokens": int(np.count_nonzero(label_T)),
        }
        planted.publish(0, {"shards": shard.to_table(), LABELS: labels}, counts)
    return planted.commit()


def _chosen(corpus: Artifact, commit: Commit, share: float) -> Shard:
    """Return about this share of the samples of all shards, as one shard."""
    tables = []
    for number in range(corpus.num_shards):
        shard = read_shard(corpus, commit, number)
        tables.append(shard.to_table().take(chosen_samples(shard, share, SEED)))
    return Shard.from_table(pa.concat_tables(tables))


def _vocabulary(corpus: Artifact, commit: Commit) -> Vocabulary:
    table = corpus.read_table(commit.receipts[0], "vocabulary")
    return Vocabulary.of(table["text"].to_pylist(), table["special"].to_pylist())
