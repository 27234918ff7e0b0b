"""What stays of a run in a store, seen by a Prefect server: no secret, however the run ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.canaries import Canaries, found
from tests.drops import write_drop
from tests.live_prefect import live_prefect
from tests.processes import wait_until
from tests.s3_server import KEY_ID, REGION, SECRET

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 400.0
"""Long enough for a run on a busy machine."""
QUESTIONS = ("flow_runs", "task_runs", "logs", "events", "artifacts", "flows", "deployments")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with live_prefect(tmp_path_factory.mktemp("live") / "prefect") as server:
        yield server


@pytest.fixture
def place():
    """Yield a directory with a short name: Ray's sockets lie in it."""
    place = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    for folder in ("home", "ray", "tmp"):
        (place / folder).mkdir()
    yield place
    shutil.rmtree(place)


@pytest.fixture
def secret(server):
    """Return every secret that a run is given, by name."""
    ours = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    return Canaries().environment | ours | {"PREFECT_API_AUTH_STRING": server.password}


@pytest.fixture
def start(s3, server, secret, place, models):
    """Yield a function that starts to clean a drop into a bucket; what it started ends with it."""

    def clean(drop, workspace=None):
        given = ["--base", models.base, "--reference", models.reference, "--template", "tulu"]
        store = ["--workspace", workspace or s3.address()]
        store += ["--s3-endpoint", s3.endpoint, "--s3-region", REGION]
        with (place / "said").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows", "clean", str(drop), *given, *store],
                env=server.environment | secret | homes(place),
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return process

    started = []
    yield clean
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def homes(place):
    return {
        "HOME": str(place / "home"),
        "RAY_TMPDIR": str(place / "ray"),
        "TMPDIR": str(place / "tmp"),
        "XDG_CACHE_HOME": str(place / "cache"),
    }


def all_that_stays(s3, server, place):
    """Return the places with everything that a run left; the bucket and answers are written out."""
    for name in QUESTIONS:
        (place / f"{name}.json").write_text(json.dumps(server.ask(f"{name}/filter", limit=50)))
    for number, key in enumerate(s3.keys("workspace")):
        (place / f"object-{number}").write_bytes(s3.get(key))
    return [server.home, place]


def assert_no_secret_stays(s3, server, place, secret):
    for each in all_that_stays(s3, server, place):
        assert found(secret, each) == []


def test_no_secret_stays_of_a_run_that_finished(start, s3, server, place, secret):
    process = start(write_drop(place / "drop.jsonl", num_rows=40))

    assert process.wait(timeout=SECONDS) == 0, (place / "said").read_text()
    assert "workspace/index/tokensieve.duckdb" in s3.keys("workspace")
    assert list((place / "ray").rglob("gcs_server.out"))
    assert_no_secret_stays(s3, server, place, secret)


def test_no_secret_stays_of_a_run_that_failed(start, s3, server, place, secret):
    process = start(write_drop(place / "drop.jsonl", num_rows=40, bad_rows=20))

    assert process.wait(timeout=SECONDS) == 4, (place / "said").read_text()
    states = [run["state_type"] for run in server.ask("flow_runs/filter", limit=200)]
    assert "FAILED" in states
    assert_no_secret_stays(s3, server, place, secret)


def test_no_secret_stays_of_a_run_whose_bucket_is_not_there(start, s3, server, place, secret):
    process = start(write_drop(place / "drop.jsonl", num_rows=40), f"s3://not-{s3.name}/workspace")

    assert process.wait(timeout=SECONDS) == 2, (place / "said").read_text()
    assert f"not-{s3.name}" in (place / "said").read_text()
    assert_no_secret_stays(s3, server, place, secret)


def test_no_secret_stays_of_a_run_that_was_killed(start, s3, server, place, secret):
    process = start(write_drop(place / "drop.jsonl", num_rows=4500))
    wait_until(lambda: s3.keys("workspace/scores"), process, place / "said")

    os.killpg(process.pid, signal.SIGKILL)

    assert process.wait() == -signal.SIGKILL
    assert_no_secret_stays(s3, server, place, secret)
