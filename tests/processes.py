"""Start the real command, watch how far it is, and find what it started."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

FEW_SECONDS = 240.0
"""Long enough for any step on a busy machine."""


def start(
    arguments: list[str], workspace: Path, said_by: Path | None = None, **environment: str
) -> subprocess.Popen[str]:
    """Start `tokensieve` on a workspace, in a session of its own, and with a Prefect server of its
    own unless the environment names one.

    What it says goes to files beside the workspace, or of another name: a pipe stays open as long
    as anything it started lives.
    """
    workspace.mkdir(exist_ok=True)
    said_by = said_by or workspace
    known = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    with out(said_by).open("w") as output, err(said_by).open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "flows", *arguments, "--workspace", str(workspace)],
            env={**known, **environment},
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )


def out(workspace: Path) -> Path:
    return workspace.with_suffix(".out")


def err(workspace: Path) -> Path:
    return workspace.with_suffix(".err")


def finish(process: subprocess.Popen[str], workspace: Path, code: int = 0) -> None:
    assert process.wait(timeout=FEW_SECONDS) == code, err(workspace).read_text()
    assert "leaked" not in err(workspace).read_text()  # by DuckDB's binding, while Python ends


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str], errors: Path) -> None:
    """Return once it is so; fail if the process ends before."""
    deadline = time.monotonic() + FEW_SECONDS
    while not is_so():
        assert process.poll() is None, errors.read_text()
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.02)


def wait_for_scores(workspace: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Return once so many score shards have a receipt: the run is in the middle of scoring."""
    wait_until(lambda: len(receipts(workspace)) >= number, process, err(workspace))


def children(pid: int, name: str) -> list[psutil.Process]:
    """Return the processes below a process whose command line holds `name`."""
    below = psutil.Process(pid).children(recursive=True)
    return [child for child in below if name in command_line(child)]


def has_ended(process: psutil.Process) -> bool:
    """Return whether it runs no more; it may wait for a parent who reads how it ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def command_line(process: psutil.Process) -> str:
    """Return it, or nothing of a process that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def receipts(workspace: Path) -> dict[Path, int]:
    """Return the receipts of score shards, and when each was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in workspace.glob("scores/*/receipts/*.json")}
