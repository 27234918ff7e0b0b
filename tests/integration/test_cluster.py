"""A running cluster of two nodes on this machine: what is checked before a run, and a node lost.

Each node is a raylet with processes of its own, as on two machines; only the disk is one.
"""

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from ray_cluster import nodes
from ray_cluster.cluster import check_cluster, connect
from tests.processes import children, err, finish, wait_for_scores, wait_until
from tests.scripts import run_script
from tests.workspaces import published
from tokensieve.errors import ResourceError, ServiceError, SettingsError
from tokensieve.settings import ClusterSettings
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.timeout(600)

SMALL_NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    """Yield a cluster of one node, the head; it has the token of this process."""
    made = Cluster(initialize_head=True, head_node_args=SMALL_NODE)
    yield made
    made.shutdown()


@pytest.fixture
def add_node(cluster):
    """Yield a function that adds a node to the cluster, which leaves with the test."""

    def add(**more):
        added.append(cluster.add_node(**SMALL_NODE, **more))
        return added[-1]

    added = []
    yield add
    for node in added:
        cluster.remove_node(node)


@pytest.fixture
def second_node(add_node):
    return add_node()


@pytest.fixture
def joined(cluster):
    """Return settings by which this process joins the cluster, and leave it after the test."""
    yield ClusterSettings(address=cluster.address, gpus_per_worker=0)
    ray.shutdown()
    connect.cache_clear()


def raylet(node) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def is_scoring(node) -> bool:
    return bool(children(raylet(node).pid, "ModelWorker.run"))


@pytest.mark.slow
def test_a_node_killed_in_the_middle_of_a_run_on_two_changes_nothing(
    cluster, second_node, command, undisturbed, tmp_path
):
    workspace = tmp_path / "w"
    process = command(workspace, "--ray-address", cluster.address)
    both = (cluster.head_node, second_node)
    wait_until(lambda: all(map(is_scoring, both)), process, err(workspace))
    wait_for_scores(workspace, 3, process)
    raylet(second_node).kill()
    finish(process, workspace)

    assert raylet(second_node).wait(timeout=30) == -signal.SIGKILL
    assert published(workspace) == undisturbed


def test_a_cluster_that_can_do_the_run_is_joined(second_node, joined, tmp_path):
    check_cluster(joined, LocalStorage(tmp_path / "w"), (str(tmp_path),))

    assert connect(joined).num_workers == 2
    assert connect(joined).cpus_per_worker == 1.0
    assert list((tmp_path / "w").iterdir()) == []


def test_more_gpus_than_a_node_has_are_refused_before_anything_starts(add_node, joined):
    add_node(num_gpus=1)
    settings = joined.model_copy(update={"gpus_per_worker": 2.0})

    with pytest.raises(ResourceError, match=r"to have 2 GPUs .* no node has more than 1"):
        connect(settings)


def test_a_node_with_another_version_of_a_package_is_refused(add_node, joined, tmp_path):
    """Its processes find the notes of another s3fs before those of the one that is installed."""
    notes = tmp_path / "s3fs-2020.1.dist-info" / "METADATA"
    notes.parent.mkdir()
    notes.write_text("Metadata-Version: 2.1\nName: s3fs\nVersion: 2020.1\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    node = add_node(env_vars={"PYTHONPATH": path})

    here = version("s3fs")
    differs = rf"node \S+ \({node.node_id[:8]}\): s3fs 2020.1, here {here}"
    with pytest.raises(SettingsError, match=differs):
        connect(joined)


def test_files_that_a_node_does_not_see_are_named(second_node, joined, tmp_path):
    missing = str(tmp_path / "missing")

    with pytest.raises(SettingsError, match=rf"node \S+ \(\w+\) does not see {missing};.*s3://"):
        check_cluster(joined, LocalStorage(tmp_path / "w"), (str(tmp_path), missing))


def test_a_node_that_does_not_answer_is_named(second_node, joined, monkeypatch):
    monkeypatch.setattr(nodes, "ANSWER_SECONDS", 5.0)
    stopped = raylet(second_node)
    stopped.suspend()

    with pytest.raises(ServiceError, match=r"node .* cannot work for us: nothing was heard in 5 s"):
        connect(joined)

    stopped.resume()


@pytest.mark.parametrize(
    ("token", "told"), [("another", "the one that was given is another"), (None, "none was given")]
)
def test_a_cluster_with_another_token_is_refused_in_one_line(cluster, tmp_path, token, told):
    environment = {key: value for key, value in os.environ.items() if key != "RAY_AUTH_TOKEN"}
    environment |= {"HOME": str(tmp_path)} | ({"RAY_AUTH_TOKEN": token} if token else {})
    script = (
        "from ray_cluster.cluster import connect\n"
        "from tokensieve.settings import ClusterSettings\n"
        f"connect(ClusterSettings(address={cluster.address!r}))"
    )

    ended = run_script(script, environment=environment)

    last_line = ended.stderr.strip().rpartition("\n")[2]
    assert last_line.startswith("tokensieve.errors.ServiceError: cluster.address: Ray at ")
    assert f"wants its token, and {told}. Give the cluster's token in RAY_AUTH_TOKEN" in last_line


def test_an_address_never_starts_a_cluster(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")

    for address in ("auto", "127.0.0.1:1"):
        with pytest.raises(ServiceError, match=r"does not answer: .*refused"):
            connect(ClusterSettings(address=address))

    assert not ray.is_initialized()


def test_a_process_stays_on_the_cluster_that_it_joined(joined):
    connect(joined)

    with pytest.raises(SettingsError, match=r"10\.0\.0\.1:6379 is not the cluster"):
        connect(ClusterSettings(address="10.0.0.1:6379"))


@pytest.fixture
def workspace_on_one_node(cluster, tmp_path):
    """Yield a workspace in whose place a second node has another, empty disk."""
    workspace = tmp_path / "w"
    workspace.mkdir()
    mount = f"mount -t tmpfs tmpfs {workspace} &&"
    if subprocess.run(["unshare", "--mount", "sh", "-c", f"{mount} true"], check=False).returncode:
        pytest.skip("may not mount a disk here")
    ray_command = Path(sys.executable).with_name("ray")
    node = f"exec {ray_command} start --address {cluster.address} --num-cpus 1 --block"
    before = alive(cluster)  # a node that has just left may be among them for a while
    with (tmp_path / "node.log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{mount} {node}"], stdout=log, stderr=log
        )
    wait_until(lambda: alive(cluster) - before, process, tmp_path / "node.log")
    yield workspace
    process.terminate()
    process.wait(timeout=60)


def alive(cluster) -> set[str]:
    return {node["NodeID"] for node in cluster.global_state.node_table() if node["Alive"]}


def test_a_workspace_that_a_node_does_not_see_is_refused(workspace_on_one_node, joined):
    with pytest.raises(SettingsError, match=rf"does not see the workspace {workspace_on_one_node}"):
        check_cluster(joined, LocalStorage(workspace_on_one_node), ())

    assert list(workspace_on_one_node.iterdir()) == []
