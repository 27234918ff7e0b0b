"""Locks between processes, of one machine or of all that share a disk.

The kernel frees a lock however its process ends. On a shared disk it has to hold between machines,
as the locks of NFS, Ceph and Lustre do.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokensieve.errors import ResourceError

LOCK_SECONDS = 600.0
"""How long a process waits for another one."""


@contextmanager
def file_lock(path: Path, place: str, more_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock in the file at `path`, which says who may write `place`.

    Raises ResourceError if another process holds it for LOCK_SECONDS and `more_seconds`.
    """
    seconds = LOCK_SECONDS + more_seconds
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "rb") as file:
        deadline = time.monotonic() + seconds
        while not _is_locked(file.fileno()):
            if time.monotonic() > deadline:
                raise ResourceError(
                    f"{place}: another process has been at work on it for {seconds:.0f} s. "
                    "Wait for it or end it, then run the same command again."
                )
            time.sleep(0.05)
        yield


def _is_locked(descriptor: int) -> bool:
    """Take the lock if it is free; return whether it is ours now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
