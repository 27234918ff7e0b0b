"""One Prefect server, one Ray cluster and one pair of tiny models for all integration tests."""

import os
import signal
from contextlib import suppress
from types import SimpleNamespace

import pytest
import ray
from prefect.testing.utilities import prefect_test_harness

from ray_cluster import cluster
from tests.drops import write_drop
from tests.processes import finish, start
from tests.tiny_models import build_tiny_model
from tests.workspaces import published


@pytest.fixture(scope="session")
def prefect_server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def ray_cluster():
    yield
    ray.shutdown()
    cluster.connect.cache_clear()
    cluster._pool.cache_clear()


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    return SimpleNamespace(
        base=str(build_tiny_model(directory / "base", seed=1)),
        reference=str(build_tiny_model(directory / "reference", seed=2)),
    )


@pytest.fixture(scope="session")
def cleaning(models, tmp_path_factory):
    """Return the arguments of a cleaning of eight shards or more, to be disturbed."""
    drop = write_drop(tmp_path_factory.mktemp("drop") / "drop.jsonl", num_rows=4500)
    given = ["--base", models.base, "--reference", models.reference, "--template", "tulu"]
    return ["clean", str(drop), *given]


@pytest.fixture(scope="session")
def undisturbed(cleaning, tmp_path_factory):
    """Return what stands in the workspace of such a cleaning that nobody disturbs."""
    workspace = tmp_path_factory.mktemp("undisturbed") / "w"
    finish(start(cleaning, workspace), workspace)
    return published(workspace)


@pytest.fixture
def command(cleaning):
    """Yield a function that starts the cleaning into a workspace; what it started ends with it."""

    def clean(workspace, *flags, said_by=None, **environment):
        started.append(start([*cleaning, *flags], workspace, said_by, **environment))
        return started[-1]

    started = []
    yield clean
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
