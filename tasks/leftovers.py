"""End what killed runs left behind.

A run without a configured Prefect API starts Prefect's temporary server. Ray's processes end with
their driver, even after kill -9; that server does not, so the next run ends it.
"""

import os

import psutil

_DRIVER = "TOKENSIEVE_DRIVER"
_SERVER = "prefect.server.api.server:create_app"


def end_leftovers() -> None:
    """End the temporary servers whose run is gone, and mark those of this run as ours."""
    for process in psutil.process_iter(["cmdline"]):
        if _SERVER in (process.info["cmdline"] or []):
            _end_if_orphaned(process)
    os.environ[_DRIVER] = str(os.getpid())  # every process that this one starts inherits it


def _end_if_orphaned(process: psutil.Process) -> None:
    try:
        driver = process.environ().get(_DRIVER)
        orphaned = process.ppid() == 1 and driver and not psutil.pid_exists(int(driver))
        if orphaned:
            process.terminate()
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return  # another user's, or just ended
