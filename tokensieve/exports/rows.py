"""The samples of a selection as exports take them, one shard at a time.

Shapes: as in tokensieve/corpus.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokensieve.artifact import Artifact, Receipt
from tokensieve.corpus import Bools, Float32s, Int32s, Shard, read_shard, score_column
from tokensieve.selection import labels


@dataclass(frozen=True)
class Rows:
    """Samples with the weight of each of their tokens."""

    shard: Shard
    weight_T: Float32s

    @property
    def num_rows(self) -> int:
        """Return N."""
        return self.shard.num_samples

    @property
    def trained_T(self) -> Bools:
        """Return which tokens are trained on: those with a weight above 0."""
        return self.weight_T > 0

    @property
    def label_T(self) -> Int32s:
        """Return the labels of trainers that know no weights."""
        return labels(self.shard.input_ids_T, self.weight_T)

    def taken(self, keep_N: Bools) -> "Rows":
        """Return some of the samples, in their order."""
        shard = self.shard
        keep_T = np.repeat(keep_N, shard.lengths_N)
        kept = np.flatnonzero(keep_N)
        taken = Shard(
            sample_ids=[shard.sample_ids[n] for n in kept],
            offsets_N1=np.concatenate([[0], np.cumsum(shard.lengths_N[keep_N])]),
            input_ids_T=shard.input_ids_T[keep_T],
            sources=[shard.sources[n] for n in kept],
            response_T=shard.response_T[keep_T],
            turn_T=shard.turn_T[keep_T],
        )
        return Rows(taken, self.weight_T[keep_T])

    def with_any(self, chosen_T: Bools) -> "Rows":
        """Return the samples that have one of the tokens at least."""
        until_T1 = np.concatenate([[0], np.cumsum(chosen_T)])
        return self.taken(np.diff(until_T1[self.shard.offsets_N1]) > 0)

    @property
    def ends_T(self) -> Bools:
        """Return which tokens are the last one of an answer."""
        shard = self.shard
        goes_on_T = shard.response_T[:-1] & shard.response_T[1:]
        goes_on_T &= shard.turn_T[:-1] == shard.turn_T[1:]
        last = shard.offsets_N1[1:-1] - 1
        goes_on_T[last] = False
        ends_T = shard.response_T.copy()
        ends_T[:-1] &= ~goes_on_T
        return ends_T


def read_rows(selection: Artifact, corpus: Artifact, receipts: list[Receipt]) -> Iterator[Rows]:
    """Yield each shard of a committed selection, whole, verified against the receipts.

    Raises DamagedError for a file that is missing or altered.
    """
    commit = corpus.required_commit()
    for number, receipt in enumerate(receipts):
        shard = read_shard(corpus, commit, number)
        table = selection.read_table(receipt, "shards", columns=["sample_id", "weight"])
        yield Rows(shard, score_column(table, "weight", shard))


def row_counts(rows: Rows) -> dict[str, int]:
    """Return what is counted of samples: their tokens by what becomes of them in training.

    `fractional_tokens` weigh more than 0 and not 1, `unlearned_tokens` less than 0, and an answer
    is `ended` if its last token is trained on.
    """
    weight_T, ends_T = rows.weight_T, rows.ends_T
    return {
        "samples": rows.num_rows,
        "tokens": len(weight_T),
        "response_tokens": int(rows.shard.response_T.sum()),
        "trained_tokens": int(rows.trained_T.sum()),
        "fractional_tokens": int(np.count_nonzero(rows.trained_T & (weight_T != 1))),
        "unlearned_tokens": int(np.count_nonzero(weight_T < 0)),
        "answers": int(ends_T.sum()),
        "ended_answers": int((ends_T & rows.trained_T).sum()),
    }
