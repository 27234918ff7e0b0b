"""Train one model with several processes, through Ray Train.

Ray Train places the processes and starts torch.distributed; the loop is ours, and goes on from its
own checkpoint. Whether lost processes are started again is decided here.

ray.train is imported by the processes that train only. It brings Ray Data, which registers Arrow
types that are made from the metadata of whatever Parquet file their process opens; this process
opens files of others.
"""

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from ray_cluster.cluster import Cluster
from ray_cluster.model_worker import ModelWorker, check_unchanged
from ray_cluster.training_job import TrainingJob
from ray_cluster.worker_pool import MAX_ATTEMPTS, WorkerPool
from tokensieve.artifact import load_artifact
from tokensieve.errors import ServiceError, TokensieveError, shortened
from tokensieve.training import Place, Ranks, train_artifact


def train_over_ranks(
    jobs: Sequence[TrainingJob],
    cluster: Cluster,
    num_ranks: int,
    fsdp: bool,
    on_tick: Callable[[int, str], None],
) -> None:
    """Train and publish the jobs' models one after the other, each with `num_ranks` processes, on
    a GPU each if there are any. `on_tick` hears how far they are, as from `WorkerPool.run`.

    Warm workers end first: they hold what the processes need. Raises the error that a process
    raised, ServiceError if processes were lost too often, ResourceError if they do not fit.
    """
    share = cluster.share_of_rank(num_ranks)
    resources = {"CPU": share.cpus} | ({"GPU": share.gpus} if share.gpus else {})
    cluster.pool(ModelWorker, cluster.gpus_per_worker).rest()
    with WorkerPool(RankTrainer, (num_ranks, resources, fsdp), 1, {"num_cpus": 0}) as pool:
        pool.run(jobs, lambda nothing: None, on_tick)


class RankTrainer:
    """Has models trained by several processes, and starts them again if some are lost.

    Plain class: WorkerPool makes it a Ray actor. Whatever it starts ends with it.
    """

    def __init__(self, num_ranks: int, share: dict[str, float], fsdp: bool) -> None:
        """Start nothing yet. `share` is what each process reserves."""
        self._num_ranks = num_ranks
        self._share = share
        self._fsdp = fsdp
        self._tokens_done = 0
        self._note = ""

    def run(self, job: TrainingJob) -> None:
        """Train and publish the job's model."""
        from ray.train import TrainingFailedError

        tokens_before = self._tokens_done
        for _ in range(MAX_ATTEMPTS):
            self._tokens_done = tokens_before  # the next processes count from their checkpoint on
            try:
                return self.train(job)
            except (TrainingFailedError, RayError) as error:
                if (cause := _cause(error)) is not None:
                    raise cause from error
                why = shortened(str(error).strip().rpartition("\n")[2], 300)
        raise ServiceError(
            f"{job}: its processes were lost {MAX_ATTEMPTS} times ({why}). Look for memory or "
            "driver errors in Ray's logs; run the same command again to go on from here."
        )

    def train(self, job: TrainingJob) -> None:
        """Train with new processes until they have published the model, or one has failed."""
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        use_gpu = "GPU" in self._share
        place = {"num_gpus": float(use_gpu), "fsdp": self._fsdp}
        with job.storage.scratch() as scratch:
            TorchTrainer(
                _train_as_rank,
                train_loop_config={
                    "job": job,
                    "trainer": ray.get_runtime_context().current_actor,
                    **place,
                },
                torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
                scaling_config=ScalingConfig(
                    num_workers=self._num_ranks, use_gpu=use_gpu, resources_per_worker=self._share
                ),
                run_config=RunConfig(
                    name=job.model,
                    storage_path=str(scratch),  # Ray Train's own notes; nothing is kept there
                    failure_config=FailureConfig(max_failures=0),
                ),
            ).fit()

    def count(self, num_tokens: int, note: str) -> None:
        """Hear from the first process how it goes."""
        self._tokens_done += num_tokens
        self._note = note

    def progress(self) -> tuple[int, str]:
        """Return how many tokens were run through models, and a note on the last step."""
        return self._tokens_done, self._note


def _cause(error: Exception) -> Exception | None:
    """Return what a process raised by itself, ours first; None if processes were only lost.

    For a lost process Ray raises its own errors, and torch.distributed others in those that it
    worked with.
    """
    from ray.train.v2._internal.exceptions import RayTrainError

    lost = (RayError, RayTrainError, RuntimeError, ConnectionError)
    failures = getattr(error, "worker_failures", {}).values()
    ours = [failure for failure in failures if isinstance(failure, TokensieveError)]
    others = [failure for failure in failures if not isinstance(failure, lost)]
    return next(iter(ours + others), None)


def _train_as_rank(config: dict[str, Any]) -> None:
    """Do one process's part. Runs inside Ray Train."""
    from ray.train import get_context

    job: TrainingJob = config["job"]
    context = get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    place = Place(config["num_gpus"], ranks, config["fsdp"])

    def tell(num_tokens: int, note: str) -> None:
        if ranks.rank == 0:
            config["trainer"].count.remote(num_tokens, note)

    check_unchanged(job.init)
    model = load_artifact(job.storage, "models", job.model)
    train_artifact(model, job.init.path, job.settings, place, tell)
