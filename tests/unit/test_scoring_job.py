"""Scores of a shard as they are published: which columns, and the same bytes whenever made."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ray_cluster.model_worker import ModelWorker
from ray_cluster.scoring_job import ScoringJob
from tests.tiny_models import build_tiny_model
from tests.tiny_training import tiny_step
from tokensieve.artifact import Receipt
from tokensieve.corpus import read_shard, score_column
from tokensieve.planning import ScoringStep
from tokensieve.planning.steps import scoring_step
from tokensieve.scoring import COLUMNS
from tokensieve.settings import ScoringSettings, TrainingSettings
from tokensieve.storage import LocalStorage

SCORING = ScoringSettings(dtype="float32")
EVERYTHING = tuple(COLUMNS)


@pytest.fixture(scope="module")
def init(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("init"), hidden=16)


def scoring_of(workspace: Path, init: Path, columns: tuple[str, ...]) -> ScoringStep:
    """Return the declared scoring of a corpus of two shards."""
    training = tiny_step(LocalStorage(workspace), str(init), TrainingSettings(tuning="full"))
    step = scoring_step(training.corpus, "base", training.init, SCORING, training.cluster, columns)
    step.artifact.declare()
    return step


def score(step: ScoringStep, shard: int, worker: ModelWorker) -> Receipt:
    job = ScoringJob(
        storage=step.artifact.storage,
        corpus=step.corpus.id,
        scores=step.artifact.id,
        model=step.model,
        settings=step.settings,
        columns=step.columns,
        shard=shard,
    )
    receipt = worker.run(job)
    assert receipt == worker.run(job)  # the second time it is there
    return receipt


def test_every_column_is_published_along_the_tokens_of_the_corpus(init, tmp_path):
    step, worker = scoring_of(tmp_path, init, EVERYTHING), ModelWorker(0)
    table = step.artifact.read_table(score(step, 0, worker), "shards")
    assert table.column_names == ["sample_id", *COLUMNS]
    shard = read_shard(step.corpus, step.corpus.required_commit(), 0)
    for name in COLUMNS:
        finite_T = np.isfinite(score_column(table, name, shard))
        np.testing.assert_array_equal(finite_T, shard.scorable_T)


# methods.md 8.3.6
def test_another_worker_in_another_order_writes_the_same_bytes(init, tmp_path):
    first, second = (scoring_of(tmp_path / name, init, EVERYTHING) for name in ("one", "two"))
    worker = ModelWorker(0)
    expected = [score(first, shard, worker) for shard in (0, 1)]
    found = [score(second, shard, ModelWorker(0)) for shard in (1, 0)]
    assert [each.files for each in reversed(found)] == [each.files for each in expected]
