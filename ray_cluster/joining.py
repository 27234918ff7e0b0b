"""Join a running Ray cluster, or start one that only this machine reaches."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import ray
from ray._private import ray_constants, services
from ray.exceptions import AuthenticationError, RayError

from ray_cluster import TOKEN_FILE, TOKEN_IS_OURS, WORKER_ENVIRONMENT
from tokensieve.errors import ServiceError, SettingsError, shortened

_CONNECT_SECONDS = 5.0
_OBJECT_STORE_BYTES = 128 * 2**20  # only receipts pass through it


def join(address: str | None) -> None:
    """Connect this process to the cluster at the address; without one, start a cluster and connect.

    An address never starts anything. Raises ServiceError if nobody answers there, or will not have
    us; SettingsError if this process is on another cluster already.
    """
    if ray.is_initialized():
        return _check_same(address)
    _check_token_file()
    if address is None:
        _check_mode()
    try:
        with _sigterm_kept(), chdir(sys.prefix):  # workers import from where Ray is joined
            if address is None:
                _start_on_loopback()
            else:
                _join_running(address)
    except AuthenticationError as error:
        raise ServiceError(
            f"cluster.address: Ray at {address} wants its token, and {_token_problem()}. Give the "
            "cluster's token in RAY_AUTH_TOKEN, or a file of it in RAY_AUTH_TOKEN_PATH."
        ) from error
    except (OSError, RayError, RuntimeError, ValueError) as error:
        why = " ".join(str(error.__cause__ or error).split())
        raise ServiceError(
            f"cluster: Ray at {address or 'this machine'} does not answer: {shortened(why, 400)}. "
            "Check the address and RAY_AUTH_TOKEN."
        ) from error


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep what SIGTERM does. Ray takes it over and aborts the process, and Prefect would not learn
    that the run has ended. Only a main thread may set it.
    """
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, kept)


def _join_running(address: str) -> None:
    """Connect to a cluster that runs. Ray itself would go on trying for minutes before it says what
    is wrong, and take `auto` for leave to start a cluster.
    """
    found = services.canonicalize_bootstrap_address(address)
    if found is None:
        raise ConnectionError("no cluster runs on this machine, and RAY_ADDRESS names none")
    host, _, port = found.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
        pass
    ray._raylet.GcsClient(address=found)  # shows the token
    ray.init(
        address=found,
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
        log_to_driver=False,
        logging_level="error",
    )


def _check_same(address: str | None) -> None:
    """Raise SettingsError if the address is of another cluster than this process is on."""
    joined = ray.get_runtime_context().gcs_address
    if address and services.canonicalize_bootstrap_address(address) != joined:
        raise SettingsError(
            f"cluster.address: {address} is not the cluster {joined} that this process is on. "
            "Start another process for it."
        )


def _start_on_loopback() -> None:
    """Start a cluster that nobody outside this machine can reach."""
    with _only_this_machine():
        ray.init(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),  # those this process may use
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _node_ip_address="127.0.0.1",
        )


@contextmanager
def _only_this_machine() -> Iterator[None]:
    """Have what Ray starts listen on 127.0.0.1 only.

    Ray takes 127.0.0.1 for "any address" unless its switch for Windows and macOS says that there is
    no cluster beyond this machine; the switch is read from both places. Neither stays: this process
    may join or start another cluster later.
    """
    closed = {
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "AUTOSCALER_METRIC_PORT": "-1",  # it would tell its figures to whoever asks
    }
    was_enabled = ray_constants.ENABLE_RAY_CLUSTER
    before = {name: os.environ[name] for name in closed if name in os.environ}
    os.environ.update(closed)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = was_enabled
        for name in closed:
            del os.environ[name]
        os.environ.update(before)


def _check_mode() -> None:
    """Raise SettingsError if a cluster that is started here would ask for no token."""
    mode = os.environ["RAY_AUTH_MODE"]
    if mode != "token":
        raise SettingsError(
            f"RAY_AUTH_MODE: is {shortened(mode)}. Whoever reaches a Ray without a token runs code "
            "on this machine, so none is started. Unset it."
        )


def _check_token_file() -> None:
    """Raise SettingsError if others can read the token, or its file says nothing: then Ray would
    abort the whole process.
    """
    if "RAY_AUTH_TOKEN" in os.environ:
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", TOKEN_FILE)).absolute()
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)  # workers run in other directories
    try:
        is_open, is_empty = path.stat().st_mode & 0o077, not path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"RAY_AUTH_TOKEN_PATH: {path}: {error.strerror}.") from None
    if is_open:
        raise SettingsError(
            f"RAY_AUTH_TOKEN_PATH: {path}: others can read it, and run code with it. "
            f"chmod 600 {path}"
        )
    if is_empty:
        raise SettingsError(f"RAY_AUTH_TOKEN_PATH: {path}: is empty.")


def _token_problem() -> str:
    mode = os.environ["RAY_AUTH_MODE"]
    if mode != "token":
        return f"RAY_AUTH_MODE is {mode} in this process"
    return "none was given" if TOKEN_IS_OURS else "the one that was given is another"
