"""What `status` adds where a Prefect server answers."""

import socket
import time
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Crashed, Failed, Running

from tasks.status import describe_runs
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_scores, make_selection
from tokensieve.runs import Attempt
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server")

INTERRUPTED = "first: interrupted; run the same command again"


@flow
def nothing() -> None:
    """Stand for a run."""


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    corpus = make_corpus(storage, [[Sample("a", "one", (0, 1))]])
    scores = make_scores(corpus, "base", [[1.0]])
    finish_run(storage, "first", [(corpus, {"base": scores}, make_selection(corpus, [[1]]))])
    return storage


def attempted(storage: LocalStorage, flow_run: UUID) -> None:
    """Record an attempt by a process of this machine that is gone."""
    no_process = 2**22 + 1  # above the largest number that Linux gives
    attempt = Attempt(
        flow_run=str(flow_run), host=socket.gethostname(), pid=no_process, started=time.time()
    )
    attempt.publish(storage, "first")


def flow_run_in(state) -> UUID:
    with get_client(sync_client=True) as client:
        return client.create_flow_run(nothing, state=state).id


@pytest.mark.parametrize(
    ("state", "finished", "line"),
    [
        (Completed, True, "first: done"),
        (Running, True, "first: done (Prefect says RUNNING, which is stale)"),
        (Failed, True, "first: done (Prefect says FAILED, which is stale)"),
        (Crashed, False, INTERRUPTED),
        (Failed, False, INTERRUPTED),
        (Running, False, f"{INTERRUPTED} (Prefect says RUNNING, which is stale)"),
    ],
)
def test_what_the_artifacts_say_goes_first_and_a_server_that_differs_is_stale(
    storage, state, finished, line
):
    attempted(storage, flow_run_in(state()))
    if not finished:
        storage.path("runs/first/round-000.json").unlink()

    assert describe_runs(storage).splitlines()[0] == line


@pytest.mark.parametrize(("finished", "line"), [(True, "first: done"), (False, INTERRUPTED)])
def test_a_run_that_this_server_never_saw_is_not_called_stale(storage, finished, line):
    attempted(storage, uuid4())
    if not finished:
        storage.path("runs/first/round-000.json").unlink()

    assert describe_runs(storage).splitlines()[0] == line
