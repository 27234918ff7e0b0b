"""Ask one model for answers to the prompts of a held-out corpus, and do lm-eval's tasks with it."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from ray_cluster.model_worker import ModelWorker, memory_returned
from ray_cluster.scoring_job import committed_corpus
from tokensieve.artifact import Receipt, load_artifact, summed
from tokensieve.corpus import read_shard
from tokensieve.evaluation import TASK_SCHEMA, answer_samples, lm_eval_results
from tokensieve.models import load_tokenizer
from tokensieve.planning import ModelSpec
from tokensieve.settings import EvaluationSettings
from tokensieve.storage import Storage
from tokensieve.timings import Timing


@dataclass(frozen=True)
class EvaluationJob:
    """One model to evaluate."""

    storage: Storage
    evaluation: str
    corpus: str
    model: ModelSpec
    settings: EvaluationSettings

    def __str__(self) -> str:
        """Return the job's name in messages."""
        return f"evaluations/{self.evaluation}"

    def run(self, worker: ModelWorker) -> Receipt:
        """Evaluate the model, publish what it said and return the receipt."""
        evaluation = load_artifact(self.storage, "evaluations", self.evaluation)
        finished = evaluation.receipt(0)
        if finished is not None:
            return finished
        began = time.monotonic()
        tables: dict[str, pa.Table] = {}
        counts: dict[str, int] = {}
        with memory_returned():
            if self.settings.answer_pattern is not None:
                tables["answers"], counts = self._answers(worker)
            if self.settings.tasks:
                tables["tasks"] = self._tasks(worker)
        receipt = evaluation.publish(0, tables, counts)
        seconds = round(time.monotonic() - began, 3)
        Timing(seconds=seconds, tokens=0).publish(evaluation)
        return receipt

    def _answers(self, worker: ModelWorker) -> tuple[pa.Table, dict[str, int]]:
        """Return the answers to all shards of the corpus, and what was counted."""
        corpus, commit = committed_corpus(self.storage, self.corpus)
        model, tokenizer = worker.scorer(self.model), load_tokenizer(self.model.path)
        answered = [
            answer_samples(
                model, tokenizer, read_shard(corpus, commit, shard), self.settings, worker.count
            )
            for shard in range(corpus.num_shards)
        ]
        tables = [table for table, _ in answered]
        return pa.concat_tables(tables), summed(counts for _, counts in answered)

    def _tasks(self, worker: ModelWorker) -> pa.Table:
        model, tokenizer = worker.scorer(self.model), load_tokenizer(self.model.path)
        results = lm_eval_results(model, tokenizer, self.settings)
        rows: list[dict[str, Any]] = [asdict(result) for result in results]
        return pa.Table.from_pylist(rows, schema=TASK_SCHEMA)
