"""Connect to Ray, and say how many workers fit."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from typing import Any

import ray
from ray._private import ray_constants

from ray_cluster.worker_pool import WorkerPool
from tokensieve.errors import ResourceError, ServiceError
from tokensieve.settings import ClusterSettings

MAX_CPU_WORKERS = 4
"""Without a GPU, several workers with few threads beat one with many; each holds a model."""
_CONNECT_SECONDS = 5.0
_OBJECT_STORE_BYTES = 128 * 2**20  # only receipts pass through it


@dataclass(frozen=True)
class Cluster:
    """A connected Ray cluster and the share of it that one scoring worker gets."""

    num_workers: int
    cpus_per_worker: float
    gpus_per_worker: float

    def pool(self, worker: type, *args: Any) -> WorkerPool:
        """Return the pool of scoring workers of this cluster; the same one while it lives."""
        return _pool(self, worker, args)

    def cpu_pool(self, worker: type, *args: Any) -> WorkerPool:
        """Return a new pool with one worker for each processor, to be used in a `with` block.

        They reserve nothing, so that scoring workers that stay warm are not in their way.
        """
        num_workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        return WorkerPool(
            worker, args, num_workers, {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
        )


@cache
def connect(settings: ClusterSettings) -> Cluster:
    """Return the cluster of these settings, started on this machine unless an address is given.

    One connection serves the whole process; a local cluster ends with it. Raises ServiceError if
    the address does not answer, ResourceError if the cluster cannot hold the workers.
    """
    if not ray.is_initialized():
        _start(settings.address)
    total = ray.cluster_resources()
    num_gpus, num_cpus = total.get("GPU", 0.0), max(1.0, total.get("CPU", 1.0))
    gpus = float(num_gpus > 0) if settings.gpus_per_worker is None else settings.gpus_per_worker
    if gpus > num_gpus:
        raise ResourceError(
            f"cluster: a worker is to have {gpus:g} GPUs, and the cluster has {num_gpus:g}. "
            "Lower gpus_per_worker (0 runs on the processor) or add GPUs."
        )
    fitting = int(num_gpus / gpus) if gpus else min(MAX_CPU_WORKERS, int(num_cpus))
    workers = settings.workers or fitting
    if gpus and workers > fitting:
        raise ResourceError(
            f"cluster: {workers} workers with {gpus:g} GPUs each do not fit on {num_gpus:g} GPUs. "
            f"Set workers to {fitting}, or lower gpus_per_worker."
        )
    cpus = num_cpus // workers if workers <= num_cpus else num_cpus / workers
    return Cluster(workers, 0.1 if gpus else cpus, gpus)


def uses_gpu(settings: ClusterSettings) -> bool:
    """Return whether workers of these settings score on GPUs."""
    if settings.gpus_per_worker is not None:
        return settings.gpus_per_worker > 0
    if settings.address:
        return connect(settings).gpus_per_worker > 0
    return _local_gpus() > 0


@cache
def _pool(cluster: Cluster, worker: type, args: tuple[Any, ...]) -> WorkerPool:
    share = {"num_cpus": cluster.cpus_per_worker, "num_gpus": cluster.gpus_per_worker}
    return WorkerPool(worker, args, cluster.num_workers, share)


def _start(address: str | None) -> None:
    try:
        if address:
            _check_listening(address)
            ray.init(address=address, log_to_driver=False, logging_level="error")
        else:
            _start_on_loopback()
    except (OSError, RuntimeError, ValueError) as error:
        raise ServiceError(
            f"Ray at {address or 'this machine'} does not answer: {str(error).splitlines()[0]}. "
            "Check the address and RAY_AUTH_TOKEN."
        ) from error


def _check_listening(address: str) -> None:
    """Raise ConnectionError if nobody listens there: Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
            return


def _start_on_loopback() -> None:
    """Start a cluster that nobody outside this machine can reach.

    Ray takes 127.0.0.1 for "any address" unless its switch for Windows and macOS says that there is
    no cluster beyond this machine; the switch is read from both places.
    """
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray.init(
        address="local",
        num_cpus=len(os.sched_getaffinity(0)),  # those this process may use
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _node_ip_address="127.0.0.1",
    )


def _local_gpus() -> int:
    from torch.cuda import device_count  # heavy, and only asked when Ray is not running yet

    return device_count()
