"""Directories for a while, which do not stay when their process is killed.

Beside each lies a file that its process has locked. The kernel frees the lock however the process
ends, and whoever needs a directory next removes those whose lock is free. On a shared disk the
locks have to hold between its machines, as those of NFS, Ceph and Lustre do.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

SCRATCH_PREFIX = ".tmp-"
_LOCK = ".lock"


@contextmanager
def scratch_directory(root: Path) -> Iterator[Path]:
    """Yield a new directory below `root`, removed at the end; those that were left go first."""
    for left in root.glob(f"{SCRATCH_PREFIX}*"):
        _remove_unless_locked(left)
    with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=root) as name, _locked(Path(name)):
        inside = Path(name) / "files"
        inside.mkdir()
        yield inside


def is_held(directory: Path) -> bool:
    """Return whether a living process holds the directory."""
    try:
        with (directory / _LOCK).open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no directory, or one that was never held
        return False
    return False


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock in the directory."""
    new = directory / f"{_LOCK}-new"
    with new.open("wb") as file:
        with suppress(OSError):  # a disk without locks: then nothing on it is taken for left
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(directory / _LOCK)  # under this name it is never there unlocked
        yield


def _remove_unless_locked(directory: Path) -> None:
    with suppress(OSError), (directory / _LOCK).open("rb+") as file:  # rb+: NFS wants to write
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory, ignore_errors=True)
