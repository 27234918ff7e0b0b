"""Several processes train a model through Ray Train: what is retried, what is told, what is not."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
import pytest
import ray
import torch
from ray.exceptions import RayActorError

from ray_cluster.cluster import connect
from ray_cluster.rank_training import RankTrainer, train_over_ranks
from ray_cluster.training_job import TrainingJob
from tests.tiny_models import build_tiny_model
from tests.tiny_training import tiny_step
from tokensieve.errors import InputError, ResourceError, ServiceError
from tokensieve.settings import ClusterSettings, TrainingSettings
from tokensieve.storage import LocalStorage

SETTINGS = TrainingSettings(
    tuning="full",
    precision="float32",
    epochs=60,  # some seconds, so that it can be watched
    step_samples=2,
    batch_tokens=4,
    checkpoint_minutes=0,
)
TORN = RuntimeError("Connection closed by peer")
ARROW_TYPES = ("tensor", "tensor_v2", "variable_shaped_tensor", "pickled_object")


@pytest.fixture(scope="module", autouse=True)
def without_arrow_types():
    """Take back what ray.train registers in the process of the tests: others open foreign files."""
    yield
    for name in ARROW_TYPES:
        with suppress(pa.ArrowKeyError):  # not every release has all of them
            pa.unregister_extension_type(f"ray.data.arrow_{name}")


@pytest.fixture
def job(tmp_path) -> TrainingJob:
    torch.set_num_threads(1)
    init = build_tiny_model(tmp_path / "init", hidden=16)
    step = tiny_step(LocalStorage(tmp_path / "workspace"), str(init), SETTINGS)
    storage = step.artifact.storage
    return TrainingJob(storage, step.artifact.id, step.init, SETTINGS, alone=True)


class FailingTrainer(RankTrainer):
    """Its trainings end with the given errors, one after the other, then well."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(2, {"CPU": 1.0}, False)
        self.errors, self.attempts = list(errors), 0

    def train(self, job: TrainingJob) -> None:
        self.attempts += 1
        self.count(40, "")
        if self.errors:
            raise self.errors.pop(0)


def failed(*failures: Exception) -> Exception:
    from ray.train import WorkerGroupError

    return WorkerGroupError("it ended", dict(enumerate(failures)))


def unwell() -> Exception:
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    return WorkerHealthCheckFailedError("rank 1 is gone", RayActorError())


@pytest.mark.parametrize(
    "lost", [lambda: failed(TORN, unwell()), lambda: failed(TORN), RayActorError]
)
def test_lost_processes_are_started_again_and_count_from_their_checkpoint(job, lost):
    trainer = FailingTrainer(lost(), lost())

    trainer.run(job)

    assert trainer.attempts == 3
    assert trainer.progress() == (40, "")


def test_processes_that_are_lost_every_time_end_the_training_with_its_name(job):
    trainer = FailingTrainer(*[failed(TORN, unwell())] * 3)

    with pytest.raises(ServiceError, match=f"models/{job.model}: its processes were lost 3 times"):
        trainer.run(job)

    assert trainer.attempts == 3


@pytest.mark.parametrize("error", [ResourceError("no memory"), KeyError("a bug")])
def test_what_a_process_raises_by_itself_is_not_tried_again(job, error):
    trainer = FailingTrainer(failed(TORN, error))

    with pytest.raises(type(error), match=error.args[0]):
        trainer.run(job)

    assert trainer.attempts == 1


@pytest.fixture(scope="module")
def cluster():
    yield connect(ClusterSettings(gpus_per_worker=0))
    ray.shutdown()
    connect.cache_clear()


def train(
    job: TrainingJob, cluster, on_tick: Callable[[int, str], None] = lambda units, note: None
) -> None:
    train_over_ranks([job], cluster, 2, False, on_tick)


@pytest.mark.slow
def test_two_processes_publish_the_model_and_tell_how_it_goes(job, cluster):
    heard = []

    train(job, cluster, lambda units, note: heard.append((units, note)))

    assert job.storage.names("models") == [job.model]
    assert (job.storage.root / "models" / job.model / "receipts" / "00000.json").exists()
    assert 0 < max(units for units, _ in heard) <= 60 * 11
    assert any(note.startswith("step ") for _, note in heard)
    assert not list(job.storage.root.glob(".tmp-*"))


@pytest.mark.slow
def test_an_error_of_ours_arrives_as_itself(job, cluster):
    changed = replace(job.init, fingerprint="of another model")

    with pytest.raises(InputError, match="the model changed since the run began"):
        train(replace(job, init=changed), cluster)


@pytest.mark.slow
def test_ctrl_c_ends_the_processes(job, cluster, monkeypatch):
    def interrupt(units: int, note: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ray_cluster.worker_pool.LAST_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(job, cluster, interrupt)

    train(job, cluster)  # nothing of the first training is in its way
