"""What every test process needs before anything else is imported."""

import os
from pathlib import Path

import pytest

os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])  # Ray's workers import tests
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import ray_cluster  # noqa: F401  Ray fixes its authentication when it is first imported


@pytest.fixture(scope="session")
def s3_server():
    """Endpoint of a store that speaks S3, and credentials for it in the environment."""
    from tests.s3_server import running_server  # a second of imports that few tests need

    with running_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_server, tmp_path, monkeypatch):
    """A new bucket, and a cache of its own on this machine."""
    from tests.s3_server import new_bucket

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return new_bucket(s3_server)


@pytest.fixture
def s3_proxy(s3_server):
    """What lets things go wrong on the way to the store; its address is `s3_proxy.endpoint`."""
    from tests.fault_proxy import fault_proxy

    with fault_proxy(s3_server) as proxy:
        yield proxy
