"""How many workers fit on the nodes of a cluster, and what each of them reserves.

Plain arithmetic. A worker is on one node, so what counts is what fits on each node, not the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tokensieve.errors import ResourceError
from tokensieve.settings import ClusterSettings

MAX_CPU_WORKERS = 4
"""Without a GPU, several workers with few threads beat one with many; each holds a model."""
_GPU_WORKER_CPUS = 0.1
_RESOLUTION = 10_000
"""Ray counts processors in parts of this size, and rounds."""


@dataclass(frozen=True)
class Node:
    """One live machine of the cluster."""

    id: str
    address: str
    cpus: float
    gpus: float

    def __str__(self) -> str:
        """Return the node as Ray's logs and its dashboard name it."""
        return f"{self.address} ({self.id[:8]})"


@dataclass(frozen=True)
class Share:
    """What one process of ours reserves, and how many such processes run at a time."""

    processes: int
    cpus: float
    gpus: float


def worker_share(nodes: Sequence[Node], settings: ClusterSettings) -> Share:
    """Return the share of one worker that holds a model; raise ResourceError if they do not fit."""
    any_gpu = any(node.gpus for node in nodes)
    gpus = float(any_gpu) if settings.gpus_per_worker is None else settings.gpus_per_worker
    if not gpus:
        cpus = _whole_cpus(nodes)
        workers = settings.workers or min(MAX_CPU_WORKERS, sum(cpus))
        return Share(workers, _cpus_each(cpus, workers), 0.0)
    return Share(_gpu_workers(nodes, gpus, settings.workers), _GPU_WORKER_CPUS, gpus)


def rank_share(nodes: Sequence[Node], num_ranks: int, on_gpu: bool) -> Share:
    """Return the share of each process that trains one model with others, on a GPU each if there
    are any; raise ResourceError if they do not fit.
    """
    if not on_gpu:
        return Share(num_ranks, _cpus_each(_whole_cpus(nodes), num_ranks), 0.0)
    fitting = sum(int(each) for each in _usable_gpus(nodes))
    if num_ranks > fitting:
        raise ResourceError(
            f"cluster.ranks: {num_ranks} processes need a GPU each, and the cluster has {fitting}. "
            "Lower it, or add GPUs."
        )
    return Share(num_ranks, _GPU_WORKER_CPUS, 1.0)


def _gpu_workers(nodes: Sequence[Node], gpus: float, wanted: int | None) -> int:
    """Return how many workers there are with so many GPUs each."""
    gpus_of_nodes = _usable_gpus(nodes)
    fitting = sum(_fitting(each, gpus) for each in gpus_of_nodes)
    if not fitting:
        most = max(gpus_of_nodes, default=0.0)
        raise ResourceError(
            f"cluster: a worker is to have {gpus:g} GPUs beside processors, and no node has more "
            f"than {most:g}. Lower gpus_per_worker (0 runs on the processor) or add GPUs."
        )
    if wanted is not None and wanted > fitting:
        raise ResourceError(
            f"cluster: {wanted} workers with {gpus:g} GPUs each do not fit on "
            f"{sum(gpus_of_nodes):g} GPUs of {len(nodes)} nodes. Set workers to {fitting}, or "
            "lower gpus_per_worker."
        )
    return wanted or fitting


def _fitting(node_gpus: float, gpus: float) -> int:
    """Return how many workers fit on a node. A fraction is of one GPU and never of two."""
    return int(node_gpus // gpus) if gpus >= 1 else int(node_gpus) * int(1 / gpus)


def _usable_gpus(nodes: Sequence[Node]) -> list[float]:
    """Return the GPUs of each node that has processors too."""
    return [node.gpus for node in nodes if node.cpus >= _GPU_WORKER_CPUS]


def _whole_cpus(nodes: Sequence[Node]) -> list[int]:
    """Return the whole processors of each node that has any; raise ResourceError if none has."""
    found = [int(node.cpus) for node in nodes if node.cpus >= 1]
    if not found:
        raise ResourceError("cluster: no node has processors for our work. Add some.")
    return found


def _cpus_each(cpus_of_nodes: Sequence[int], processes: int) -> float:
    """Return the most processors that each process can have if all run at once."""
    for cpus in range(max(cpus_of_nodes), 0, -1):
        if sum(node // cpus for node in cpus_of_nodes) >= processes:
            return float(cpus)
    sharing = -(-processes // sum(cpus_of_nodes))
    return _RESOLUTION // sharing / _RESOLUTION
