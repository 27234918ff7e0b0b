"""Ask every node of a running cluster what it has, before any work is given to it.

A worker may start on any of them. One with other packages would compute other numbers or fail in
the middle of a run; one that sees another disk would publish where nobody looks.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_cluster.shares import Node
from tokensieve.artifact import CODE_VERSION
from tokensieve.errors import ServiceError, SettingsError, TokensieveError, shortened
from tokensieve.storage import Storage
from tokensieve.storage.probing import answer_to, new_probe, removed_after

PACKAGES = (
    *("ray", "torch", "transformers", "tokenizers", "pyarrow", "numpy", "safetensors", "peft"),
    *("s3fs", "tokensieve"),
)
"""They decide the numbers, or how files are read and written."""
ANSWER_SECONDS = 180.0
"""How long a node may take to start a process and import us from a slow disk."""


def live_nodes() -> list[Node]:
    """Return the live nodes of the cluster that this process is on."""
    return [
        Node(
            id=node["NodeID"],
            address=node["NodeManagerAddress"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def check_versions(nodes: Sequence[Node]) -> None:
    """Raise SettingsError naming every package that a node has in another version than this
    process; ServiceError if a node does not answer.
    """
    here = installed_versions()
    differing = [
        f"node {node}: {package} {there[package]}, here {here[package]}"
        for node, there in ask_nodes(nodes, installed_versions)
        for package in here
        if there[package] != here[package]
    ]
    if differing:
        raise SettingsError(
            f"cluster.address: {'; '.join(differing)}. Install the same versions on every node, or "
            "start this command from a node's own environment."
        )


def check_reach(nodes: Sequence[Node], storage: Storage, paths: Sequence[str]) -> None:
    """Check that every node reads and writes the workspace that this process sees, and sees the
    files and directories at `paths`.

    Raises SettingsError naming what a node does not see, and what it raised if it cannot write.
    """
    storage.probe()
    key = new_probe()
    answers = [answer_to(key, node.id) for node in nodes]
    with removed_after(storage, [key, *answers]):
        storage.create(key, key.encode())
        unseen = [
            f"node {node} does not see {', '.join(missing)}"
            for node, missing in ask_nodes(nodes, _unseen, storage, key, tuple(paths))
            if missing
        ]
        if not unseen and not all(storage.exists(answer) for answer in answers):
            unseen = [f"what nodes write to {storage} is not seen here"]
    if unseen:
        raise SettingsError(
            f"cluster.address: {'; '.join(unseen)}. Give a workspace, files and models on a disk "
            "that all nodes share under the same path, or at s3://."
        )


def ask_nodes(
    nodes: Sequence[Node], question: Callable[..., Any], *args: Any
) -> list[tuple[Node, Any]]:
    """Return each node with what the question, a function of ours, returns on it.

    Raises what the question raises of ours; ServiceError if a node does not answer, or cannot
    import us.
    """
    asked = ray.remote(question)
    answers = []
    for node in nodes:
        pinned = NodeAffinitySchedulingStrategy(node.id, soft=False)
        options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": pinned}
        answers.append(asked.options(**options).remote(*args))
    ray.wait(answers, num_returns=len(answers), timeout=ANSWER_SECONDS)
    return [(node, _answer(node, answer)) for node, answer in zip(nodes, answers, strict=True)]


def installed_versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that matter and of the formats of ours.

    Without what follows a plus sign: torch for processors and torch for GPUs are one version.
    """
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    found |= {package: _version(package) for package in PACKAGES}
    return found | {"tokensieve.artifact.CODE_VERSION": str(CODE_VERSION)}


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "missing"


def _unseen(storage: Storage, key: str, paths: tuple[str, ...]) -> list[str]:
    """Return what is not seen on the node that runs this; answer in the workspace if it is seen."""
    if storage.read(key) != key.encode():
        return [f"the workspace {storage}"]
    node: str = ray.get_runtime_context().get_node_id()
    storage.create(answer_to(key, node), b"")
    return [path for path in paths if not Path(path).exists()]


def _answer(node: Node, answer: Any) -> Any:
    try:
        return ray.get(answer, timeout=1)
    except GetTimeoutError:
        why = f"nothing was heard in {ANSWER_SECONDS:g} s"
    except RayTaskError as error:
        if isinstance(error.cause, TokensieveError):
            raise type(error.cause)(f"node {node}: {error.cause}") from error
        why = shortened(str(error).strip().rpartition("\n")[2], 300)
    except RayError as error:
        why = shortened(str(error).strip().rpartition("\n")[2], 300)
    raise ServiceError(
        f"cluster.address: node {node} cannot work for us: {why}. Repair it or take it out of the "
        "cluster; every node needs tokensieve installed."
    )
