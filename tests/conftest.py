"""What every test process needs before anything else is imported."""

import os

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import ray_cluster  # noqa: F401  Ray fixes its authentication when it is first imported
