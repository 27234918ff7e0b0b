"""What workers and ranks reserve, on nodes small enough to count by hand."""

import pytest

from ray_cluster.shares import Node, Share, rank_share, worker_share
from tokensieve.errors import ResourceError
from tokensieve.settings import ClusterSettings


def nodes(*resources: tuple[float, float]) -> list[Node]:
    """Return a node for each (processors, GPUs)."""
    return [Node(f"n{n}", "10.0.0.1", *each) for n, each in enumerate(resources)]


@pytest.mark.parametrize(
    ("cpus", "workers", "share"),
    [
        ((2,), None, Share(2, 1.0, 0.0)),
        ((8,), None, Share(4, 2.0, 0.0)),
        ((8,), 3, Share(3, 2.0, 0.0)),
        ((8,), 1, Share(1, 8.0, 0.0)),
        ((2,), 3, Share(3, 0.5, 0.0)),
        ((1,), 6, Share(6, 0.1666, 0.0)),  # 6 x 0.1667, as Ray would round, is more than one
        ((1, 1), None, Share(2, 1.0, 0.0)),
        ((3, 3, 3), 4, Share(4, 1.0, 0.0)),  # 2 each would leave room for three
        ((0, 8), 2, Share(2, 4.0, 0.0)),
        ((7, 1), 2, Share(2, 3.0, 0.0)),
    ],
)
def test_processors_are_shared_so_that_all_workers_run_at_once(cpus, workers, share):
    settings = ClusterSettings(workers=workers)

    assert worker_share(nodes(*((each, 0) for each in cpus)), settings) == share


@pytest.mark.parametrize(
    ("gpus", "settings", "processes"),
    [
        ((4,), {}, 4),
        ((1, 1), {}, 2),
        ((2, 2), {"gpus_per_worker": 2}, 2),
        ((3, 3), {"gpus_per_worker": 2}, 2),  # the third GPUs of two nodes are no worker
        ((2,), {"gpus_per_worker": 0.5}, 4),
        ((2,), {"gpus_per_worker": 0.4}, 4),  # two on each GPU, none across
        ((8,), {"workers": 2}, 2),
    ],
)
def test_as_many_workers_as_the_gpus_of_each_node_hold(gpus, settings, processes):
    found = worker_share(nodes(*((4, each) for each in gpus)), ClusterSettings(**settings))

    assert found == Share(processes, 0.1, settings.get("gpus_per_worker", 1.0))


def test_a_worker_with_two_gpus_needs_a_node_with_two():
    with pytest.raises(ResourceError, match=r"to have 2 GPUs .* no node has more than 1"):
        worker_share(nodes((4, 1), (4, 1)), ClusterSettings(gpus_per_worker=2))


def test_more_workers_than_fit_are_refused_with_the_number_that_does():
    with pytest.raises(ResourceError, match=r"4 workers with 2 GPUs.*6 GPUs of 2 nodes.*to 2"):
        worker_share(nodes((4, 3), (4, 3)), ClusterSettings(workers=4, gpus_per_worker=2))


def test_gpus_of_a_node_without_processors_hold_no_worker():
    with pytest.raises(ResourceError, match=r"1 GPUs beside processors.*more than 0"):
        worker_share(nodes((0, 4)), ClusterSettings())


def test_a_cluster_without_processors_is_refused():
    with pytest.raises(ResourceError, match="no node has processors"):
        worker_share(nodes((0, 0)), ClusterSettings())


def test_ranks_take_a_gpu_each_or_their_part_of_the_processors():
    assert rank_share(nodes((4, 2), (4, 2)), 4, on_gpu=True) == Share(4, 0.1, 1.0)
    assert rank_share(nodes((4, 0), (4, 0)), 4, on_gpu=False) == Share(4, 2.0, 0.0)
    with pytest.raises(ResourceError, match="5 processes need a GPU each, and the cluster has 4"):
        rank_share(nodes((4, 2), (4, 2)), 5, on_gpu=True)
