"""One Prefect server, one Ray cluster and one pair of tiny models for all integration tests."""

from types import SimpleNamespace

import pytest
import ray
from prefect.testing.utilities import prefect_test_harness

from ray_cluster import cluster
from tests.tiny_models import build_tiny_model


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
