"""Score one shard of a corpus with one model."""

from dataclasses import dataclass
from functools import lru_cache

from ray_cluster.model_worker import ModelWorker
from tokensieve.artifact import Artifact, Commit, Receipt, load_artifact
from tokensieve.corpus import read_shard, scores_table
from tokensieve.planning import ModelSpec
from tokensieve.scoring import score_shard
from tokensieve.settings import ScoringSettings
from tokensieve.storage import Storage


@dataclass(frozen=True)
class ScoringJob:
    """One shard of a corpus to score. Names what to do; the tokens stay on disk."""

    storage: Storage
    corpus: str
    scores: str
    model: ModelSpec
    settings: ScoringSettings
    columns: tuple[str, ...]
    shard: int

    def __str__(self) -> str:
        """Return the job's name in messages."""
        return f"scores/{self.scores}, shard {self.shard}"

    def run(self, worker: ModelWorker) -> Receipt:
        """Score the shard, publish it and return its receipt; a finished shard is kept."""
        scores = load_artifact(self.storage, "scores", self.scores)
        finished = scores.receipt(self.shard)
        if finished is not None:
            return finished
        shard = read_shard(*committed_corpus(self.storage, self.corpus), self.shard)
        model = worker.scorer(self.model)
        columns, counts = score_shard(model, shard, self.settings, self.columns, worker.count)
        return scores.publish(self.shard, {"shards": scores_table(shard, columns)}, counts)


@lru_cache(maxsize=1)  # its commit lists every shard: read it once, not once a shard
def committed_corpus(storage: Storage, id: str) -> tuple[Artifact, Commit]:
    """Return a corpus that is known to be finished, and its commit."""
    corpus = load_artifact(storage, "corpora", id)
    return corpus, corpus.required_commit()
