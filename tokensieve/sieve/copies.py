"""A copy of samples of a corpus with planted noise, as a corpus of its own, shard by shard."""

import numpy as np
import pyarrow as pa

from tokensieve.artifact import Artifact, Commit
from tokensieve.corpus import list_array, read_shard
from tokensieve.sieve.planting import MAX_TOKENS, SHARE, plant, planted_share
from tokensieve.sieve.vocabulary import Vocabulary

LABELS = "labels"
"""The part of a planted corpus that says where its noise is."""
SEED = 0
"""Of which samples are copied and what is planted: always the same."""
PLANTING = {"share": SHARE, "max_tokens": MAX_TOKENS, "seed": SEED}
"""What decides which samples are copied, for the plan of a copy."""


def plant_artifact(planted: Artifact, corpus: Artifact) -> Commit:
    """Return the commit of the declared copy, made from a committed corpus.

    Each shard is the copy of some samples of that of the corpus, perhaps of none. Its part `labels`
    says which token is noise, and of which kind: 1 + its place in KINDS, 0 where the token is as it
    was.
    """
    commit = corpus.required_commit()
    table = corpus.read_table(commit.receipts[0], "vocabulary")
    vocabulary = Vocabulary.of(table["text"].to_pylist(), table["special"].to_pylist())
    share = planted_share(commit.totals["tokens"])
    for number in range(planted.num_shards):
        if planted.stated_receipt(number) is None:
            shard = read_shard(corpus, commit, number)
            copy, label_P = plant(shard, vocabulary, share, SEED)
            labels = pa.table({"label": list_array(copy.offsets_N1, label_P)})
            counts = {
                "samples": copy.num_samples,
                "tokens": len(copy.input_ids_T),
                "response_tokens": int(copy.response_T.sum()),
                "noise_tokens": int(np.count_nonzero(label_P)),
            }
            planted.publish(number, {"shards": copy.to_table(), LABELS: labels}, counts)
    return planted.commit()
