"""A worker that scores shards with one model. Plain class: WorkerPool makes it a Ray actor."""

from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedModel

from tokensieve.artifact import Artifact, Commit, Receipt, load_artifact
from tokensieve.corpus import read_shard, scores_table
from tokensieve.errors import InputError
from tokensieve.models import load_model, model_fingerprint
from tokensieve.planning import ModelSpec
from tokensieve.scoring import score_shard
from tokensieve.settings import ScoringSettings
from tokensieve.storage import LocalStorage


@dataclass(frozen=True)
class ScoringJob:
    """One shard of a corpus to score. Names what to do; the tokens stay on disk."""

    storage: LocalStorage
    corpus: str
    scores: str
    model: ModelSpec
    settings: ScoringSettings
    shard: int

    def __str__(self) -> str:
        """Return the job's name in messages."""
        return f"scores/{self.scores}, shard {self.shard}"


class ScoringWorker:
    """Holds one model at a time and scores any number of shards with it."""

    def __init__(self, num_gpus: float) -> None:
        """Hold nothing yet."""
        self._num_gpus = num_gpus
        self._loaded: tuple[ModelSpec, PreTrainedModel] | None = None
        self._tokens_done = 0

    def run(self, job: ScoringJob) -> Receipt:
        """Score the job's shard, publish it and return its receipt; a finished shard is kept."""
        scores = load_artifact(job.storage, "scores", job.scores)
        finished = scores.receipt(job.shard)
        if finished is not None:
            return finished
        shard = read_shard(*_corpus(job.storage, job.corpus), job.shard)
        columns, counts = score_shard(self._model(job.model), shard, job.settings, self._count)
        return scores.publish(job.shard, {"shards": scores_table(shard, columns)}, counts)

    def progress(self) -> int:
        """Return how many tokens were run through models."""
        return self._tokens_done

    def _count(self, num_tokens: int) -> None:
        self._tokens_done += num_tokens

    def _model(self, spec: ModelSpec) -> PreTrainedModel:
        """Return the model, loaded and checked once; the one before is let go."""
        if self._loaded is None or self._loaded[0] != spec:
            self._loaded = None
            if model_fingerprint(spec.path) != spec.fingerprint:
                raise InputError(
                    f"{spec.path}: the model changed since the run began. Nothing was scored with "
                    "the new one; run the same command again to start over with it."
                )
            self._loaded = spec, load_model(spec.path, spec.dtype, self._num_gpus)
        return self._loaded[1]


@lru_cache(maxsize=1)  # its commit lists every shard: read it once, not once a shard
def _corpus(storage: LocalStorage, id: str) -> tuple[Artifact, Commit]:
    corpus = load_artifact(storage, "corpora", id)
    commit = corpus.committed()
    assert commit is not None, "a corpus is scored after its commit"
    return corpus, commit
