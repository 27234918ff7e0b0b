"""What a worker holds, and when it gives memory back."""

from pathlib import Path

import pytest
import torch

from ray_cluster.model_worker import ModelWorker
from ray_cluster.scoring_job import ScoringJob
from ray_cluster.training_job import TrainingJob
from tests.tiny_models import build_tiny_model
from tests.tiny_training import tiny_step
from tokensieve.planning.steps import scoring_step
from tokensieve.settings import ScoringSettings, TrainingSettings
from tokensieve.storage import LocalStorage

SETTINGS = TrainingSettings(tuning="full", precision="float32")
SCORING = ScoringSettings(dtype="float32")


@pytest.fixture(scope="module")
def init(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("init"), hidden=16)


@pytest.fixture
def times(monkeypatch) -> list[None]:
    """One entry for each time that memory is given back."""
    times: list[None] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: times.append(None))
    return times


def test_memory_is_given_back_for_another_model_and_not_after_each_shard(init, tmp_path, times):
    worker = ModelWorker(0)
    step = tiny_step(LocalStorage(tmp_path), str(init), SETTINGS)
    scoring = scoring_step(step.corpus, "base", step.init, SCORING, step.cluster)
    scoring.artifact.declare()

    for shard in range(2):
        job = ScoringJob(
            storage=step.artifact.storage,
            corpus=step.corpus.id,
            scores=scoring.artifact.id,
            model=step.init,
            settings=SCORING,
            columns=scoring.columns,
            shard=shard,
        )
        worker.run(job)

    assert scoring.artifact.done_shards() == {0, 1}
    assert len(times) == 1  # when the model was loaded
    worker.let_go()
    assert len(times) == 2


def test_memory_is_given_back_before_and_after_a_training(init, tmp_path, times):
    step = tiny_step(LocalStorage(tmp_path), str(init), SETTINGS)

    ModelWorker(0).run(
        TrainingJob(step.artifact.storage, step.artifact.id, step.init, SETTINGS, alone=False)
    )

    assert step.artifact.done_shards() == {0}
    assert len(times) == 2
