"""Do the services answer: the workspace, Ray, Prefect?"""

import os
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

from ray_cluster import TOKEN_FILE
from ray_cluster.cluster import connect
from tasks.doctor.finding import Finding, bad, ok, warn
from tasks.doctor.machine import check_directory
from tokensieve.settings import ClusterSettings
from tokensieve.storage import LocalStorage, Storage

ZOMBIE_AUTOMATION = "tokensieve-zombies"
"""Its name in deployments/automations.yaml."""
_READABLE_BY_OTHERS = 0o077
_WAIT_SECONDS = 10.0


def check_workspace(storage: Storage) -> Finding:
    """Return whether a workspace can be kept where `storage` says; it is made if it is not there.

    Raises SettingsError, ResourceError or ServiceError if not.
    """
    storage.probe()
    if isinstance(storage, LocalStorage):
        return check_directory(storage.root)
    return ok(f"{storage}: can be written to, and arbitrates between two writers")


def check_ray(address: str | None) -> Finding:
    """Return what the cluster has; raise ServiceError or ResourceError if there is none to use."""
    cluster = connect(ClusterSettings(address=address))
    where = address or "a cluster of its own on this machine"
    share = f"{cluster.cpus_per_worker:g} CPUs, {cluster.gpus_per_worker:g} GPUs each"
    return ok(f"{where} starts {cluster.num_workers} workers, {share}")


def check_ray_token() -> Finding:
    """Return whether Ray asks for a token that nobody else can read."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return bad("RAY_AUTH_MODE is not token: whoever reaches Ray runs code", "Unset it")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", TOKEN_FILE))
    if path.exists() and path.stat().st_mode & _READABLE_BY_OTHERS:
        return bad(f"{path}: others can read the token", f"chmod 600 {path}")
    return ok("asked for, and nobody else can read it")


def check_prefect_home() -> Finding:
    """Return whether the directory with Prefect's database is closed to others."""
    home = PREFECT_HOME.value()
    if home.exists() and home.stat().st_mode & _READABLE_BY_OTHERS:
        return warn(f"{home}: others can read runs and parameters", f"chmod 700 {home}")
    return ok(f"{home}")


def check_prefect() -> Finding:
    """Return whether a configured server answers, and marks killed runs as crashed.

    Raises what the client raises if it does not.
    """
    url = PREFECT_API_URL.value()
    if not url:
        return ok("no server is named: each command has one of its own, which ends with it")
    with get_client({"timeout": _WAIT_SECONDS}, sync_client=True) as client:
        theirs, ours = client.api_version(), client.client_version()
        names = [each["name"] for each in client.request("POST", "/automations/filter").json()]
    found = f"{url}: version {theirs}"
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        return bad(f"{found}, but {ours} is installed here", "Install the same version on both")
    if ZOMBIE_AUTOMATION not in names:
        return warn(
            f"{found}; killed runs are shown as running",
            "prefect automation create --from-file deployments/automations.yaml",
        )
    return ok(f"{found}; marks killed runs as crashed")
