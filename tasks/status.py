"""Tell from the artifacts what is done, running or interrupted, and check their hashes."""

import os
import socket
from collections.abc import Iterable

import psutil

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.errors import DamagedError, ServiceError
from tokensieve.runs import Attempt, FinishedRound, Run, all_runs, attempts
from tokensieve.storage import Storage
from tokensieve.verification import Verification

MAX_DAMAGES = 20
"""How many damaged files one message names."""
NUM_SHOWN = 12
"""How many runs are told of unless all are asked for."""

_EXPECTED = {"done": {"COMPLETED"}, "interrupted": {"FAILED", "CRASHED", "CANCELLED"}}
"""What Prefect may say of a run of this state without being out of date."""


def describe_runs(storage: Storage, num_shown: int | None = NUM_SHOWN) -> str:
    """Return a few lines for each of the runs last worked on: its state, how far each artifact is.

    `num_shown`: how many; None: all. The artifacts decide. If a Prefect server is configured, it is
    said where it disagrees with them, or that it does not answer.
    """
    runs = [(run, attempts(storage, run.name)) for run in all_runs(storage)]
    if not runs:
        return f"{storage}: no runs yet"
    runs.sort(key=lambda each: each[1][-1].started if each[1] else 0.0, reverse=True)
    shown = runs[:num_shown]
    states, problem = _prefect_states(tried[-1].flow_run for _, tried in shown if tried)
    lines = [line for run, tried in shown for line in _described(storage, run, tried, states)]
    if len(shown) < len(runs):
        lines.append(f"and {len(runs) - len(shown)} more, last worked on before: --all shows them")
    return "\n".join(lines + problem)


def verify_artifacts(storage: Storage) -> str:
    """Return what was checked: every document and every file of a shard, against its hash.

    Raises DamagedError naming the first files that are missing or altered.
    """
    found = Verification(storage)
    if found.damages:
        lines = [f"{storage}: damaged: {len(found.damages)}", *found.damages[:MAX_DAMAGES]]
        if len(found.damages) > MAX_DAMAGES:
            lines.append(f"and {len(found.damages) - MAX_DAMAGES} more")
        raise DamagedError("\n  ".join(lines))
    return f"{storage}: {found.num_files} files, {found.num_bytes:,} bytes: every hash is right"


def works_elsewhere(storage: Storage, run: Run) -> bool:
    """Return whether another process of this machine works on the run."""
    tried = attempts(storage, run.name)
    return any(is_alive(attempt) for attempt in tried if attempt.pid != os.getpid())


def _described(
    storage: Storage, run: Run, tried: list[Attempt], states: dict[str, str]
) -> list[str]:
    alive = [attempt.pid for attempt in tried if is_alive(attempt)]
    state, advice = _state(storage, run, tried, alive)
    seen = states.get(tried[-1].flow_run) if tried else None
    stale = seen is not None and not alive and seen not in _EXPECTED.get(state, {seen})
    remark = f" (Prefect says {seen}, which is stale)" if stale else ""
    return [f"{run.name}: {state}{advice}{remark}", *_progress_lines(storage, run)]


def _progress_lines(storage: Storage, run: Run) -> list[str]:
    """Return how far each artifact is; where there is more than one round, also how each ended."""
    if run.num_rounds == 1:
        made = [round.artifacts(storage) for round in run.planned_rounds(storage)]
        return [line for each in made for line in _artifact_lines(each)] or ["  not begun yet"]
    corpora = {
        f"corpus.{role}": load_artifact(storage, "corpora", id) for role, id in run.corpora.items()
    }
    return [*_artifact_lines(corpora), *_round_lines(storage, run), *_arm_lines(storage, run)]


def _round_lines(storage: Storage, run: Run) -> list[str]:
    if not run.num_rounds:
        return []
    finished = {each.round.round: each for each in run.finished_rounds(storage)}
    lines = [f"  {'rounds':<18} {len(finished)} of at most {run.num_rounds} done"]
    for round in run.planned_rounds(storage):
        lines.append(f"  round {round.round}: {_ending(finished.get(round.round))}")
        lines += [f"  {line}" for line in _artifact_lines(round.artifacts(storage))]
    return lines


def _arm_lines(storage: Storage, run: Run) -> list[str]:
    if not run.planned_arms:
        return []
    num_done = len(run.finished_arms(storage))
    return [f"  {'arms':<18} {num_done} of {len(run.planned_arms)} done"]


def _artifact_lines(artifacts: dict[str, Artifact]) -> list[str]:
    return [
        f"  {step:<18} {artifact.key:<32} {_progress(artifact)}"
        for step, artifact in artifacts.items()
    ]


def _ending(finished: FinishedRound | None) -> str:
    """Return how a round ended."""
    if finished is None:
        return "not done"
    if finished.outcome is None:
        return "done"
    verdict = "promoted" if finished.outcome.promoted else "rejected"
    return f"{verdict} ({finished.outcome.reason})"


def _state(storage: Storage, run: Run, tried: list[Attempt], alive: list[int]) -> tuple[str, str]:
    """Return the run's state in a word or two, and what more there is to say.

    A run may rest between rounds, each of which a schedule begins; within one it was interrupted.
    """
    if run.is_finished(storage):
        reason = run.stopped(storage)
        return "done", f"; stopped: {reason}" if reason else ""
    if alive:
        return "running", f" (process {alive[-1]})"
    if tried and tried[-1].host != socket.gethostname():
        return "not done", f"; last worked on by {tried[-1].host}"
    if 0 < len(run.finished_rounds(storage)) == len(run.planned_rounds(storage)):
        return "between rounds", "; the same command does the next"
    return "interrupted", "; run the same command again"


def _progress(artifact: Artifact) -> str:
    if artifact.committed() is not None:
        return "done"
    if artifact.num_shards == 1:
        return "not done"
    return f"{len(artifact.done_shards())} of {artifact.num_shards} shards"


def is_alive(attempt: Attempt) -> bool:
    """Return whether the attempt's process runs on this machine; a reused number does not count."""
    if attempt.host != socket.gethostname():
        return False
    try:
        began: float = psutil.Process(attempt.pid).create_time()
    except psutil.NoSuchProcess:
        return False
    return abs(began - attempt.started) < 1.0


def _prefect_states(flow_runs: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return what a configured Prefect server says, and the line to show if it does not answer."""
    from tasks.prefect_state import flow_run_states, is_configured

    if not is_configured():
        return {}, []
    try:
        return flow_run_states(flow_runs), []
    except ServiceError as error:
        return {}, [str(error)]
