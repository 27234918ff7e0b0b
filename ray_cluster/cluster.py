"""Connect to Ray, and say how many workers fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ray_cluster.joining import join
from ray_cluster.nodes import check_reach, check_versions, live_nodes
from ray_cluster.shares import Share, rank_share, worker_share
from ray_cluster.worker_pool import WorkerPool
from tokensieve.settings import ClusterSettings
from tokensieve.storage import Storage


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
        num_workers = max(1, int(sum(node.cpus for node in live_nodes())))
        return WorkerPool(
            worker, args, num_workers, {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
        )

    def share_of_rank(self, num_ranks: int) -> Share:
        """Return what each of several processes reserves that train one model together."""
        return rank_share(live_nodes(), num_ranks, self.gpus_per_worker > 0)


@cache
def connect(settings: ClusterSettings) -> Cluster:
    """Return the cluster of these settings, started on this machine unless an address is given.

    One connection serves the whole process; a local cluster ends with it. Raises ServiceError if
    the address does not answer, ResourceError if the cluster cannot hold the workers, SettingsError
    if a node of it has other versions of packages than this process.
    """
    join(settings.address)
    nodes = live_nodes()
    share = worker_share(nodes, settings)
    if settings.ranks > 1:
        rank_share(nodes, settings.ranks, share.gpus > 0)
    if settings.address:
        check_versions(nodes)
    return Cluster(share.processes, share.cpus, share.gpus)


def check_cluster(settings: ClusterSettings, storage: Storage, paths: Sequence[str]) -> None:
    """Raise what is wrong with a cluster at an address, before a run begins: what `connect` raises,
    and SettingsError if a node does not see the workspace or a path of the settings.
    """
    if settings.address:
        connect(settings)
        check_reach(live_nodes(), storage, paths)


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


def _local_gpus() -> int:
    from torch.cuda import device_count  # heavy, and only asked when Ray is not running yet

    return device_count()
