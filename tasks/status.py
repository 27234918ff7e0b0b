"""Tell from the artifacts what is done, running or interrupted, and check their hashes."""

import socket

import psutil

from tokensieve.artifact import KINDS, Artifact, load_artifact
from tokensieve.runs import Attempt, Run, all_runs, attempts
from tokensieve.storage import LocalStorage


def describe_runs(storage: LocalStorage) -> str:
    """Return a few lines per run: its state, and how far each of its artifacts is."""
    runs = all_runs(storage)
    if not runs:
        return f"{storage.root}: no runs yet"
    return "\n".join(line for run in runs for line in _described(storage, run))


def verify_artifacts(storage: LocalStorage) -> str:
    """Return what was checked: every file of every receipt against its hash.

    Raises DamagedError naming the first file that is missing or altered.
    """
    num_files = num_bytes = 0
    for artifact in _all_artifacts(storage):
        for shard in sorted(artifact.done_shards()):
            files = artifact.required_receipt(shard).files.values()
            num_files += len(files)
            num_bytes += sum(file.num_bytes for file in files)
        artifact.committed()
    return f"{storage.root}: {num_files} files, {num_bytes:,} bytes: every hash is right"


def _described(storage: LocalStorage, run: Run) -> list[str]:
    lines = [f"{run.name}: {_state(storage, run)}"]
    for round in run.rounds:
        for step, artifact in round.artifacts(storage).items():
            lines.append(f"  {step:<18} {artifact.key:<32} {_progress(artifact)}")
    return lines


def _state(storage: LocalStorage, run: Run) -> str:
    tried = attempts(storage, run.name)
    alive = [attempt for attempt in tried if _is_alive(attempt)]
    if len(run.finished_rounds(storage)) == len(run.rounds):
        return "done" + _prefect_disagrees(tried, {"COMPLETED"})
    if alive:
        return f"running (process {alive[-1].pid})"
    if tried and tried[-1].host != socket.gethostname():
        return f"not done; last worked on by {tried[-1].host}"
    return "interrupted; run the same command again" + _prefect_disagrees(
        tried, {"FAILED", "CRASHED", "CANCELLED"}
    )


def _progress(artifact: Artifact) -> str:
    if artifact.committed() is not None:
        return "done"
    return f"{len(artifact.done_shards())} of {artifact.num_shards} shards"


def _is_alive(attempt: Attempt) -> bool:
    """Return whether the attempt's process runs on this machine; a reused number does not count."""
    if attempt.host != socket.gethostname() or not psutil.pid_exists(attempt.pid):
        return False
    began: float = psutil.Process(attempt.pid).create_time()
    return abs(began - attempt.started) < 1.0


def _prefect_disagrees(tried: list[Attempt], expected: set[str]) -> str:
    """Return a remark if a configured Prefect server shows the last attempt otherwise."""
    from prefect.settings import PREFECT_API_URL

    if not tried or not PREFECT_API_URL.value():
        return ""
    from tasks.prefect_state import flow_run_state

    state = flow_run_state(tried[-1].flow_run)
    return "" if state in expected else f" (Prefect says {state}, which is stale)"


def _all_artifacts(storage: LocalStorage) -> list[Artifact]:
    return [load_artifact(storage, kind, id) for kind in KINDS for id in storage.names(kind)]
