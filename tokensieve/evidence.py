"""Reading what a method looks at: a corpus and the scores of it, shard by shard, each verified."""

from collections.abc import Iterator, Mapping

import numpy as np

from tokensieve.artifact import Artifact, Commit
from tokensieve.corpus import Float32s, Shard, flat_array, read_shard, score_column
from tokensieve.methods.method import Evidence, PlantedEvidence
from tokensieve.sieve import Vocabulary
from tokensieve.sieve.copies import LABELS


class EvidenceReader:
    """Reads a corpus with the columns that a method needs of each role."""

    def __init__(
        self,
        corpus: Artifact,
        scores: Mapping[str, Artifact],
        columns: Mapping[str, tuple[str, ...]],
        seed: int,
    ) -> None:
        """Take the artifacts, all of them committed."""
        self._corpus = _with_commit(corpus)
        self._scores = {role: _with_commit(scores[role]) for role in columns}
        self._columns = columns
        self._seed = seed

    def read(self, number: int) -> Evidence:
        """Return a shard and what the models say of it."""
        shard = read_shard(*self._corpus, number)
        scores = {role: self._role(role, shard, number) for role in self._scores}
        return Evidence(shard, scores, self._seed, number)

    def planted(self) -> Iterator[PlantedEvidence]:
        """Yield the shards of a corpus with planted noise."""
        artifact, commit = self._corpus
        for number, receipt in enumerate(commit.receipts):
            labels = artifact.read_table(receipt, LABELS, columns=["label"])
            label_T = flat_array(labels["label"])[1].astype(np.int8)
            yield PlantedEvidence(self.read(number), label_T)

    def vocabulary(self) -> Vocabulary:
        """Return what the tokens of the corpus are."""
        artifact, commit = self._corpus
        table = artifact.read_table(commit.receipts[0], "vocabulary")
        return Vocabulary.of(table["text"].to_pylist(), table["special"].to_pylist())

    def _role(self, role: str, shard: Shard, number: int) -> dict[str, Float32s]:
        artifact, commit = self._scores[role]
        names = self._columns[role]
        table = artifact.read_table(
            commit.receipts[number], "shards", columns=["sample_id", *names]
        )
        return {name: score_column(table, name, shard) for name in names}


def _with_commit(artifact: Artifact) -> tuple[Artifact, Commit]:
    return artifact, artifact.required_commit()
