"""Train one model with several processes, through Ray Train.

Ray Train places the processes, starts torch.distributed, and starts all of them again when one is
lost; the loop is ours, and goes on from its own checkpoint.
"""

from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, get_context
from ray.train.torch import TorchConfig, TorchTrainer

from ray_cluster.cluster import Cluster
from ray_cluster.model_worker import ModelWorker, check_unchanged
from ray_cluster.training_job import TrainingJob
from ray_cluster.worker_pool import MAX_ATTEMPTS
from tokensieve.artifact import load_artifact
from tokensieve.errors import ResourceError, ServiceError, TokensieveError, shortened
from tokensieve.training import Place, Ranks, train_artifact


def train_over_ranks(job: TrainingJob, cluster: Cluster, num_ranks: int, fsdp: bool) -> None:
    """Train and publish the job's model with `num_ranks` processes, on a GPU each if there are any.

    Warm workers end first: they hold what the processes need. Raises the error that a process
    raised, ServiceError if processes were lost too often, ResourceError if they do not fit.
    """
    on_gpu = cluster.gpus_per_worker > 0
    share = _share(num_ranks, on_gpu)
    cluster.pool(ModelWorker, cluster.gpus_per_worker).rest()
    with job.storage.scratch() as scratch:
        trainer = TorchTrainer(
            _train_as_rank,
            train_loop_config={"job": job, "num_gpus": float(on_gpu), "fsdp": fsdp},
            torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=num_ranks, use_gpu=on_gpu, resources_per_worker=share
            ),
            run_config=RunConfig(
                name=job.model,
                storage_path=str(scratch),  # Ray Train's own notes; nothing is kept there
                failure_config=FailureConfig(max_failures=MAX_ATTEMPTS - 1),
            ),
        )
        try:
            trainer.fit()
        except TrainingFailedError as error:
            raise _cause(job, error) from error


def _share(num_ranks: int, on_gpu: bool) -> dict[str, float]:
    """Return what one process reserves."""
    total = ray.cluster_resources()
    if not on_gpu:
        return {"CPU": total.get("CPU", 1.0) / num_ranks}
    if num_ranks > total["GPU"]:
        raise ResourceError(
            f"cluster.ranks: {num_ranks} processes need a GPU each, and the cluster has "
            f"{total['GPU']:g}. Lower it, or add GPUs."
        )
    return {"CPU": 0.1, "GPU": 1.0}


def _cause(job: TrainingJob, error: TrainingFailedError) -> TokensieveError:
    """Return the error of ours that a process raised, or else say that processes were lost."""
    failures = getattr(error, "worker_failures", {})
    for failure in failures.values():
        if isinstance(failure, TokensieveError):
            return failure
    return ServiceError(
        f"{job}: its processes were lost {MAX_ATTEMPTS} times ({shortened(str(error), 300)}). Look "
        "for memory or driver errors in Ray's logs; run the same command again to go on from here."
    )


def _train_as_rank(config: dict[str, Any]) -> None:
    """Do one process's part. Runs inside Ray Train."""
    job: TrainingJob = config["job"]
    context = get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    place = Place(config["num_gpus"], ranks, config["fsdp"])
    check_unchanged(job.init)
    model = load_artifact(job.storage, "models", job.model)
    train_artifact(model, job.init.path, job.settings, place, lambda tokens, note: None)
