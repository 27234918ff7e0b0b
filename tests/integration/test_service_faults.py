"""Kill the services that a run depends on, Prefect's server and Ray's head."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.processes import children, err, finish, has_ended, receipts, wait_for_scores, wait_until
from tests.workspaces import published

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "w"


class PrefectServer:
    """A Prefect server of ours, that can be killed and started again on what it had noted."""

    def __init__(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.home = home
        self.url = f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        app = ["--factory", "prefect.server.api.server:create_app", "--log-level", "critical"]
        said = self.home / "said"
        with said.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", *app, "--port", str(self.port)],
                env={**os.environ, "PREFECT_HOME": str(self.home)},
                stdout=log,
                stderr=log,
            )
        wait_until(self.answers, self.process, said)

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        return False

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def states(self) -> list[str]:
        """Return the states of all flow runs."""
        runs = httpx.post(f"{self.url}/flow_runs/filter", json={}, timeout=30).json()
        return [run["state_type"] for run in runs]


@pytest.fixture
def prefect(tmp_path):
    server = PrefectServer(tmp_path / "prefect")
    server.home.mkdir()
    server.start()
    yield server
    if server.process.poll() is None:
        server.kill()


def test_a_cluster_that_is_killed_with_its_workers_ends_the_run_and_a_new_one_goes_on(
    command, undisturbed, workspace
):
    """Without its head a cluster starts no worker, and Ray ends the driver after a minute."""
    process = command(workspace)
    wait_for_scores(workspace, 2, process)
    [head] = children(process.pid, "gcs_server")
    workers = children(process.pid, "ModelWorker")
    for each in (head, *workers):
        each.kill()

    assert process.wait(timeout=90) == 1, err(workspace).read_text()
    assert workers
    assert all(map(has_ended, (head, *workers)))
    finish(command(workspace), workspace)
    assert published(workspace) == undisturbed


def test_a_flow_that_is_told_to_end_tells_prefect_and_goes_on_where_it_was(
    command, undisturbed, workspace, prefect
):
    process = command(workspace, PREFECT_API_URL=prefect.url)
    wait_for_scores(workspace, 2, process)

    process.terminate()
    finish(process, workspace, code=-signal.SIGTERM)
    states, finished = prefect.states(), receipts(workspace)
    finish(command(workspace, PREFECT_API_URL=prefect.url), workspace)

    assert states == ["CRASHED"]
    assert finished.items() <= receipts(workspace).items()
    assert published(workspace) == undisturbed


def test_a_prefect_server_that_is_killed_and_comes_back_is_told_how_the_run_ended(
    command, undisturbed, workspace, prefect
):
    process = command(workspace, PREFECT_API_URL=prefect.url)
    wait_for_scores(workspace, 2, process)

    prefect.kill()
    time.sleep(5)
    assert process.poll() is None
    prefect.start()
    finish(process, workspace)

    assert prefect.states() == ["COMPLETED"]
    assert published(workspace) == undisturbed


def test_a_prefect_server_that_is_killed_for_good_ends_the_run_which_says_how_to_go_on(
    command, undisturbed, workspace, prefect
):
    """With the five retries that Prefect makes of each call it takes 4 minutes."""
    given = {"PREFECT_API_URL": prefect.url, "PREFECT_CLIENT_MAX_RETRIES": "1"}
    process = command(workspace, **given)
    wait_for_scores(workspace, 2, process)
    prefect.kill()

    finish(process, workspace, code=8)
    said = err(workspace).read_text()
    assert f"Prefect at {prefect.url} does not answer" in said
    assert "run the same command again; what was finished is kept" in said
    finish(command(workspace), workspace)
    assert published(workspace) == undisturbed
