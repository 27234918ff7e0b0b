"""Record who works on a run, and that one of its rounds is finished."""

import os
import socket

import psutil
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.runtime import flow_run

from sql.index import update_index
from tokensieve.runs import Attempt, Outcome, Round, Run
from tokensieve.storage import Storage


@task(name="begin-attempt", task_run_name="begin-attempt", cache_policy=NO_CACHE)
def begin_attempt(storage: Storage, run: Run) -> None:
    """Record this process, so that status can tell a running run from an interrupted one."""
    attempt = Attempt(
        flow_run=str(flow_run.id),
        host=socket.gethostname(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
    )
    attempt.publish(storage, run.name)


@task(name="record-round", task_run_name="record-round", cache_policy=NO_CACHE)
def record_round(storage: Storage, run: Run, round: Round, outcome: Outcome | None = None) -> None:
    """Create the round's document: everything it names is committed. Then bring the index up.

    Prefect is told each time, also of a round that was found finished: what waits for the event
    missed it if the process was killed here before.
    """
    run.finish_round(storage, round, outcome)
    update_index(storage)
    emit_event(
        "tokensieve.round.finished",
        resource={"prefect.resource.id": f"tokensieve.run.{run.name}", "tokensieve.flow": run.flow},
        payload={
            "run": run.name,
            "round": round.round,
            "flow": run.flow,
            "workspace": str(storage),
            "artifacts": {step: id for step, (_, id) in round.names().items()},
        },
    )
